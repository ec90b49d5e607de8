"""Labels from a file: NDJSON or CSV, plain or gzip; which transaction, fraud or not, and when that was known."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from data.errors import SettingError
from data.label_writes import GivenLabel
from data.models import Identifier, Timestamp
from data.timestamps import to_microseconds
from engine.decode import RejectedError, csv_cells, json_object, truth
from engine.files import FileSource, open_records

FIELDS: Final = ("transaction_id", "fraud", "known_at")
REQUIRED: Final = ("transaction_id", "fraud")
PRESETS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"handbook": MappingProxyType({"transaction_id": "TRANSACTION_ID", "fraud": "TX_FRAUD"})}
)


class UnreadableLabel(NamedTuple):
    """A record that is no label: where it stands, and why."""

    line: int
    detail: str


class LabelLot(NamedTuple):
    """What was read at once."""

    labels: tuple[GivenLabel, ...]
    unreadable: tuple[UnreadableLabel, ...]
    fraction_read: float | None


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    transaction_id: Identifier
    known_at: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file of labels, opened; records are numbered from 1, a header left out."""

    source: FileSource
    header: tuple[str, ...] | None
    columns: Mapping[str, str]

    async def lots(self) -> AsyncGenerator[LabelLot]:
        """Everything in the file, in order.

        Raises:
            SourceError: it is cut short or damaged, after what came before was given.
        """
        async with aclosing(self.source.batches(0)) as batches:
            async for batch in batches:
                read = [self._read(line, raw) for line, raw in enumerate(batch.records, batch.first_offset + 1)]
                yield LabelLot(
                    tuple(each for each in read if isinstance(each, GivenLabel)),
                    tuple(each for each in read if isinstance(each, UnreadableLabel)),
                    self.source.fraction_read,
                )

    def _read(self, line: int, raw: bytes) -> GivenLabel | UnreadableLabel:
        try:
            values = self._values(raw)
            fraud = truth(self.columns["fraud"], values.get("fraud"))
            if fraud is None:
                return UnreadableLabel(line, f"{self.columns['fraud']} is missing: 0 or 1 is expected")
            known_at = values.get("known_at")
            read = _Line.model_validate(
                {"transaction_id": values.get("transaction_id"), "known_at": None if known_at == "" else known_at}
            )
        except RejectedError as error:
            return UnreadableLabel(line, error.rejection.detail)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            column = self.columns[str(first["loc"][0])]
            return UnreadableLabel(line, f"{column}: {first['msg'].removeprefix('Value error, ')}")
        moment = None if read.known_at is None else to_microseconds(read.known_at)
        return GivenLabel(line, read.transaction_id, fraud, moment)

    def _values(self, raw: bytes) -> dict[str, object]:
        if self.header is None:
            record = json_object(raw)
        else:
            record = dict(zip(self.header, csv_cells(raw, len(self.header)), strict=True))
        return {name: record[column] for name, column in self.columns.items() if column in record}


def open_labels(path: str, columns: Mapping[str, str], *, monotonic: Callable[[], float]) -> LabelFile:
    """Open a file of labels, or ``-`` for standard input; ``columns`` names those that are called otherwise.

    Raises:
        SourceError: it is missing, cannot be read, or lacks a column.
    """
    named = {name: columns.get(name, name) for name in FIELDS}
    expected = [named[name] for name in FIELDS if name in REQUIRED or name in columns]
    source, header = open_records(path, expected, tuple(named.values()), monotonic=monotonic)
    return LabelFile(source, None if header is None else tuple(header), named)


def label_columns(preset: str | None, mapping: str | None) -> Mapping[str, str]:
    """The columns of a known format, refined by ``transaction_id=ID,fraud=IS_FRAUD,known_at=REPORTED``.

    Raises:
        SettingError: there is no such format, or a part is not FIELD=COLUMN with a field of a label.
    """
    if preset is not None and preset not in PRESETS:
        raise SettingError(f"there is no preset {preset[:80]!r} of labels: choose one of {', '.join(sorted(PRESETS))}")
    columns = dict(PRESETS[preset]) if preset is not None else {}
    for part in mapping.split(",") if mapping else ():
        name, _, column = (piece.strip() for piece in part.partition("="))
        if name not in FIELDS or not column:
            raise SettingError(
                f"--map has {part[:80]!r}, which is not FIELD=COLUMN: the fields of a label are {', '.join(FIELDS)}"
            )
        columns[name] = column
    return columns
