"""Raw bytes to a transaction, or to the reason why not. Never raises, whatever the bytes."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from data.models import DeadLetterReason, Transaction
from engine.columns import FIELDS, REQUIRED, ColumnMap

MAX_RECORD_BYTES = 1 << 20
MAX_DETAIL = 200
_IDENTIFIERS = ("transaction_id", "card_id", "merchant_id", "customer_id")
_MAX_EXCERPT = 60
_MAX_SCENARIO = 64
_TRUTH = {"1": True, "true": True, "0": False, "false": False}
_NO_SCENARIO = frozenset({"", "0"})
_UTF8_BOM = b"\xef\xbb\xbf"
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"(\s*:)?|[{}]')
"""In valid JSON: its strings, each with the colon that makes it a key, and where objects begin and end."""

_validate = Transaction.__pydantic_validator__.validate_python

# A record is bounded as a whole; the limit that the module has by itself would refuse a long column that nobody reads.
csv.field_size_limit(MAX_RECORD_BYTES)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A transaction, with the ground truth where the record carries it."""

    transaction: Transaction
    is_fraud: bool | None
    scenario: str | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is no transaction: one printable line of at most MAX_DETAIL characters."""

    reason: DeadLetterReason
    detail: str


class Decoder(Protocol):
    """Reads one record."""

    def decode(self, raw: bytes) -> Decoded | Rejection:
        """The transaction of a record, or why there is none."""


class JsonDecoder:
    """Reads a JSON object in UTF-8.

    A byte order mark is ``not_json``: it is sound UTF-8, but RFC 8259 (8.1) forbids to send one. A repeated key is
    refused at any depth, because readers differ in which of the values they keep.
    """

    def __init__(self, columns: ColumnMap) -> None:
        self._fields = _FieldReader(columns)
        self._identifiers = tuple(columns.column(name) for name in _IDENTIFIERS)

    def decode(self, raw: bytes) -> Decoded | Rejection:
        """The transaction of a JSON object, or why there is none."""
        try:
            values = json_object(raw)
            self._refuse_rounded_identifiers(values)
            return self._fields.read(values)
        except RejectedError as error:
            return error.rejection

    def _refuse_rounded_identifiers(self, values: Mapping[str, Any]) -> None:
        """A whole number of over 64 bits is read as a float: as text it would be the same as its neighbours'."""
        for column in self._identifiers:
            if type(values.get(column)) is float:
                raise _invalid(column, values[column], "text is expected, or a whole number below 2**64")


class CsvDecoder:
    """Reads one CSV record (RFC 4180) in UTF-8 under a header. Broken quoting is ``wrong_column_count``."""

    def __init__(self, columns: ColumnMap, header: Sequence[str]) -> None:
        self._fields = _FieldReader(columns, header)
        self._header = tuple(header)

    def decode(self, raw: bytes) -> Decoded | Rejection:
        """The transaction of a CSV record, or why there is none."""
        try:
            return self._fields.read(dict(zip(self._header, csv_cells(raw, len(self._header)), strict=True)))
        except RejectedError as error:
            return error.rejection


class RejectedError(Exception):
    """A record cannot be read; carries why."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, _bounded(_printable(detail[: 2 * MAX_DETAIL]), MAX_DETAIL))


class _FieldReader:
    """Maps columns to fields, validates, and reads the ground truth."""

    def __init__(self, columns: ColumnMap, header: Sequence[str] | None = None) -> None:
        self._columns = columns
        pairs = tuple((name, columns.column(name)) for name in FIELDS)
        self._same_names = all(name == column for name, column in pairs)
        self._pairs = tuple((name, column) for name, column in pairs if header is None or column in header)

    def read(self, values: Mapping[str, Any]) -> Decoded:
        fields = values
        if not self._same_names:
            fields = {name: values[column] for name, column in self._pairs if column in values}
        try:
            transaction = _validate(fields)
        except ValidationError as error:
            raise self._rejected(error, fields) from None
        label = self._columns.label
        if label is None:
            return Decoded(transaction, None, None)
        is_fraud = truth(label, values.get(label))
        return Decoded(transaction, is_fraud, self._scenario(values) if is_fraud else None)

    def _rejected(self, error: ValidationError, fields: Mapping[str, Any]) -> RejectedError:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if not first["loc"]:
            return self._half_a_place(fields)
        name = str(first["loc"][0])
        column = _column(self._columns.column(name))
        value = fields.get(name)
        # A blank is a CSV file's only way to leave a value out, and the model reads a blank optional field as absent.
        if name in REQUIRED and (value is None or (isinstance(value, str) and not value.strip())):
            return RejectedError(DeadLetterReason.MISSING_FIELD, f"{column} is missing")
        problem = first["msg"].removeprefix("Value error, ")
        return RejectedError(DeadLetterReason.INVALID_FIELD, f"{column} is {_excerpt(value)}: {problem}")

    def _half_a_place(self, fields: Mapping[str, Any]) -> RejectedError:
        """The only thing that a transaction refuses as a whole: one coordinate without the other."""
        halves = ["latitude", "longitude"]
        if fields.get("latitude") in (None, ""):
            halves.reverse()
        given, absent = (_column(self._columns.column(name)) for name in halves)
        detail = f"{given} is {_excerpt(fields.get(halves[0]))} without {absent}: both are needed, or neither"
        return RejectedError(DeadLetterReason.INVALID_FIELD, detail)

    def _scenario(self, values: Mapping[str, Any]) -> str | None:
        column = self._columns.scenario
        value = None if column is None else values.get(column)
        if column is None or value is None:
            return None
        if not isinstance(value, (str, int)):
            raise _invalid(column, value, "the name or number of a scenario is expected")
        name = str(value).strip()
        if name in _NO_SCENARIO:
            return None
        return self._columns.scenario_names.get(name, name[:_MAX_SCENARIO])


def truth(column: str, value: object) -> bool | None:
    """The ground truth; None where it is absent, null or blank."""
    if value is None:
        return None
    if isinstance(value, (str, int)):
        text = str(value).strip().lower()
        if text in _TRUTH:
            return _TRUTH[text]
        if not text:
            return None
    raise _invalid(column, value, "0, 1, true or false is expected")


def json_object(raw: bytes) -> dict[str, Any]:
    """The object that a record is, each key once.

    Raises:
        RejectedError: it is something else.
    """
    _check_size(raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _why_not_json(raw, error) from None
    if value is None:
        raise RejectedError(DeadLetterReason.EMPTY, "the record is null")
    if not isinstance(value, dict):
        raise RejectedError(DeadLetterReason.NOT_AN_OBJECT, f"the record is {_excerpt(value)}, not a JSON object")
    # Each key and each text brings two quotes. The parser keeps one of a repeated key, and what is nested or escaped
    # adds quotes that are not counted here: the numbers agree only where there is nothing of either.
    texts = list(map(type, value.values())).count(str)
    if raw.count(b'"') != 2 * (len(value) + texts):
        _refuse_repeated_keys(raw)
    return value


def _why_not_json(raw: bytes, error: orjson.JSONDecodeError) -> RejectedError:
    if not raw.strip():
        return RejectedError(DeadLetterReason.EMPTY, "the record is empty")
    _text(raw)
    if raw.startswith(_UTF8_BOM):
        return RejectedError(DeadLetterReason.NOT_JSON, "not JSON: it starts with a UTF-8 byte order mark")
    return RejectedError(DeadLetterReason.NOT_JSON, f"not JSON: {error}")


def _refuse_repeated_keys(raw: bytes) -> None:
    """Without recursion, so that the outcome depends on the record alone and not on the depth of the stack."""
    open_objects: list[set[str]] = []
    for token in _STRUCTURE.finditer(raw):
        if token[0] == b"{":
            open_objects.append(set())
        elif token[0] == b"}":
            open_objects.pop()
        elif token[1] is not None:
            key = orjson.loads(token[0].removesuffix(token[1]))
            if key in open_objects[-1]:
                raise RejectedError(DeadLetterReason.DUPLICATE_KEY, f"the key {_excerpt(key)} comes twice")
            open_objects[-1].add(key)


def csv_cells(raw: bytes, columns: int) -> list[str]:
    """The cells of a record (RFC 4180), as many as ``columns``.

    Raises:
        RejectedError: there are more or fewer, or it is no such record.
    """
    _check_size(raw)
    text = _text(raw)
    try:
        cells = next(csv.reader((text,), strict=True), [])
    except csv.Error as error:
        raise RejectedError(DeadLetterReason.WRONG_COLUMN_COUNT, f"not a CSV record: {error}") from None
    if len(cells) != columns:
        if not text.strip():
            raise RejectedError(DeadLetterReason.EMPTY, "the record is empty")
        detail = f"{len(cells)} columns where the header has {columns}"
        raise RejectedError(DeadLetterReason.WRONG_COLUMN_COUNT, detail)
    return cells


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_RECORD_BYTES:
        raise RejectedError(DeadLetterReason.OVERSIZED, f"the record is longer than {MAX_RECORD_BYTES:,} bytes")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"not UTF-8: {error.reason} at byte {error.start}, 0x{raw[error.start]:02x}"
        raise RejectedError(DeadLetterReason.NOT_UTF8, detail) from None


def _invalid(column: str, value: object, expected: str) -> RejectedError:
    return RejectedError(DeadLetterReason.INVALID_FIELD, f"{_column(column)} is {_excerpt(value)}: {expected}")


def _column(name: str) -> str:
    return _bounded(name, _MAX_EXCERPT)


def _excerpt(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        # Cut first: a text may be a megabyte long.
        value = value[:_MAX_EXCERPT]
    return _bounded(repr(value), _MAX_EXCERPT)


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
