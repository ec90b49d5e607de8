"""Column maps: presets, what is said on the command line, and what a header must have."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import SettingError
from engine.columns import FIELDS, PRESETS, REQUIRED, ColumnMap, parse_map, preset


def test_a_field_without_a_column_of_its_own_has_its_name() -> None:
    columns = ColumnMap(columns={"amount": "TX_AMOUNT"})
    assert columns.column("amount") == "TX_AMOUNT"
    assert columns.column("card_id") == "card_id"


def test_required_are_the_four_fields_that_every_transaction_has() -> None:
    assert REQUIRED == ("transaction_id", "card_id", "amount", "timestamp")
    assert set(REQUIRED) < set(FIELDS)


def test_the_platform_preset_changes_no_name() -> None:
    columns = preset("platform")
    assert [columns.column(name) for name in FIELDS] == list(FIELDS)
    assert columns.label is None
    assert columns.scenario == "scenario"


def test_the_handbook_preset_names_its_columns_and_scenarios() -> None:
    columns = preset("handbook")
    assert [columns.column(name) for name in REQUIRED] == ["TRANSACTION_ID", "CUSTOMER_ID", "TX_AMOUNT", "TX_DATETIME"]
    assert columns.column("merchant_id") == "TERMINAL_ID"
    assert columns.scenario == "TX_FRAUD_SCENARIO"
    assert dict(columns.scenario_names) == {
        "1": "amount_over_220",
        "2": "compromised_terminal",
        "3": "compromised_card",
    }


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingError) as raised:
        preset("x" * 10_000)
    assert all(name in str(raised.value) for name in PRESETS)
    assert len(str(raised.value)) < 300


def test_a_label_is_added_without_changing_the_map_it_came_from() -> None:
    before = preset("handbook")
    after = before.with_label("TX_FRAUD")
    assert after == dataclasses.replace(before, label="TX_FRAUD")
    assert before.label is None


def test_a_map_refines_the_preset_it_stands_on() -> None:
    columns = parse_map(" card_id = CARD , latitude=LAT", preset("handbook"))
    assert columns.column("card_id") == "CARD"
    assert columns.column("latitude") == "LAT"
    assert columns.column("amount") == "TX_AMOUNT"
    assert columns.scenario_names == preset("handbook").scenario_names
    assert preset("handbook").column("card_id") == "CUSTOMER_ID"


def test_a_column_name_may_hold_an_equals_sign() -> None:
    assert parse_map("amount=a=b").column("amount") == "a=b"


def test_two_fields_may_share_a_column() -> None:
    columns = parse_map("card_id=ID,customer_id=ID")
    assert columns.column("card_id") == columns.column("customer_id") == "ID"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "FIELD=COLUMN"),
        ("amount", "FIELD=COLUMN"),
        ("amount=", "FIELD=COLUMN"),
        ("=TX", "FIELD=COLUMN"),
        ("amount=A,", "FIELD=COLUMN"),
        ("sum=TX", "'sum'"),
        ("Amount=TX", "'Amount'"),
        ("amount=A,amount=B", "twice"),
    ],
)
def test_a_map_that_cannot_be_read_is_refused_with_the_fields_there_are(text: str, says: str) -> None:
    with pytest.raises(SettingError) as raised:
        parse_map(text)
    assert says in str(raised.value)
    assert all(name in str(raised.value) for name in FIELDS)


@given(st.text(max_size=300))
def test_no_text_of_a_map_raises_anything_else(text: str) -> None:
    outcome: ColumnMap | str
    try:
        outcome = parse_map(text)
    except SettingError as error:
        outcome = str(error)
    if isinstance(outcome, str):
        assert len(outcome) < 800
        assert outcome.isprintable()
    else:
        assert set(outcome.columns) <= set(FIELDS)


@given(st.dictionaries(st.sampled_from(FIELDS), st.from_regex(r"[A-Z]{1,8}", fullmatch=True), min_size=1))
def test_every_field_can_be_mapped(names: dict[str, str]) -> None:
    columns = parse_map(",".join(f"{name}={column}" for name, column in names.items()))
    assert dict(columns.columns) == names


def test_a_header_must_have_required_mapped_and_label_columns() -> None:
    columns = parse_map("location=WHERE", preset("handbook")).with_label("TX_FRAUD")
    assert set(columns.expected) == {
        "TRANSACTION_ID",
        "CUSTOMER_ID",
        "TX_AMOUNT",
        "TX_DATETIME",
        "TERMINAL_ID",
        "WHERE",
        "TX_FRAUD",
    }
    assert len(columns.expected) == len(set(columns.expected))
