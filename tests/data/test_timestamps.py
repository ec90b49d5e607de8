import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.timestamps import EPOCH, LATEST, from_microseconds, parse_timestamp, to_microseconds

LAST_MICROSECOND = (LATEST - EPOCH) // timedelta(microseconds=1) - 1

moments = st.integers(min_value=0, max_value=LAST_MICROSECOND).map(from_microseconds)
whole_seconds = st.integers(min_value=0, max_value=LAST_MICROSECOND // 10**6)
offsets = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments)
def test_microseconds_are_exact_both_ways(moment: datetime) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment


@given(moments, offsets)
def test_every_iso_form_at_any_offset_is_the_same_instant(moment: datetime, offset: timezone) -> None:
    local = moment.astimezone(offset)
    sign = local.strftime("%z")
    clock = local.strftime("%H:%M:%S.%f")
    week = local.isocalendar()
    forms = [
        local,
        local.isoformat(),
        local.isoformat(sep=" "),
        local.isoformat().lower(),
        f"{local:%Y-%m-%d}T{clock}{sign}",
        f"{local:%Y-%m-%d}T{clock.replace('.', ',')}{sign}",
        f"{local:%Y%m%d}T{clock.replace(':', '')}{sign}",
        f"{local:%Y-%j}T{clock}{sign}",
        f"{local:%Y%j}T{clock.replace(':', '')}{sign}",
        f"{week.year}-W{week.week:02}-{week.weekday}T{clock}{sign}",
        f"{week.year}W{week.week:02}{week.weekday}T{clock}{sign}",
        moment.isoformat().replace("+00:00", "Z"),
        moment.isoformat().replace("+00:00", "z"),
        moment.replace(tzinfo=None).isoformat(),
        f"  {local.isoformat()}\n",
    ]
    if local.year < 1970 or week.year < 1970:
        forms = forms[:2]
    assert {parse_timestamp(form) for form in forms} == {moment}
    assert all(parse_timestamp(form).tzinfo is UTC for form in forms)


@given(whole_seconds)
def test_epoch_seconds_are_the_same_instant_as_number_and_as_text(seconds: int) -> None:
    moment = from_microseconds(seconds * 10**6)
    assert parse_timestamp(seconds) == parse_timestamp(float(seconds)) == moment
    if seconds >= 100_000_000:
        assert parse_timestamp(str(seconds)) == parse_timestamp(f"{seconds}.0") == moment


@given(moments)
def test_fractions_of_epoch_seconds_are_exact_to_the_microsecond(moment: datetime) -> None:
    seconds, fraction = divmod(to_microseconds(moment), 10**6)
    assert parse_timestamp(seconds + fraction / 10**6) == moment
    if seconds >= 100_000_000:
        assert parse_timestamp(f"{seconds}.{fraction:06}") == moment


@given(st.integers(min_value=10**12, max_value=10**16))
def test_milliseconds_are_refused_with_a_hint_as_number_and_as_text(milliseconds: int) -> None:
    for form in (milliseconds, float(milliseconds), str(milliseconds), f"{milliseconds}.5"):
        with pytest.raises(ValueError, match="not milliseconds"):
            parse_timestamp(form)


def test_thirteen_digits_that_could_be_read_as_a_compact_date_are_milliseconds_all_the_same() -> None:
    with pytest.raises(ValueError, match="not milliseconds"):
        parse_timestamp("2012123112345")


@pytest.mark.parametrize(
    "value",
    [
        "1970-01-01T00:00:00Z",
        "1970-01-01T02:00:00+02:00",
        "1969-12-31T23:00:00-01:00",
        "1970-001",
        "1970-W01-4",
        0,
        0.0,
    ],
)
def test_the_epoch_itself_is_accepted(value: object) -> None:
    assert parse_timestamp(value) == EPOCH


@pytest.mark.parametrize(
    "value",
    [
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00+00:01",
        "2200-01-01T00:00:00Z",
        "2199-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+14:00",
        "0001-001T00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T24:00:00",
        -1,
        -0.001,
        7_258_118_400,
        datetime(2200, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        math.nan,
        math.inf,
        -math.inf,
        10**5000,
    ],
    ids=lambda value: repr(value)[:40] if not isinstance(value, int) else "int",
)
def test_times_outside_1970_to_2200_are_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - some say "not between", some "not ISO 8601"; all must be ValueError
        parse_timestamp(value)


def test_the_last_microsecond_before_2200_is_accepted() -> None:
    assert parse_timestamp("2199-12-31T23:59:59.999999Z") == LATEST - timedelta(microseconds=1)


@given(st.dates(min_value=date(1970, 1, 1), max_value=date(2199, 12, 30)))
def test_hour_24_is_midnight_of_the_next_day(day: date) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    for clock in ("T24", "T24:00", "T24:00:00", "T24:00:00.000", "T2400Z", "t24:00z", "T24:00:00+00:00"):
        assert parse_timestamp(f"{day.isoformat()}{clock}") == midnight
    assert parse_timestamp(f"{day:%Y-%j}T24:00") == midnight


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "yesterday",
        "2026",
        "2026-13-01",
        "2026-02-29",
        "2023-366",
        "2024-367",
        "2026-000",
        "2026-W54-1",
        "2026-03-14T25:00",
        "2026-03-14T24:01",
        "2026-03-14T12:00+25:00",
        "2026-03-14T12:00:00ZZ",
        "\uff12\uff10\uff12\uff16-03-14",
        "12345678",
        "-1700000000",
        "1e9",
        "0x65000000",
        "1_700_000_000",
        "\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660",
        "x" * 10**6,
        "9" * 10**6,
    ],
    ids=lambda text: text[:24] or "empty",
)
def test_text_that_is_no_time_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not") as refusal:
        parse_timestamp(text)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("value", [None, True, False, b"2026-03-14", [1], {}, date(2026, 3, 14)])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not ISO 8601 text or epoch seconds"):
        parse_timestamp(value)


@given(st.text(max_size=40) | st.text(alphabet="0123456789-:TWZ+., ", max_size=30))
def test_any_text_is_a_time_in_range_or_a_value_error(text: str) -> None:
    try:
        moment = parse_timestamp(text)
    except ValueError:
        return
    assert EPOCH <= moment < LATEST
    assert moment.tzinfo is UTC
