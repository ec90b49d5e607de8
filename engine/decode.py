"""Raw bytes to a transaction, or to the reason why not. Never raises, whatever the bytes."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from data.models import DeadLetterReason, Transaction
from engine.columns import FIELDS, REQUIRED, ColumnMap

MAX_RECORD_BYTES = 1 << 20
MAX_DETAIL = 200
_MAX_EXCERPT = 60
_TRUTH = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False}
_NO_SCENARIO = frozenset({"", "0", "none", "null"})


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


class _RejectedError(Exception):
    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, detail[:MAX_DETAIL])


class JsonDecoder:
    """Reads a JSON object in UTF-8."""

    def __init__(self, columns: ColumnMap) -> None:
        self._fields = _FieldReader(columns)

    def decode(self, raw: bytes) -> Decoded | Rejection:
        """The transaction of a JSON object, or why there is none."""
        try:
            return self._fields.read(_json_object(raw))
        except _RejectedError as error:
            return error.rejection


class CsvDecoder:
    """Reads one CSV record, quotes included, under a header."""

    def __init__(self, columns: ColumnMap, header: Sequence[str]) -> None:
        self._fields = _FieldReader(columns)
        self._header = tuple(header)

    def decode(self, raw: bytes) -> Decoded | Rejection:
        """The transaction of a CSV record, or why there is none."""
        try:
            return self._fields.read(self._values(raw))
        except _RejectedError as error:
            return error.rejection

    def _values(self, raw: bytes) -> dict[str, Any]:
        text = _text(raw)
        try:
            (values,) = csv.reader([text], strict=True)
        except (csv.Error, ValueError) as error:
            raise _RejectedError(DeadLetterReason.WRONG_COLUMN_COUNT, f"not a CSV record: {error}") from None
        if len(values) != len(self._header):
            detail = f"{len(values)} columns where the header has {len(self._header)}"
            raise _RejectedError(DeadLetterReason.WRONG_COLUMN_COUNT, detail)
        return dict(zip(self._header, values, strict=True))


class _FieldReader:
    """Maps columns to fields, validates, and reads the ground truth."""

    def __init__(self, columns: ColumnMap) -> None:
        self._columns = columns
        self._pairs = tuple((name, columns.column(name)) for name in FIELDS)
        self._same_names = all(name == column for name, column in self._pairs)

    def read(self, values: Mapping[str, Any]) -> Decoded:
        if self._same_names:
            fields = values
        else:
            fields = {name: values[column] for name, column in self._pairs if column in values}
        try:
            transaction = Transaction.model_validate(fields)
        except ValidationError as error:
            raise self._rejected(error, fields) from None
        if self._columns.label is None:
            return Decoded(transaction, None, None)
        is_fraud = self._label(values)
        return Decoded(transaction, is_fraud, self._scenario(values) if is_fraud else None)

    def _rejected(self, error: ValidationError, fields: Mapping[str, Any]) -> _RejectedError:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "latitude"
        column = self._columns.column(name)
        value = fields.get(name)
        if name in REQUIRED and (value is None or (isinstance(value, str) and not value.strip())):
            return _RejectedError(DeadLetterReason.MISSING_FIELD, f"{column} is missing")
        problem = first["msg"].removeprefix("Value error, ")
        return _RejectedError(DeadLetterReason.INVALID_FIELD, f"{column} {_excerpt(value)}: {_printable(problem)}")

    def _label(self, values: Mapping[str, Any]) -> bool | None:
        column = self._columns.label or ""
        value = values.get(column)
        if value is None or value == "":
            return None
        known = _TRUTH.get(str(value).strip().lower())
        if known is None:
            raise _RejectedError(DeadLetterReason.INVALID_FIELD, f"{column} {_excerpt(value)}: 0 or 1 is expected")
        return known

    def _scenario(self, values: Mapping[str, Any]) -> str | None:
        value = str(values.get(self._columns.scenario or "") or "").strip()
        if value.lower() in _NO_SCENARIO:
            return None
        return self._columns.scenario_names.get(value, value[:64])


def _json_object(raw: bytes) -> dict[str, Any]:
    _check_size(raw)
    if not raw.strip():
        raise _RejectedError(DeadLetterReason.EMPTY, "the record is empty")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        _text(raw)
        raise _RejectedError(DeadLetterReason.NOT_JSON, f"not JSON: {_printable(str(error))}") from None
    if value is None:
        raise _RejectedError(DeadLetterReason.EMPTY, "the record is null")
    if not isinstance(value, dict):
        raise _RejectedError(DeadLetterReason.NOT_AN_OBJECT, f"a JSON {type(value).__name__}, not an object")
    # Without escapes and nesting, the quotes are two to each key and each text, unless orjson dropped a repeated key.
    strings = sum(isinstance(each, str) for each in value.values())
    if raw.count(b'"') != 2 * (len(value) + strings) or b"\\" in raw:
        _refuse_repeated_keys(raw)
    return value


def _refuse_repeated_keys(raw: bytes) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise _RejectedError(DeadLetterReason.DUPLICATE_KEY, f"the key {_excerpt(repeated)} comes twice")

    try:
        json.loads(raw, object_pairs_hook=check)
    except (RecursionError, ValueError):
        raise _RejectedError(DeadLetterReason.NOT_JSON, "not JSON: nested too deep, or a number too long") from None


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_RECORD_BYTES:
        raise _RejectedError(DeadLetterReason.OVERSIZED, f"over {MAX_RECORD_BYTES:,} bytes")


def _text(raw: bytes) -> str:
    _check_size(raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _RejectedError(DeadLetterReason.NOT_UTF8, f"byte {error.start} is not UTF-8") from None


def _excerpt(value: object) -> str:
    text = repr(value)
    return _printable(text if len(text) <= _MAX_EXCERPT else text[: _MAX_EXCERPT - 1] + "…")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
