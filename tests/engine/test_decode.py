"""The decoder: no bytes raise, every fault has its reason, and nothing is taken for something else."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.models import DeadLetterReason
from engine.columns import FIELDS, REQUIRED, ColumnMap, preset
from engine.decode import MAX_DETAIL, MAX_RECORD_BYTES, CsvDecoder, Decoded, JsonDecoder, Rejection

VALID = {
    "transaction_id": "t-1",
    "card_id": "c-1",
    "amount": 12.5,
    "timestamp": "2026-03-02T09:00:00Z",
    "location": "Lake Adriana, MT",
    "merchant_category": "restaurant",
}
LABELLED = ColumnMap(label="is_fraud", scenario="scenario")
HANDBOOK = preset("handbook").with_label("TX_FRAUD")
HANDBOOK_HEADER = (
    "TRANSACTION_ID",
    "TX_DATETIME",
    "CUSTOMER_ID",
    "TERMINAL_ID",
    "TX_AMOUNT",
    "TX_FRAUD",
    "TX_FRAUD_SCENARIO",
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(['"', "\\", "{", "}", ":", "a", "amount"])
SAFE_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def record(**changes: object) -> bytes:
    return json.dumps({**VALID, **changes}).encode()


def with_raw(field: str, text: str) -> bytes:
    """A valid record in which one field holds any text, JSON or not."""
    pairs = [f'"{name}": {json.dumps(value)}' for name, value in VALID.items() if name != field]
    return "{{{}}}".format(", ".join([*pairs, f'"{field}": {text}'])).encode()


def decoded(raw: bytes, columns: ColumnMap = LABELLED) -> Decoded:
    outcome = JsonDecoder(columns).decode(raw)
    assert isinstance(outcome, Decoded), outcome
    return outcome


def rejected(outcome: Decoded | Rejection) -> Rejection:
    assert isinstance(outcome, Rejection), outcome
    assert 0 < len(outcome.detail) <= MAX_DETAIL
    assert outcome.detail.isprintable()
    return outcome


def reason_of(raw: bytes) -> DeadLetterReason:
    return rejected(JsonDecoder(LABELLED).decode(raw)).reason


@given(st.binary(max_size=200))
@example(b"\x00" * 50)
@example(b'"' * 50)
@example(b"\\" * 50)
def test_no_bytes_raise(raw: bytes) -> None:
    for decoder in (JsonDecoder(LABELLED), CsvDecoder(HANDBOOK, HANDBOOK_HEADER)):
        outcome = decoder.decode(raw)
        if isinstance(outcome, Rejection):
            rejected(outcome)


@given(JSON_VALUES)
def test_no_json_value_raises(value: object) -> None:
    outcome = JsonDecoder(LABELLED).decode(json.dumps(value).encode())
    if isinstance(outcome, Rejection):
        rejected(outcome)


@given(st.sampled_from((*FIELDS, "is_fraud", "scenario")), JSON_VALUES)
def test_no_value_of_any_field_raises_or_goes_unexplained(field: str, value: object) -> None:
    outcome = JsonDecoder(LABELLED).decode(record(**{"is_fraud": 1, field: value}))
    if isinstance(outcome, Rejection):
        rejected(outcome)


@given(st.sampled_from(FIELDS), st.text(st.characters(codec="utf-8"), max_size=60))
@example("amount", "1e999999999999999999999")
@example("amount", "9" * 40)
@example("amount", "0." + "9" * 38)
@example("amount", "-0")
@example("timestamp", "0000-001")
@example("timestamp", "9999-12-31T24:00:00Z")
@example("timestamp", "9" * 20)
@example("timestamp", "2026-03-02T09:00:00+23:59:59.999999")
def test_no_text_in_any_field_raises(field: str, text: str) -> None:
    outcome = JsonDecoder(LABELLED).decode(record(**{field: text}))
    if isinstance(outcome, Rejection):
        rejected(outcome)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=7, max_size=7))
def test_no_csv_values_raise(values: list[str]) -> None:
    outcome = CsvDecoder(HANDBOOK, HANDBOOK_HEADER).decode(csv_row(values))
    if isinstance(outcome, Rejection):
        rejected(outcome)


DEEP = 100_000


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(with_raw("amount", "NaN"), DeadLetterReason.NOT_JSON, id="NaN"),
        pytest.param(with_raw("amount", "Infinity"), DeadLetterReason.NOT_JSON, id="Infinity"),
        pytest.param(with_raw("amount", "-Infinity"), DeadLetterReason.NOT_JSON, id="-Infinity"),
        pytest.param(with_raw("amount", "1e400"), DeadLetterReason.NOT_JSON, id="1e400"),
        pytest.param(with_raw("amount", "1e308"), DeadLetterReason.INVALID_FIELD, id="1e308"),
        pytest.param(with_raw("amount", "-0.01"), DeadLetterReason.INVALID_FIELD, id="negative"),
        pytest.param(with_raw("amount", str(2**63)), DeadLetterReason.INVALID_FIELD, id="2**63"),
        pytest.param(with_raw("amount", "9" * 5_000), DeadLetterReason.NOT_JSON, id="5,000 digits"),
        pytest.param(with_raw("amount", '1, "amount": 2'), DeadLetterReason.DUPLICATE_KEY, id="repeated key"),
        pytest.param(with_raw("amount", '1, "amount" \t: 1'), DeadLetterReason.DUPLICATE_KEY, id="repeated, spaced"),
        pytest.param(
            with_raw("amount", '1, "a\\u006dount": 1'), DeadLetterReason.DUPLICATE_KEY, id="repeated, escaped"
        ),
        pytest.param(with_raw("amount", '1, "x": [{"a": 1, "a": 1}]'), DeadLetterReason.DUPLICATE_KEY, id="nested"),
        pytest.param(b"[" * DEEP, DeadLetterReason.NOT_JSON, id="open brackets"),
        pytest.param(b"[" * DEEP + b"]" * DEEP, DeadLetterReason.NOT_JSON, id="deep arrays"),
        pytest.param(with_raw("amount", '{"a":' * DEEP + "1" + "}" * DEEP), DeadLetterReason.NOT_JSON, id="deep"),
        pytest.param(with_raw("card_id", '"\\ud800"'), DeadLetterReason.NOT_JSON, id="lone surrogate, escaped"),
        pytest.param(with_raw("\\udfff", "1"), DeadLetterReason.NOT_JSON, id="lone surrogate in a key"),
        pytest.param(b'{"card_id": "\xed\xa0\x80"}', DeadLetterReason.NOT_UTF8, id="lone surrogate, encoded"),
        pytest.param(b'{"card_id": "\xff"}', DeadLetterReason.NOT_UTF8, id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + record(), DeadLetterReason.NOT_JSON, id="BOM"),
        pytest.param(record().decode().encode("utf-16"), DeadLetterReason.NOT_UTF8, id="UTF-16"),
        pytest.param(record().decode().encode("utf-16-le"), DeadLetterReason.NOT_JSON, id="UTF-16 without BOM"),
        pytest.param(b"null", DeadLetterReason.EMPTY, id="null"),
        pytest.param(b"", DeadLetterReason.EMPTY, id="empty"),
        pytest.param(b" \t\r\n", DeadLetterReason.EMPTY, id="blank"),
        pytest.param(b"[]", DeadLetterReason.NOT_AN_OBJECT, id="array"),
        pytest.param(b"12", DeadLetterReason.NOT_AN_OBJECT, id="number"),
        pytest.param(b'"text"', DeadLetterReason.NOT_AN_OBJECT, id="text"),
        pytest.param(b"true", DeadLetterReason.NOT_AN_OBJECT, id="true"),
        pytest.param(record()[:-1], DeadLetterReason.NOT_JSON, id="cut short"),
        pytest.param(record() + record(), DeadLetterReason.NOT_JSON, id="two in one"),
        pytest.param(b"{}", DeadLetterReason.MISSING_FIELD, id="no fields"),
        pytest.param(record(location="x" * MAX_RECORD_BYTES), DeadLetterReason.OVERSIZED, id="oversized"),
    ],
)
def test_faults_become_dead_letters_with_their_reason(raw: bytes, reason: DeadLetterReason) -> None:
    assert reason_of(raw) is reason


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("card_id", "[1]"),
        ("card_id", "{}"),
        ("card_id", "true"),
        ("card_id", "1.5"),
        ("transaction_id", str(2**64)),
        ("transaction_id", str(-(2**63) - 1)),
        ("transaction_id", json.dumps("x" * 129)),
        ("merchant_id", "1e25"),
        ("customer_id", str(10**30)),
        ("card_id", "[" * 1_000 + "]" * 1_000),
        ("location", json.dumps("x" * 513)),
        ("amount", "true"),
        ("amount", '"12,50"'),
        ("amount", "[]"),
        ("amount", "1000000000000"),
        ("amount", '"' + "1" * 100_000 + '"'),
        ("timestamp", "false"),
        ("timestamp", '"yesterday"'),
        ("timestamp", "1772442000000"),
        ("timestamp", '"1969-12-31T23:59:59Z"'),
        ("currency", '"EURO"'),
        ("currency", '"€€€"'),
        ("currency", '"EUR\\n"'),
        ("latitude", '90.1, "longitude": 0'),
        ("latitude", '"NaN", "longitude": 0'),
        ("latitude", '"north", "longitude": 0'),
        ("longitude", '180.1, "latitude": 0'),
        ("longitude", '[], "latitude": 0'),
    ],
)
def test_an_impossible_value_is_refused_with_its_column_named(field: str, text: str) -> None:
    rejection = rejected(JsonDecoder(LABELLED).decode(with_raw(field, text)))
    assert rejection.reason is not DeadLetterReason.MISSING_FIELD
    if text.count("[") < 200:
        assert rejection.reason is DeadLetterReason.INVALID_FIELD
        assert rejection.detail.startswith(field)


@pytest.mark.parametrize("field", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  \t"])
def test_a_required_field_that_is_null_or_blank_is_missing(field: str, value: str | None) -> None:
    rejection = rejected(JsonDecoder(LABELLED).decode(record(**{field: value})))
    assert rejection.reason is DeadLetterReason.MISSING_FIELD
    assert field in rejection.detail


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_that_is_not_there_is_missing(field: str) -> None:
    raw = json.dumps({name: value for name, value in VALID.items() if name != field}).encode()
    rejection = rejected(JsonDecoder(LABELLED).decode(raw))
    assert rejection.reason is DeadLetterReason.MISSING_FIELD
    assert field in rejection.detail


@pytest.mark.parametrize("field", ["latitude", "longitude"])
def test_one_coordinate_alone_is_refused_naming_both_columns(field: str) -> None:
    columns = ColumnMap(columns={"latitude": "LAT", "longitude": "LON"})
    column = columns.column(field)
    rejection = rejected(JsonDecoder(columns).decode(record(**{column: 1.5})))
    assert rejection.reason is DeadLetterReason.INVALID_FIELD
    assert "LAT" in rejection.detail
    assert "LON" in rejection.detail


def test_details_name_the_column_of_the_input_and_not_the_field() -> None:
    columns = ColumnMap(columns={"amount": "TX_AMOUNT"})
    rejection = rejected(JsonDecoder(columns).decode(record(TX_AMOUNT="much")))
    assert rejection.detail.startswith("TX_AMOUNT")


def test_details_hold_no_control_characters_even_of_a_column_name() -> None:
    column = "\x1b]52;c;\x07\u202e" + "x" * 500
    rejection = rejected(JsonDecoder(ColumnMap(columns={"amount": column})).decode(record()))
    assert rejection.reason is DeadLetterReason.MISSING_FIELD


def test_messages_of_the_earlier_platform_pass_unchanged() -> None:
    transaction = decoded(record()).transaction
    assert transaction.transaction_id == "t-1"
    assert transaction.card_id == "c-1"
    assert transaction.amount == Decimal("12.50")
    assert transaction.timestamp == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert transaction.location == "Lake Adriana, MT"
    assert transaction.merchant_category == "restaurant"
    assert transaction.merchant_id is None


def test_fields_that_nobody_knows_are_ignored_nested_or_not() -> None:
    raw = record(device={"os": "x", "apps": [{"os": "y"}, {"os": "z"}]}, note='a "quoted" \\ text', flag=None)
    assert decoded(raw).transaction == decoded(record()).transaction


@pytest.mark.parametrize("number", [0, 7, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)])
def test_a_whole_number_as_an_identifier_keeps_every_digit(number: int) -> None:
    transaction = decoded(record(transaction_id=number, card_id=number, merchant_id=number)).transaction
    assert transaction.transaction_id == transaction.card_id == transaction.merchant_id == str(number)


@given(st.integers(), st.integers(0, 5))
@example(2**64, 1)
@example(10**30, 1)
def test_two_whole_numbers_are_never_taken_for_one_identifier(number: int, distance: int) -> None:
    outcomes = [JsonDecoder(LABELLED).decode(record(transaction_id=each)) for each in (number, number + distance)]
    ids = [each.transaction.transaction_id for each in outcomes if isinstance(each, Decoded)]
    assert ids == [str(each) for each in (number, number + distance) if -(2**63) <= each < 2**64]


def object_text(pairs: Iterable[tuple[str, object]], *, ascii_only: bool) -> bytes:
    members = (f"{json.dumps(key, ensure_ascii=ascii_only)}:{json.dumps(value)}" for key, value in pairs)
    return "{{{}}}".format(",".join(members)).encode()


@given(st.dictionaries(KEYS, SAFE_VALUES, max_size=6), st.booleans())
def test_distinct_keys_are_never_refused_as_repeated(extra: dict[str, object], ascii_only: bool) -> None:
    outcome = JsonDecoder(ColumnMap()).decode(object_text({**VALID, **extra}.items(), ascii_only=ascii_only))
    assert isinstance(outcome, Decoded) or outcome.reason is not DeadLetterReason.DUPLICATE_KEY


@given(st.dictionaries(KEYS, SAFE_VALUES, min_size=1, max_size=6), SAFE_VALUES, st.booleans(), st.data())
def test_a_repeated_key_is_always_refused(
    members: dict[str, object], again: object, ascii_only: bool, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(members)))
    raw = object_text([*members.items(), (key, again)], ascii_only=ascii_only)
    nested = b'{"a": [' + raw + b"]}"
    for each in (raw, nested):
        assert reason_of(each) is DeadLetterReason.DUPLICATE_KEY


def test_the_reason_does_not_depend_on_how_deep_the_caller_is() -> None:
    decoder = JsonDecoder(ColumnMap())
    raws = [with_raw("extra", '{"a":' * depth + "1" + "}" * depth) for depth in (150, 400, 700, 900, 1_000)]

    def at_depth(calls: int) -> list[Decoded | Rejection]:
        return at_depth(calls - 1) if calls else [decoder.decode(raw) for raw in raws]

    assert at_depth(0) == at_depth(500)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, False),
        (1, True),
        (True, True),
        (False, False),
        ("0", False),
        ("1", True),
        ("true", True),
        ("FALSE", False),
        (" True ", True),
        (None, None),
        ("", None),
        ("  ", None),
    ],
)
def test_labels_are_read(label: object, expected: bool | None) -> None:
    assert decoded(record(is_fraud=label)).is_fraud is expected


def test_a_record_without_a_label_has_none() -> None:
    assert decoded(record()).is_fraud is None
    assert decoded(record(is_fraud=1), ColumnMap()).is_fraud is None


@pytest.mark.parametrize("label", [2, -1, "yes", "fraud", [], {}, [[[]]], "1" * 100_000, 0.5])
def test_a_label_that_is_neither_0_nor_1_is_refused_with_its_column_named(label: object) -> None:
    rejection = rejected(JsonDecoder(LABELLED).decode(record(is_fraud=label)))
    assert rejection.reason is DeadLetterReason.INVALID_FIELD
    assert rejection.detail.startswith("is_fraud")


def test_scenarios_are_read_of_fraud_only_and_bounded() -> None:
    assert decoded(record(is_fraud=1, scenario="card_testing")).scenario == "card_testing"
    assert decoded(record(is_fraud=0, scenario="card_testing")).scenario is None
    assert decoded(record(is_fraud=1, scenario="  ")).scenario is None
    assert decoded(record(is_fraud=1, scenario=None)).scenario is None
    assert decoded(record(is_fraud=1, scenario="x" * 1_000)).scenario == "x" * 64


def csv_row(values: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().removesuffix("\r\n").encode()


def test_handbook_records_are_read_with_their_scenarios_named() -> None:
    decoder = CsvDecoder(HANDBOOK, HANDBOOK_HEADER)
    scenarios = []
    transactions = []
    for code in "0123":
        outcome = decoder.decode(f"17,2018-04-01T00:02:10Z,4961,3412,81.51,{min(int(code), 1)},{code}".encode())
        assert isinstance(outcome, Decoded)
        assert outcome.is_fraud is (code != "0")
        scenarios.append(outcome.scenario)
        transactions.append(outcome.transaction)
    transaction = transactions[0]
    assert scenarios == [None, "amount_over_220", "compromised_terminal", "compromised_card"]
    assert (transaction.transaction_id, transaction.card_id, transaction.merchant_id) == ("17", "4961", "3412")
    assert transaction.amount == Decimal("81.51")
    assert transaction.timestamp == datetime(2018, 4, 1, 0, 2, 10, tzinfo=UTC)


def test_csv_bad_labels_and_fields_name_the_column() -> None:
    decoder = CsvDecoder(HANDBOOK, HANDBOOK_HEADER)
    for row, column in (
        (b"17,2018-04-01T00:02:10Z,4961,3412,81.51,perhaps,0", "TX_FRAUD"),
        (b"17,2018-04-01T00:02:10Z,4961,3412,a lot,0,0", "TX_AMOUNT"),
        (b"17,then,4961,3412,81.51,0,0", "TX_DATETIME"),
    ):
        rejection = rejected(decoder.decode(row))
        assert rejection.reason is DeadLetterReason.INVALID_FIELD
        assert rejection.detail.startswith(column)


WIDE = ("transaction_id", "card_id", "amount", "timestamp", "location", "note")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
@example('a "quoted", field\r\nof two lines')
@example('"')
@example("\r")
def test_quotes_commas_and_line_breaks_in_a_csv_field_are_text(note: str) -> None:
    row = csv_row(["t", "c", "1.5", "2026-03-02T09:00:00Z", "Paris", note])
    columns = ColumnMap(columns={"merchant_name": "note"})
    outcome = CsvDecoder(columns, WIDE).decode(row)
    assert isinstance(outcome, Decoded)
    assert outcome.transaction.merchant_name == (note if note.strip() else None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"t,c,1.5,2026-03-02T09:00:00Z,Paris", DeadLetterReason.WRONG_COLUMN_COUNT),
        (b"t,c,1.5,2026-03-02T09:00:00Z,Paris,n,n", DeadLetterReason.WRONG_COLUMN_COUNT),
        (b't,c,1.5,2026-03-02T09:00:00Z,Paris,"open', DeadLetterReason.WRONG_COLUMN_COUNT),
        (b't,c,1.5,2026-03-02T09:00:00Z,Paris,"closed"x', DeadLetterReason.WRONG_COLUMN_COUNT),
        (b"t,c,1.5,2026-03-02T09:00:00Z,Paris,n\nt", DeadLetterReason.WRONG_COLUMN_COUNT),
        (b"\xff,c,1.5,2026-03-02T09:00:00Z,Paris,n", DeadLetterReason.NOT_UTF8),
        (b"t,c,\x00,2026-03-02T09:00:00Z,Paris,n", DeadLetterReason.INVALID_FIELD),
        (b"t,,1.5,2026-03-02T09:00:00Z,Paris,n", DeadLetterReason.MISSING_FIELD),
        (b"", DeadLetterReason.EMPTY),
        (b"  ", DeadLetterReason.EMPTY),
        (b"t,c,1.5,2026-03-02T09:00:00Z,Paris," + b"n" * MAX_RECORD_BYTES, DeadLetterReason.OVERSIZED),
    ],
)
def test_csv_faults_become_dead_letters_with_their_reason(raw: bytes, reason: DeadLetterReason) -> None:
    assert rejected(CsvDecoder(ColumnMap(), WIDE).decode(raw)).reason is reason


def test_a_long_csv_field_that_nobody_reads_does_no_harm() -> None:
    row = csv_row(["t", "c", "1.5", "2026-03-02T09:00:00Z", "Paris", "n" * 500_000])
    assert isinstance(CsvDecoder(ColumnMap(), WIDE).decode(row), Decoded)


@pytest.mark.parametrize("depth", [100, 500, 1_000])
def test_a_repeated_key_whose_first_value_was_nested_deep_is_refused_as_repeated(depth: int) -> None:
    raw = with_raw("amount", '{"a":' * depth + "1" + "}" * depth + ', "amount": 1')
    assert reason_of(raw) is DeadLetterReason.DUPLICATE_KEY
