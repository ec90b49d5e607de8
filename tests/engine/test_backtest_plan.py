"""Ranges and delays are read as they are written, and refused where a label could not have been known."""

from datetime import date, timedelta

import numpy as np
import pytest

from data.errors import SettingError
from engine.backtest_plan import BacktestPlan, DateRange, Labels, parse_delay

DAY_US = 86_400_000_000


def days(text: str) -> DateRange:
    return DateRange.parse("--test", text)


def test_a_range_holds_both_its_days_to_the_last_microsecond() -> None:
    january = days("1970-01-02..1970-01-03")
    assert january == DateRange(date(1970, 1, 2), date(1970, 1, 3))
    times = np.array([DAY_US - 1, DAY_US, 3 * DAY_US - 1, 3 * DAY_US])
    assert january.holds(times).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    "text", ["", "2026-01-01", "2026-01-01..", "2026-02-30..2026-03-01", "2026-01-02..2026-01-01", "a..b"]
)
def test_what_is_not_two_dates_in_order_is_refused_by_the_name_of_its_option(text: str) -> None:
    with pytest.raises(SettingError, match="--test"):
        days(text)


@pytest.mark.parametrize(
    ("text", "delay"), [("7d", timedelta(days=7)), ("36h", timedelta(hours=36)), ("0d", timedelta())]
)
def test_a_delay_is_days_or_hours(text: str, delay: timedelta) -> None:
    assert parse_delay(text) == delay


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5d", "7w", "366d", "99999999d"])
def test_another_delay_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--delay"):
        parse_delay(text)


@pytest.mark.parametrize(
    ("delay", "test", "earliest"),
    [
        ("7d", "2026-01-14..2026-01-20", "2026-01-15"),
        ("36h", "2026-01-09..2026-01-20", "2026-01-10"),
        ("0d", "2026-01-07..2026-01-20", "2026-01-08"),
        ("7d", "2025-01-01..2025-01-02", "2026-01-15"),
    ],
)
def test_a_test_starts_when_the_last_label_is_known_and_no_earlier(delay: str, test: str, earliest: str) -> None:
    train = days("2026-01-01..2026-01-07")
    with pytest.raises(SettingError, match=f"start the test on {earliest}"):
        BacktestPlan(cold=False, train=train, delay=parse_delay(delay), test=days(test))
    BacktestPlan(cold=False, train=train, delay=parse_delay(delay), test=days(f"{earliest}..2026-01-31"))


def test_a_test_without_labels_to_learn_from_is_refused_unless_it_is_cold() -> None:
    with pytest.raises(SettingError, match="--cold"):
        BacktestPlan(cold=False, test=days("2026-01-01..2026-01-02"))
    with pytest.raises(SettingError, match="--test"):
        BacktestPlan(cold=True, train=days("2026-01-01..2026-01-02"))
    with pytest.raises(SettingError, match="--budget"):
        BacktestPlan(cold=True, budget=0)


def dispositions(train: str, test: str, capacity: int | None = 10, *, cold: bool = False) -> BacktestPlan:
    return BacktestPlan(cold=cold, train=days(train), test=days(test), labels=Labels.DISPOSITIONS, capacity=capacity)


def test_days_younger_than_the_delay_may_be_learnt_from_where_they_are_reviewed_and_no_tested_day() -> None:
    train = "2026-01-01..2026-01-07"
    assert dispositions(train, "2026-01-08..2026-01-09").capacity == 10
    with pytest.raises(SettingError, match="start the test on 2026-01-08"):
        dispositions(train, "2026-01-07..2026-01-09")


def test_analysts_need_a_capacity_and_a_capacity_needs_analysts() -> None:
    train, test = "2026-01-01..2026-01-07", "2026-01-15..2026-01-20"
    for capacity in (None, 0, -1):
        with pytest.raises(SettingError, match="--capacity"):
            dispositions(train, test, capacity)
    with pytest.raises(SettingError, match="--labels dispositions"):
        BacktestPlan(cold=False, train=days(train), test=days(test), capacity=10)
    with pytest.raises(SettingError, match="--cold"):
        dispositions(train, test, cold=True)
    for text in ("", "some", "ALL"):
        with pytest.raises(SettingError, match="--labels"):
            Labels.parse(text)
    assert Labels.parse("dispositions") is Labels.DISPOSITIONS
