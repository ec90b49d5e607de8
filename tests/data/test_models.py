import math
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.models import LARGEST_AMOUNT, CaseStatus, RiskLevel, Transaction
from data.queries.customers import card_transactions, customer
from data.queries.rows import money

from .builders import copy_of, scored

MINIMAL: dict[str, Any] = {"transaction_id": "t-1", "card_id": "card-1", "amount": 10, "timestamp": "2026-03-14T12:00Z"}

cents = st.integers(min_value=0, max_value=10**14 - 1)


def read(**fields: Any) -> Transaction:
    return Transaction.model_validate(MINIMAL | fields)


@given(cents)
def test_an_amount_is_the_same_to_the_cent_in_every_form_it_can_arrive_in(minor: int) -> None:
    exact = Decimal(minor).scaleb(-2)
    forms = [exact, str(exact), f" {exact}\n", f"+{exact}", f"{exact}000", f"{minor}e-2", float(exact)]
    if minor % 100 == 0:
        forms.append(minor // 100)
    assert {read(amount=form).amount_minor for form in forms} == {minor}
    assert money(minor) == exact


@settings(max_examples=15)
@given(st.lists(cents, min_size=1, max_size=8))
def test_money_survives_the_store_to_the_cent(template: Path, amounts: list[int]) -> None:
    with copy_of(template) as world:
        sent = [read(transaction_id=f"t-{n}", amount=str(money(minor))) for n, minor in enumerate(amounts)]
        world.add(*(scored(each.transaction_id, amount_minor=each.amount_minor) for each in sent))
        stored = {row.transaction_id: row.amount for row in card_transactions(world.reader, "card-1", 10)}
        assert stored == {each.transaction_id: each.amount for each in sent}
        total = customer(world.reader, "card-1")
        assert total is not None
        assert total.spent == sum((each.amount for each in sent), Decimal(0))


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False, places=5))
def test_an_amount_is_rounded_half_even_to_the_cent(amount: Decimal) -> None:
    assert read(amount=str(amount)).amount == amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)


@pytest.mark.parametrize(
    ("amount", "cent"),
    [("0.005", "0.00"), ("0.015", "0.02"), (0.015, "0.02"), (0.025, "0.02"), (1.115, "1.12"), ("0.0051", "0.01")],
)
def test_half_a_cent_goes_to_the_even_cent_as_text_and_as_float(amount: object, cent: str) -> None:
    assert str(read(amount=amount).amount) == cent


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_a_float_is_read_by_its_shortest_decimal_form(amount: float) -> None:
    assert read(amount=amount).amount == read(amount=repr(amount)).amount


@pytest.mark.parametrize(
    "amount",
    [
        math.nan,
        math.inf,
        -math.inf,
        1e308,
        -0.01,
        -1,
        True,
        False,
        None,
        [10],
        {"value": 10},
        b"10",
        10**12,
        10**5000,
        -(10**5000),
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "-1",
        "1e400",
        "1e99999999999999999999",
        "0x10",
        "1_000",
        "1,000",
        "10 EUR",
        "$10",
        "\uff11\uff12",
        "\u0661\u0662",
        "",
        " ",
        ".",
        "1" * 41,
        "0" * 10**6,
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("-0.01"),
        LARGEST_AMOUNT,
    ],
    ids=lambda amount: f"{type(amount).__name__}" if isinstance(amount, int) else repr(amount)[:24],
)
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(amount=amount)
    assert [error["loc"] for error in refusal.value.errors(include_input=False)] == [("amount",)]


@pytest.mark.parametrize("zero", ["-0", "-0.00", -0.0, 0, "0e10"])
def test_zero_has_no_sign(zero: object) -> None:
    assert str(read(amount=zero).amount) == "0.00"


@given(st.text(max_size=60))
def test_any_text_is_an_amount_or_refused_and_never_an_error_of_another_kind(text: str) -> None:
    try:
        amount = read(amount=text).amount
    except ValidationError:
        return
    assert 0 <= amount <= LARGEST_AMOUNT
    assert text.isascii()


@given(st.sampled_from(sorted(Transaction.model_fields)), st.text() | st.floats() | st.integers(-(2**70), 2**70))
def test_any_value_in_any_field_is_accepted_or_refused_by_validation(field: str, value: object) -> None:
    try:
        transaction = read(**{field: value})
    except ValidationError:
        return
    assert 0 <= transaction.amount_minor <= 10**14
    assert 0 <= transaction.event_time < 2**63


def test_levels_are_ordered_by_rank_not_by_text() -> None:
    assert sorted(RiskLevel, key=lambda level: level.rank) == [
        RiskLevel.LOW,
        RiskLevel.MEDIUM,
        RiskLevel.HIGH,
        RiskLevel.CRITICAL,
    ]
    assert [level.rank for level in RiskLevel] == [1, 2, 3, 4]
    assert max(RiskLevel, key=lambda level: level.rank) is RiskLevel.CRITICAL
    assert max(RiskLevel, key=str) is RiskLevel.MEDIUM


def test_a_case_is_active_until_it_is_resolved_or_closed() -> None:
    ended = {status for status in CaseStatus if not status.is_active}
    assert ended == {CaseStatus.RESOLVED, CaseStatus.CLOSED}


@pytest.mark.parametrize("missing", [{}, {"latitude": None}, {"latitude": ""}, {"latitude": "  "}])
def test_coordinates_come_in_pairs(missing: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="come together"):
        read(longitude=-97.74, **missing)
    with pytest.raises(ValidationError, match="come together"):
        read(latitude=30.27, longitude=None)
    both = read(latitude="30.27", longitude=-97.74)
    assert (both.latitude, both.longitude) == (30.27, -97.74)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(90.01, 0), (-90.01, 0), (0, 180.01), (0, -180.01), (math.nan, 0), (0, math.inf), ("nan", 0), ("north", 0)],
)
def test_coordinates_off_the_globe_are_refused(latitude: object, longitude: object) -> None:
    with pytest.raises(ValidationError):
        read(latitude=latitude, longitude=longitude)


OPTIONAL = sorted(set(Transaction.model_fields) - set(MINIMAL))


@pytest.mark.parametrize("blank", ["", " ", "\t\n", None])
def test_a_blank_optional_field_is_none(blank: str | None) -> None:
    transaction = read(**dict.fromkeys(OPTIONAL, blank))
    assert all(getattr(transaction, name) is None for name in OPTIONAL)


@pytest.mark.parametrize("field", ["transaction_id", "card_id"])
@pytest.mark.parametrize("value", ["", "  ", None, True, ["t"], "x" * 129, "x" * 10**6, "\ud800"])
def test_an_identifier_is_neither_blank_nor_huge(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        read(**{field: value})


@pytest.mark.parametrize(
    ("field", "longest"),
    [("location", 512), ("merchant_name", 512), ("merchant_id", 128), ("merchant_category", 128), ("customer_id", 128)],
)
def test_an_optional_text_has_a_longest_length(field: str, longest: int) -> None:
    assert getattr(read(**{field: "x" * longest}), field) == "x" * longest
    with pytest.raises(ValidationError):
        read(**{field: "x" * (longest + 1)})


def test_fields_unknown_to_the_model_are_ignored() -> None:
    assert read(is_vip=True, nested={"a": [1]}, amount_minor=1) == read()


def test_numbers_serve_as_identifiers() -> None:
    transaction = read(transaction_id=42, card_id=4242, merchant_id=7)
    assert (transaction.transaction_id, transaction.card_id, transaction.merchant_id) == ("42", "4242", "7")


def test_identifiers_lose_surrounding_blanks() -> None:
    assert read(transaction_id=" t-9\n").transaction_id == "t-9"


def test_a_currency_is_three_letters_in_upper_case() -> None:
    assert read(currency="usd").currency == "USD"
    for wrong in ("US", "USDT", "U$D", "\u00c5BC", "usd\n"):
        with pytest.raises(ValidationError):
            read(currency=wrong)


def test_event_time_counts_microseconds() -> None:
    moment = datetime(2026, 3, 14, 12, 0, 0, 1, tzinfo=UTC)
    assert read(timestamp=moment).event_time == 1_773_489_600_000_001


@pytest.mark.parametrize("field", ["latitude", "longitude"])
def test_a_bool_is_no_coordinate(field: str) -> None:
    coordinates = {"latitude": 1.0, "longitude": 1.0, field: True}
    with pytest.raises(ValidationError, match="a bool is not a coordinate"):
        Transaction.model_validate(
            {"transaction_id": "t", "card_id": "c", "amount": 1, "timestamp": "2026-03-02T09:00:00Z", **coordinates}
        )
