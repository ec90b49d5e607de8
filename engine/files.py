"""Transactions from a file or standard input: NDJSON or CSV, plain or gzip, resumable at any record."""

import asyncio
import csv
import gzip
import hashlib
import io
import queue
import sys
import threading
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from io import BufferedIOBase, FileIO, RawIOBase
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from data.errors import SourceError
from engine.columns import REQUIRED, ColumnMap
from engine.decode import MAX_RECORD_BYTES, CsvDecoder, Decoder, JsonDecoder
from engine.records import Batch

MAX_BATCH = 512
FINGERPRINT_BYTES = 4096
STANDARD_INPUT = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_QUEUED_RECORDS = 4096
_POLL_S = 0.2


_Chunk = tuple[bytes, ...] | SourceError | None
"""Records; or why there are no more of them, None for the end."""
_Chunks = queue.Queue[_Chunk]


class FileFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


class FileSource:
    """The records of one file or of standard input, as one partition; offsets count records from 0.

    A file's partition is its path with a digest of its beginning, so that another file under the same name is another
    partition, and one that has grown is the same. Standard input cannot be read again: its partition starts anew.
    """

    def __init__(
        self,
        stream: BinaryIO,
        compressed: BinaryIO | None,
        name: str,
        partition: str,
        size: int | None,
        file_format: FileFormat,
        monotonic: Callable[[], float],
        max_batch: int,
    ) -> None:
        self._stream = stream
        self._compressed = compressed
        self._name = name
        self._partition = partition
        self._size = size
        self._quotes = file_format is FileFormat.CSV
        self._monotonic = monotonic
        self._max_batch = max_batch

    @property
    def name(self) -> str:
        """``file``, or ``stdin``."""
        return self._name

    @property
    def partition(self) -> str:
        """The file's path and the digest of its beginning."""
        return self._partition

    @property
    def fraction_read(self) -> float | None:
        """Compressed bytes consumed over the file's size; None for standard input."""
        if self._size is None or self._compressed is None:
            return None
        return min(1.0, self._compressed.tell() / self._size) if self._size else 1.0

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        """Every record from ``start_offset`` on.

        Raises:
            SourceError: the file is cut short or damaged, after the sound records before it were given; or it has
                fewer records than were read before.
        """
        # A pipe hands over each record as it comes, a file hundreds at a time.
        chunk_size = 1 if self._size is None else self._max_batch
        chunks: _Chunks = queue.Queue(_QUEUED_RECORDS // chunk_size)
        ended = threading.Event()
        reading = (start_offset, chunk_size, chunks, ended)
        threading.Thread(target=self._read, args=reading, name="reader", daemon=True).start()
        offset = start_offset
        try:
            following: _Chunk = await _take(chunks)
            while isinstance(following, tuple):
                records, following = _everything_there_is(following, chunks, self._max_batch)
                yield Batch(self._partition, offset, records, self._monotonic())
                offset += len(records)
                if following == ():
                    following = await _take(chunks)
            if following is not None:
                raise following
        finally:
            ended.set()

    def _read(self, start_offset: int, chunk_size: int, chunks: _Chunks, ended: threading.Event) -> None:
        """Runs on a thread, because reading a pipe blocks; ends when the source does or nobody wants more."""

        def put(chunk: _Chunk) -> None:
            while not ended.is_set():
                try:
                    chunks.put(chunk, timeout=_POLL_S)
                except queue.Full:
                    continue
                return

        count = 0
        pending: list[bytes] = []
        try:
            for record in self._records():
                count += 1
                if count <= start_offset:
                    continue
                pending.append(record)
                if len(pending) >= chunk_size:
                    put(tuple(pending))
                    pending = []
                if ended.is_set():
                    return
        except (EOFError, OSError, zlib.error) as error:
            if pending:
                put(tuple(pending))
            put(self._damaged(count, error))
            return
        if pending:
            put(tuple(pending))
        if count < start_offset:
            put(
                SourceError(
                    f"{self._partition.rsplit('#', 1)[0]} has {count:,} records, but {start_offset:,} were read "
                    "from it before: give the whole file again, or another --database"
                )
            )
        put(None)

    def _damaged(self, count: int, error: Exception) -> SourceError:
        return SourceError(
            f"{self._partition.rsplit('#', 1)[0]} is cut short or damaged after record {count:,} ({error}): "
            "what came before is stored; put a sound copy in its place, and the same command goes on"
        )

    def _records(self) -> Iterator[bytes]:
        lines = _bounded_lines(self._stream)
        for line in lines:
            if not line.strip():
                continue
            if self._quotes and line.count(b'"') % 2:
                line = _join_quoted(line, lines)  # noqa: PLW2901 - a record may span lines
            yield line.rstrip(b"\r\n")


async def _take(chunks: _Chunks) -> _Chunk:
    while True:
        try:
            return chunks.get_nowait()
        except queue.Empty:
            pass
        with suppress(queue.Empty):
            return await asyncio.to_thread(chunks.get, timeout=_POLL_S)


def _everything_there_is(first: tuple[bytes, ...], chunks: _Chunks, limit: int) -> tuple[tuple[bytes, ...], _Chunk]:
    """The records that can be had at once, up to a limit, and what came after them (() when that is not known)."""
    records = list(first)
    while len(records) < limit:
        try:
            chunk = chunks.get_nowait()
        except queue.Empty:
            break
        if not isinstance(chunk, tuple):
            return tuple(records), chunk
        if len(records) + len(chunk) > limit:
            return tuple(records), chunk
        records.extend(chunk)
    return tuple(records), ()


def _bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, each cut at one byte more than a record may have; the rest of such a line is skipped."""
    limit = MAX_RECORD_BYTES + 1
    while line := stream.readline(limit):
        yield line
        while len(line) == limit and not line.endswith(b"\n"):
            line = stream.readline(limit)


def _join_quoted(line: bytes, lines: Iterator[bytes]) -> bytes:
    """A CSV record whose quoted field holds line breaks, up to the size of a record."""
    parts = [line]
    size = len(line)
    quotes = line.count(b'"')
    while quotes % 2 and size <= MAX_RECORD_BYTES:
        following = next(lines, None)
        if following is None:
            break
        parts.append(following)
        size += len(following)
        quotes += following.count(b'"')
    return b"".join(parts)


def open_file(
    path: str,
    columns: ColumnMap,
    *,
    monotonic: Callable[[], float],
    max_batch: int = MAX_BATCH,
) -> tuple[FileSource, Decoder]:
    """Open a file, or ``-`` for standard input, and find its format by its name or its first line.

    Raises:
        SourceError: it is missing, cannot be read, is UTF-16, has no header, or lacks a column that was asked for.
    """
    if path == STANDARD_INPUT:
        standard_input = FileIO(sys.stdin.fileno(), closefd=False)
        return _open_stream(standard_input, None, STANDARD_INPUT, "stdin", columns, monotonic, max_batch)
    file = Path(path)
    try:
        if file.is_dir():
            raise SourceError(f"{path} is a folder: give a file")
        raw = file.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from None
    return _open_stream(raw, file, path, "file", columns, monotonic, max_batch)


def _open_stream(
    raw: RawIOBase | BufferedIOBase,
    file: Path | None,
    path: str,
    name: str,
    columns: ColumnMap,
    monotonic: Callable[[], float],
    max_batch: int,
) -> tuple[FileSource, Decoder]:
    counted = io.BufferedReader(raw, 1 << 16)
    gzipped = counted.peek(2)[:2] == _GZIP_MAGIC
    buffered = io.BufferedReader(gzip.GzipFile(fileobj=counted), 1 << 20) if gzipped else counted
    try:
        beginning = buffered.peek(FINGERPRINT_BYTES)[:FINGERPRINT_BYTES]
    except (EOFError, OSError, zlib.error) as error:
        raise SourceError(f"{path} is not a sound gzip file ({error}): give a whole copy") from None
    if beginning[:2] in _UTF16_BOMS:
        raise SourceError(f"{path} is UTF-16: save it as UTF-8 and try again")
    digest = hashlib.sha256(beginning).hexdigest()[:12]
    if beginning.startswith(_UTF8_BOM):
        buffered.read(len(_UTF8_BOM))
    file_format = _format(path, beginning.removeprefix(_UTF8_BOM))
    decoder: Decoder = JsonDecoder(columns)
    if file_format is FileFormat.CSV:
        decoder = CsvDecoder(columns, _header(buffered, path, columns))
    partition = f"{STANDARD_INPUT}#{uuid4()}" if file is None else f"{file.resolve()}#{digest}"
    size = None if file is None else file.stat().st_size
    return FileSource(
        buffered, counted if file is not None else None, name, partition, size, file_format, monotonic, max_batch
    ), decoder


def _format(path: str, beginning: bytes) -> FileFormat:
    names = Path(path).suffixes
    if ".csv" in names:
        return FileFormat.CSV
    if any(name in names for name in (".ndjson", ".jsonl", ".json")):
        return FileFormat.NDJSON
    return FileFormat.NDJSON if beginning.lstrip()[:1] in (b"{", b"") else FileFormat.CSV


def _header(stream: BinaryIO, path: str, columns: ColumnMap) -> list[str]:
    line = stream.readline(MAX_RECORD_BYTES)
    try:
        header = next(csv.reader([line.decode("utf-8").rstrip("\r\n")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} has a header that cannot be read ({error}): save it as a UTF-8 CSV") from None
    if not header:
        raise SourceError(f"{path} is empty: a CSV file starts with a header of column names")
    wanted = [columns.column(name) for name in REQUIRED]
    wanted += [column for column in columns.columns.values() if column not in wanted]
    if columns.label is not None:
        wanted.append(columns.label)
    missing = [column for column in wanted if column not in header]
    if missing:
        raise SourceError(
            f"{path} has no column {missing[0]!r}: its columns are {', '.join(header)[:300]}; "
            "name others with --map FIELD=COLUMN"
        )
    return header
