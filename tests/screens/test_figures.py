from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.models import Case, CaseCategory, CasePriority, CaseStatus
from screens import figures

from .worlds import NOW


def case(due: timedelta, status: CaseStatus = CaseStatus.OPEN, resolved: timedelta | None = None) -> Case:
    return Case(
        id=1,
        number="CASE-20260314-00001",
        title="Velocity fraud",
        card_id="card",
        status=status,
        priority=CasePriority.HIGH,
        category=CaseCategory.OTHER,
        total_amount=Decimal(1),
        potential_loss=Decimal(1),
        recovered_amount=Decimal(0),
        alerts=1,
        assignee=None,
        escalated_to=None,
        disposition=None,
        sla_due_at=NOW + due,
        opened_at=NOW,
        updated_at=NOW,
        resolved_at=None if resolved is None else NOW + resolved,
        version=1,
    )


@pytest.mark.parametrize(
    ("due", "status", "resolved", "shown"),
    [
        (timedelta(minutes=65), CaseStatus.OPEN, None, "1h 05m left"),
        (-timedelta(hours=2, minutes=10), CaseStatus.OPEN, None, "breached 2h 10m"),
        (-timedelta(days=3, hours=4), CaseStatus.ESCALATED, None, "breached 3d 04h"),
        (timedelta(hours=1), CaseStatus.RESOLVED, timedelta(minutes=5), "met"),
        (timedelta(hours=1), CaseStatus.CLOSED, timedelta(hours=2), "breached"),
    ],
)
def test_sla_says_what_is_left_or_how_long_ago_it_ran_out(
    due: timedelta, status: CaseStatus, resolved: timedelta | None, shown: str
) -> None:
    assert figures.sla(case(due, status, resolved), NOW) == shown


def test_money_has_separators_two_decimals_and_its_currency() -> None:
    assert figures.money(Decimal("1234567.5")) == "1,234,567.50"
    assert figures.money(Decimal("0.10"), "EUR") == "0.10 EUR"


@given(st.floats(0, 1))
def test_a_score_never_reads_as_a_threshold_that_it_missed(value: float) -> None:
    for threshold in (0.5, 0.55, 0.7, 0.85):
        if value < threshold - 1e-6:
            assert float(figures.score(value)) < threshold
    assert float(figures.score(value)) <= value + 1e-6


@given(st.floats(0, 1), st.integers(1, 40))
def test_a_bar_is_as_long_as_its_share_and_visible_above_zero(share: float, width: int) -> None:
    drawn = figures.bar(share, width)
    assert abs(len(drawn) - share * width) <= 1
    assert bool(drawn) == (share > 0)


def test_quantities_keep_text_and_lose_empty_decimals() -> None:
    assert figures.quantity("22:15") == "22:15"
    assert figures.quantity(1_500.0, "km/h") == "1,500 km/h"
    assert figures.quantity(0.8134) == "0.81"


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.84, "0.8"), (9.94, "9.9"), (9.95, "10"), (92.7, "93"), (1234.5, "1,234")]
)
def test_milliseconds_are_short_enough_for_three_to_fit_a_tile(value: float | None, shown: str) -> None:
    assert figures.milliseconds(value) == shown


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.integers(1, 5))
def test_parts_are_shown_so_that_they_add_up_each_off_by_less_than_a_unit(parts: list[float], places: int) -> None:
    total = round(sum(parts), places)
    shown = figures.adding_up(parts, total, places)
    assert sum(round(part * 10**places) for part in shown) == round(total * 10**places)
    for part, exact in zip(shown, parts, strict=True):
        assert abs(part - exact) < 10.0**-places + 1e-12
