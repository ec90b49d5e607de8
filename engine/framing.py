"""A byte stream cut into records: one line each, or in CSV as many as a quoted field spans; plain or gzip."""

import csv
import os
import re
import select
import zlib
from collections.abc import Generator, Iterable, Iterator
from enum import StrEnum

from engine.decode import MAX_RECORD_BYTES

GZIP_MAGIC = b"\x1f\x8b"
UTF8_BOM = b"\xef\xbb\xbf"

_READ_BYTES = 1 << 16
_UNPACKED_BYTES = 1 << 18
_POLL_S = 0.1
_GZIP_WBITS = 31

# A quote opens a field only at its beginning; elsewhere in a bare field it is text, as the csv module reads it.
_FIELD = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^",][^,]*+)?+'
_OPEN_LINE = re.compile(rb"(?:" + _FIELD + rb',)*+"[^"]*+(?:""[^"]*+)*+')
_SOUND_LINE = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+\r?")


class FileFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


class DamagedError(Exception):
    """The input ends too soon, or cannot be read on; the text says how."""


class Descriptor:
    """An open file, or something ``live``: a pipe, a terminal. ``taken`` counts the bytes read from it."""

    def __init__(self, number: int, *, live: bool, owned: bool) -> None:
        self.taken = 0
        self._number = number
        self._live = live
        self._owned = owned

    def portions(self) -> Iterator[bytes]:
        """What is there, as it comes; an empty portion whenever something live was silent for a tenth of a second.

        Raises:
            DamagedError: the system cannot read it.
        """
        while True:
            try:
                if self._live and not select.select([self._number], [], [], _POLL_S)[0]:
                    portion = None
                else:
                    portion = os.read(self._number, _READ_BYTES)
            except OSError as error:
                raise DamagedError(error.strerror) from None
            if portion == b"":
                return
            self.taken += len(portion or b"")
            yield portion or b""

    def close(self) -> None:
        """Close it, unless it is standard input, which belongs to the process."""
        if self._owned:
            self._owned = False
            os.close(self._number)


def unpacked(portions: Iterator[bytes]) -> Iterator[bytes]:
    """The content of an input, which is gzip or plain; some portions may be empty.

    Raises:
        DamagedError: it breaks off or is damaged, after all of the content before that was given.
    """
    start = b""
    for portion in portions:
        start += portion
        if len(start) >= len(GZIP_MAGIC):
            break
        yield b""
    if start.startswith(GZIP_MAGIC):
        yield from _members(start, portions)
        return
    yield start
    yield from portions


def _members(packed: bytes, portions: Iterator[bytes]) -> Iterator[bytes]:
    """The content of all members of a gzip file; zeros between them and behind them are padding."""
    while packed:
        packed = yield from _member(packed, portions)
        packed = packed.lstrip(b"\0")
        while not packed:
            portion = next(portions, None)
            if portion is None:
                return
            yield b""
            packed = portion.lstrip(b"\0")


def _member(packed: bytes, portions: Iterator[bytes]) -> Generator[bytes, None, bytes]:
    inflater = zlib.decompressobj(_GZIP_WBITS)
    while not inflater.eof:
        if packed:
            before = inflater.copy()
            try:
                yield inflater.decompress(packed, _UNPACKED_BYTES)
            except zlib.error as error:
                yield from _up_to_the_damage(before, packed)
                raise DamagedError(f"gzip: {error}") from None
            packed = inflater.unconsumed_tail
            continue
        following = next(portions, None)
        if following is None:
            yield inflater.flush()
            if not inflater.eof:
                raise DamagedError("the gzip data ends too soon")
        else:
            yield b""
            packed = following
    return inflater.unused_data


def _up_to_the_damage(inflater: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """Byte by byte, because a call that fails gives nothing of what it had unpacked before."""
    for index in range(len(packed)):
        try:
            content = inflater.decompress(packed[index : index + 1])
        except zlib.error:
            return
        yield content


def records(portions: Iterable[bytes], file_format: FileFormat) -> Iterator[list[bytes]]:
    """For each portion the records that end in it, in order, without line ends and blank lines.

    A UTF-8 byte order mark at the beginning is left out. A line longer than a record may be is cut, yet still longer
    than a record may be; the next one is intact.
    """
    lines = _lines(portions)
    return _csv_records(lines) if file_format is FileFormat.CSV else map(_without_blanks, lines)


def _lines(portions: Iterable[bytes]) -> Iterator[list[bytes]]:
    limit = MAX_RECORD_BYTES + len(b"\r") + 1
    mark = UTF8_BOM
    unfinished = bytearray()
    for portion in portions:
        first, *lines = portion.split(b"\n")
        unfinished += first[: limit - len(unfinished)]
        if not lines:
            # Nothing yet, but a consumer that wants to stop must get the chance, however long the line.
            yield []
            continue
        first = bytes(unfinished).removeprefix(mark)
        mark = b""
        unfinished = bytearray(lines.pop())
        yield [first, *lines]
    yield [bytes(unfinished).removeprefix(mark)]


def _without_blanks(lines: list[bytes]) -> list[bytes]:
    # A blank beginning of a line that was cut says nothing about its rest.
    return [line.removesuffix(b"\r") for line in lines if line and (len(line) > MAX_RECORD_BYTES or not line.isspace())]


def _csv_records(portions: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """Lines, joined where a quoted field holds line breaks.

    Where the quote is not closed within the size of a record, or not before a comma or the end of a line, or the result
    has not as many columns as the header, each line stands for itself: a stray quote spoils its own record and not the
    neighbours.
    """
    width: int | None = None
    joined: list[bytes] = []
    size = 0
    for lines in portions:
        complete: list[bytes] = []
        for line in lines:
            if joined:
                size += 1 + len(line)
                continued = b'"' + line
                if size <= MAX_RECORD_BYTES and _OPEN_LINE.fullmatch(continued):
                    joined.append(line)
                    continue
                record = b"\n".join((*joined, line))
                if size <= MAX_RECORD_BYTES and _SOUND_LINE.fullmatch(continued) and width in (None, _width(record)):
                    complete.append(record)
                    joined = []
                    continue
                complete += joined
                joined = []
            if b'"' in line and len(line) <= MAX_RECORD_BYTES and _OPEN_LINE.fullmatch(line):
                joined = [line]
                size = len(line)
            else:
                complete.append(line)
                if width is None and line and not line.isspace():
                    width = _width(line)
        yield _without_blanks(complete)
    yield _without_blanks(joined)


def _width(record: bytes) -> int:
    """The number of columns, for which no encoding matters; 0 where the record is no sound CSV."""
    try:
        return len(next(csv.reader([record.decode("latin-1")], strict=True), []))
    except csv.Error:
        return 0
