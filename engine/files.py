"""Transactions from a file or standard input: NDJSON or CSV, plain or gzip, resumable at any record."""

import asyncio
import csv
import hashlib
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from uuid import uuid4

from data.errors import SourceError
from engine.columns import ColumnMap
from engine.decode import MAX_RECORD_BYTES, CsvDecoder, Decoder, JsonDecoder
from engine.framing import GZIP_MAGIC, UTF8_BOM, DamagedError, Descriptor, FileFormat, records, unpacked
from engine.records import Batch

MAX_BATCH = 512
STANDARD_INPUT = "-"

_MAX_PENDING_BYTES = 8 * MAX_RECORD_BYTES
_HEAD_BYTES = 4096
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class FileSource:
    """The records of one file or of standard input, as one partition; offsets count records from 0.

    A file's partition is its path with a digest of its first record (in CSV with the header), so that one that has
    grown is the same partition, and one that begins otherwise under the same name is another; one without any record
    starts anew when it grows. Standard input and pipes cannot be read again: they are a new partition each time, which
    is never resumed, and can be iterated once.
    """

    def __init__(self, origin: "_Origin", monotonic: Callable[[], float], max_batch: int) -> None:
        self._origin = origin
        self._monotonic = monotonic
        self._max_batch = max_batch
        self._taken = 0

    @property
    def name(self) -> str:
        """``file``, or ``stdin``."""
        return self._origin.name

    @property
    def partition(self) -> str:
        """The file's path and the digest of its beginning."""
        return self._origin.partition

    @property
    def fraction_read(self) -> float | None:
        """Bytes consumed, as they are on disk, over the file's size; None for standard input and pipes."""
        size = self._origin.size
        if size is None:
            return None
        return min(1.0, self._taken / size) if size else 1.0

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        """Every record from ``start_offset`` on. Reading happens in a thread, because a pipe makes it wait.

        Raises:
            SourceError: the file is cut short or damaged, after the sound records before it were given; or it has
                fewer records than were read before.
        """
        loop = asyncio.get_running_loop()
        reading = self._origin.begin()
        lots = self._lots(reading, start_offset)
        offset = start_offset
        following = loop.run_in_executor(None, next, lots, None)
        try:
            while True:
                await asyncio.wait({following})
                ready = following.result()
                if ready is None:
                    return
                self._taken = reading.descriptor.taken
                for lot in ready:
                    yield Batch(self.partition, offset, lot, self._monotonic())
                    offset += len(lot)
                following = loop.run_in_executor(None, next, lots, None)
        finally:
            # The descriptor is the thread's own for as long as it reads, and it never waits long.
            await asyncio.wait({following})
            following.exception()
            reading.descriptor.close()

    def _lots(self, reading: "_Reading", start_offset: int) -> Iterator[list[tuple[bytes, ...]]]:
        """For each portion of the input the batches that it completes, none of them while records are skipped.

        A file fills its batches, unless its records are huge; a pipe hands over what there is.
        """
        seen = -self._origin.header_records
        pending: list[bytes] = []
        damage: Exception | None = None
        try:
            for complete in reading.records:
                skipped = max(0, start_offset - seen)
                seen += len(complete)
                pending += complete[skipped:]
                whole = len(pending) - len(pending) % self._max_batch
                if self._origin.live or sum(map(len, pending)) > _MAX_PENDING_BYTES:
                    whole = len(pending)
                yield self._cut(pending[:whole])
                del pending[:whole]
        except DamagedError as error:
            damage = error
        yield self._cut(pending)
        if damage is not None:
            raise SourceError(self._origin.damaged(max(0, seen), damage))
        if seen < start_offset:
            raise SourceError(
                f"{self._origin.shown} has {seen:,} records, but {start_offset:,} were read from it before: "
                "give the whole file again, or start over with another --database"
            )

    def _cut(self, pending: list[bytes]) -> list[tuple[bytes, ...]]:
        size = self._max_batch
        return [tuple(pending[start : start + size]) for start in range(0, len(pending), size)]


def open_file(
    path: str,
    columns: ColumnMap,
    *,
    monotonic: Callable[[], float],
    format: FileFormat | None = None,
    max_batch: int = MAX_BATCH,
) -> tuple[FileSource, Decoder]:
    """Open a file of transactions, as ``open_records``, with the decoder for its format.

    Raises:
        SourceError: as ``open_records``.
    """
    source, header = open_records(
        path, columns.expected, columns.read, monotonic=monotonic, format=format, max_batch=max_batch
    )
    return source, JsonDecoder(columns) if header is None else CsvDecoder(columns, header)


def open_records(
    path: str,
    expected: Sequence[str],
    read: Sequence[str],
    *,
    monotonic: Callable[[], float],
    format: FileFormat | None = None,
    max_batch: int = MAX_BATCH,
) -> tuple[FileSource, list[str] | None]:
    """Open a file, or ``-`` for standard input, and find its format by its name, or else by its first lines.

    Waits for the first line where the input is a pipe. A CSV header must have the columns ``expected``, and none of
    those that are ``read`` twice.

    Returns:
        The records, and the header of a CSV file, None for NDJSON.

    Raises:
        SourceError: it is missing, cannot be read, is not gzip though its name says so, is UTF-16, has no header, or
            lacks a column that was asked for.
    """
    descriptor, size = _open(path)
    live = size is None
    kept = False
    try:
        shown = _shown(path)
        portions = unpacked(descriptor.portions())
        head, damage = _read_head(portions, live=live)
        if damage is not None and not head:
            raise SourceError(f"{shown} cannot be read ({damage}): give a sound copy")
        _check_encoding(shown, head)
        file_format = format or _format(path, head)
        reading = _Reading(descriptor, records(_again(head, damage, portions), file_format))
        header = None
        if file_format is FileFormat.CSV:
            reading, header = _read_header(reading, shown)
            _check_header(header, shown, expected, read)
        origin = _Origin(
            path=path,
            partition=f"{path}#{uuid4()}" if live else f"{_full_path(path)}#{_fingerprint(reading, file_format)}",
            size=size,
            file_format=file_format,
            reading=reading if live else None,
        )
        kept = live
        return FileSource(origin, monotonic, max_batch), header
    finally:
        if not kept:
            descriptor.close()


@dataclass(frozen=True, slots=True)
class _Reading:
    """One pass over an input: for each portion of it the records that end in it."""

    descriptor: Descriptor
    records: Iterator[list[bytes]]


@dataclass(frozen=True, slots=True)
class _Origin:
    """What is read. ``size`` in bytes as on disk, None for what is ``live``, which has one ``reading``."""

    path: str
    partition: str
    size: int | None
    file_format: FileFormat
    reading: _Reading | None

    @property
    def name(self) -> str:
        return "stdin" if self.path == STANDARD_INPUT else "file"

    @property
    def shown(self) -> str:
        return _shown(self.path)

    @property
    def live(self) -> bool:
        return self.reading is not None

    @property
    def header_records(self) -> int:
        return 1 if self.file_format is FileFormat.CSV else 0

    def begin(self) -> _Reading:
        """The records from the first on, with the header where there is one."""
        if self.reading is not None:
            return self.reading
        descriptor, _ = _open(self.path)
        return _Reading(descriptor, records(unpacked(descriptor.portions()), self.file_format))

    def damaged(self, seen: int, damage: Exception) -> str:
        """What to tell about an input that broke off."""
        what = f"{self.shown} is cut short or damaged after {seen:,} records ({damage})"
        if self.live:
            return f"{what}: they are scored; give all of it again, known transactions change nothing"
        return f"{what}: they are scored; once the file is whole, the same command goes on from there"


def _open(path: str) -> tuple[Descriptor, int | None]:
    """A descriptor, and the size of what it reads, None for standard input and pipes."""
    if path == STANDARD_INPUT:
        try:
            return Descriptor(sys.stdin.fileno(), live=True, owned=False), None
        except (AttributeError, OSError, ValueError):
            raise SourceError("standard input is closed: give a file, or pipe records in") from None
    shown = _shown(path)
    try:
        number = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise SourceError(f"there is no file {shown}: check the path") from None
    except PermissionError:
        raise SourceError(f"{shown} may not be read by this user: change its permissions, or copy it") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{shown} cannot be opened ({error}): check the path") from None
    status = os.fstat(number)
    live = not stat.S_ISREG(status.st_mode)
    descriptor = Descriptor(number, live=live, owned=True)
    if stat.S_ISDIR(status.st_mode):
        descriptor.close()
        raise SourceError(f"{shown} is a folder: give a file in it")
    if not live and path.lower().endswith(".gz") and os.pread(number, len(GZIP_MAGIC), 0) != GZIP_MAGIC:
        descriptor.close()
        raise SourceError(f"{shown} is not gzip, though its name ends in .gz: rename it, or fetch it again")
    return descriptor, None if live else status.st_size


def _read_head(portions: Iterator[bytes], *, live: bool) -> tuple[bytes, DamagedError | None]:
    """The beginning: as much as tells the format, of a pipe no more than the first line; and what broke it off."""
    head = b""
    try:
        while len(head) < _HEAD_BYTES and not (live and b"\n" in head.lstrip()):
            portion = next(portions, None)
            if portion is None:
                break
            head += portion
    except DamagedError as damage:
        return head, damage
    return head, None


def _again(head: bytes, damage: DamagedError | None, portions: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    if damage is not None:
        raise damage
    yield from portions


def _check_encoding(shown: str, head: bytes) -> None:
    # A zero among the first two bytes is UTF-16 without a mark: neither JSON nor a header holds one.
    if head.startswith(_UTF16_BOMS) or b"\0" in head[:2]:
        raise SourceError(f"{shown} is UTF-16: save it as UTF-8")


def _format(path: str, head: bytes) -> FileFormat:
    name = path.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return FileFormat.CSV
    if name.endswith((".ndjson", ".jsonl", ".json")):
        return FileFormat.NDJSON
    lines = head.removeprefix(UTF8_BOM).split(b"\n")
    # A malformed first record does not make a CSV file of a stream of objects.
    has_object = any(line.lstrip().startswith(b"{") for line in lines)
    return FileFormat.NDJSON if has_object or not any(line.strip() for line in lines) else FileFormat.CSV


def _read_header(reading: _Reading, shown: str) -> tuple[_Reading, list[str]]:
    """The header, and the reading with the header still in it."""
    try:
        first = next(filter(None, reading.records), None)
    except DamagedError as damage:
        raise SourceError(f"{shown} breaks off in its header ({damage}): give a sound copy") from None
    if first is None:
        raise SourceError(f"{shown} is empty: a CSV file starts with a header of column names")
    try:
        header = next(csv.reader([first[0].decode("utf-8")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{shown} has a header that cannot be read ({error}): save it as CSV in UTF-8") from None
    return _Reading(reading.descriptor, chain([first], reading.records)), header


def _check_header(header: list[str], shown: str, expected: Sequence[str], read: Sequence[str]) -> None:
    for column in expected:
        if column not in header:
            raise SourceError(
                f"{shown} has no column {column!r}: its columns are {', '.join(header)[:300]}; "
                "name others with --map FIELD=COLUMN or --label COLUMN"
            )
    for column in read:
        if header.count(column) > 1:
            raise SourceError(f"{shown} has {header.count(column)} columns {column!r}: rename all but one")


def _fingerprint(reading: _Reading, file_format: FileFormat) -> str:
    """A digest of what stays the same when a file grows: its header and first record."""
    wanted = 2 if file_format is FileFormat.CSV else 1
    beginning: list[bytes] = []
    # Damage is told when the records before it have been given.
    with suppress(DamagedError):
        while len(beginning) < wanted and (complete := next(reading.records, None)) is not None:
            beginning += complete
    return hashlib.sha256(b"\n".join(beginning[:wanted])).hexdigest()[:12]


def _full_path(path: str) -> str:
    """The resolved path as text that a database takes: names of files need not be UTF-8."""
    return os.fsencode(Path(path).resolve()).decode("utf-8", "backslashreplace")


def _shown(path: str) -> str:
    if path == STANDARD_INPUT:
        return "standard input"
    return path if path.isprintable() else repr(path)
