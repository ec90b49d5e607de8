"""Files and standard input: every record once and whole, from any offset, whatever breaks."""

import asyncio
import csv
import gzip
import io
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import SourceError
from data.models import DeadLetterReason
from engine.columns import ColumnMap, preset
from engine.decode import MAX_RECORD_BYTES, Decoded, Rejection
from engine.files import FileSource, open_file
from engine.framing import FileFormat, records
from engine.records import Batch

HEADER = ("transaction_id", "card_id", "amount", "timestamp", "note")
FIRST = b"t0,c,1.5,2026-03-02T09:00:00Z,"


def still() -> float:
    return 0.0


def opened(path: Path, columns: ColumnMap | None = None, max_batch: int = 512) -> FileSource:
    return open_file(str(path), columns or ColumnMap(), monotonic=still, max_batch=max_batch)[0]


async def drain(source: FileSource, start: int = 0, into: list[Batch] | None = None) -> list[Batch]:
    batches = [] if into is None else into
    async with aclosing(source.batches(start)) as arriving:
        async for batch in arriving:
            batches.append(batch)
    return batches


def records_of(path: Path, start: int = 0, max_batch: int = 512) -> list[bytes]:
    return joined(asyncio.run(drain(opened(path, max_batch=max_batch), start)))


def joined(batches: Sequence[Batch]) -> list[bytes]:
    return [record for batch in batches for record in batch.records]


def broken(path: Path, start: int = 0) -> tuple[list[bytes], str]:
    """What a damaged file gives before it raises, and what it raises."""
    batches: list[Batch] = []
    with pytest.raises(SourceError) as raised:
        asyncio.run(drain(opened(path), start, batches))
    return joined(batches), str(raised.value)


def outcomes(path: Path) -> list[Decoded | Rejection]:
    source, decoder = open_file(str(path), ColumnMap(), monotonic=still)
    return [decoder.decode(record) for record in joined(asyncio.run(drain(source)))]


def ids(path: Path) -> list[str]:
    """The id of each transaction, or the reason why there is none."""
    return [
        each.transaction.transaction_id if isinstance(each, Decoded) else each.reason.value for each in outcomes(path)
    ]


def csv_text(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def ndjson(count: int) -> list[bytes]:
    return [
        json.dumps(
            {"transaction_id": f"t{number}", "card_id": "c", "amount": 1.5, "timestamp": "2026-03-02T09:00:00Z"}
        ).encode()
        for number in range(count)
    ]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


NOTES = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(['"', "\n", "\r\n", 'a "b",\n\n"', ","])
on_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@on_disk
@given(st.lists(NOTES, max_size=12), st.integers(0, 12), st.integers(1, 5), st.booleans(), st.booleans())
def test_csv_from_any_offset_is_every_record_from_there_on(
    tmp_path: Path, notes: list[str], start: int, max_batch: int, packed: bool, with_end: bool
) -> None:
    rows = [["id", "card", "1", "2026-03-02", note] for note in notes]
    content = csv_text([HEADER, *rows])
    path = write(tmp_path / f"x.csv{'.gz' * packed}", content if with_end else content.removesuffix(b"\r\n"))
    start = min(start, len(rows))
    records = records_of(path, start, max_batch)
    assert [next(csv.reader([record.decode()], strict=True)) for record in records] == rows[start:]


@on_disk
@given(
    st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b" ").rstrip(b"\r")), max_size=20),
    st.integers(0, 20),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
)
def test_ndjson_from_any_offset_is_every_line_from_there_on_that_is_not_blank(
    tmp_path: Path, lines: list[bytes], start: int, max_batch: int, packed: bool, end: bytes, with_end: bool
) -> None:
    lines = [b"{}", *lines]
    content = end.join(lines) + end * with_end
    path = write(tmp_path / f"x.ndjson{'.gz' * packed}", content)
    expected = [line for line in lines if line.strip()]
    start = min(start, len(expected))
    assert records_of(path, start, max_batch) == expected[start:]


def test_batches_say_where_they_stand_and_are_no_larger_than_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ndjson", b"\n".join(ndjson(1_000)))
    source = opened(path, max_batch=64)
    batches = asyncio.run(drain(source, 10))
    assert batches[0].first_offset == 10
    assert all(before.next_offset == after.first_offset for before, after in pairwise(batches))
    assert batches[-1].next_offset == 1_000
    assert max(len(batch.records) for batch in batches) <= 64
    assert {batch.partition for batch in batches} == {source.partition}


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    first = ndjson(1)[0]
    assert records_of(write(tmp_path / "x.ndjson", b"\xef\xbb\xbf" + first)) == [first]
    assert ids(write(tmp_path / "x.csv", b"\xef\xbb\xbf" + csv_text([HEADER]) + FIRST)) == ["t0"]


@pytest.mark.parametrize("name", ["x.ndjson", "x.ndjson.gz", "x"])
def test_a_file_without_records_has_none(tmp_path: Path, name: str) -> None:
    assert records_of(write(tmp_path / name, b"")) == []
    assert records_of(write(tmp_path / name, b"\n \n\r\n")) == []


def test_a_header_alone_has_no_records(tmp_path: Path) -> None:
    assert records_of(write(tmp_path / "x.csv", csv_text([HEADER]))) == []


def test_the_format_of_a_file_without_a_telling_name_is_that_of_its_lines(tmp_path: Path) -> None:
    assert ids(write(tmp_path / "a", b"null\n" + ndjson(1)[0])) == ["empty", "t0"]
    assert ids(write(tmp_path / "b", csv_text([HEADER]) + FIRST)) == ["t0"]
    assert ids(write(tmp_path / "C.CSV", csv_text([HEADER]) + FIRST)) == ["t0"]


def test_a_line_over_the_largest_record_is_set_aside_and_its_neighbours_are_intact(tmp_path: Path) -> None:
    before, after, last = ndjson(3)
    long = b'{"x": "' + b"\r" * (3 * MAX_RECORD_BYTES) + b'"}'
    for name in ("x.ndjson", "x.ndjson.gz"):
        path = write(tmp_path / name, b"\n".join((before, long, after, b" " * (2 * MAX_RECORD_BYTES) + b"{}", last)))
        assert ids(path) == ["t0", "oversized", "t1", "oversized", "t2"]
        assert max(map(len, records_of(path))) <= MAX_RECORD_BYTES + 2


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_largest_record_is_whole(tmp_path: Path, end: bytes) -> None:
    largest = b"{" + b"x" * (MAX_RECORD_BYTES - 2) + b"}"
    assert records_of(write(tmp_path / "x.ndjson", largest + end + b"{}" + end)) == [largest, b"{}"]


def test_a_quote_that_never_closes_spoils_its_own_line_only(tmp_path: Path) -> None:
    rows = [f't{number},c,1.5,2026-03-02T09:00:00Z,"a ""note"""'.encode() for number in range(50)]
    rows[20] = b't20,c,1.5,2026-03-02T09:00:00Z,"never closed'
    plain = [row.replace(b'"', b"") for row in rows]
    plain[20] = rows[20]
    for content in (rows, plain, plain * 2_000):
        path = write(tmp_path / "x.csv", csv_text([HEADER]) + b"\n".join(content))
        found = ids(path)
        assert len(found) == len(content)
        expected = [f"t{number % 50}" if number % 50 != 20 else "wrong_column_count" for number in range(len(content))]
        assert found == expected


def test_a_quote_that_never_closes_takes_no_neighbour_along_where_every_field_is_quoted(tmp_path: Path) -> None:
    rows = [f'"t{number}","c","1.5","2026-03-02T09:00:00Z","x"'.encode() for number in range(5)]
    rows[2] = rows[2][:-1]
    rows[4] = rows[4][:-1]
    path = write(tmp_path / "x.csv", csv_text([HEADER]) + b"\n".join(rows))
    assert ids(path) == ["t0", "t1", "wrong_column_count", "t3", "wrong_column_count"]


def test_a_quote_that_never_closes_holds_back_no_more_than_the_largest_record() -> None:
    taken = 0

    def portions() -> Iterator[bytes]:
        nonlocal taken
        yield csv_text([HEADER]) + FIRST + b'"never closed\n'
        for _ in range(64):
            portion = (FIRST + b"x\n") * 2_000
            taken += len(portion)
            yield portion

    complete = records(portions(), FileFormat.CSV)
    header, *_ = next(complete)
    held_back = next(filter(None, complete))
    assert header == ",".join(HEADER).encode()
    assert held_back[0] == FIRST + b'"never closed'
    assert taken < 2 * MAX_RECORD_BYTES


def test_a_quote_inside_a_bare_field_opens_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", csv_text([HEADER]) + FIRST + b'5" pipe\n' + FIRST + b'6" pipe')
    assert ids(path) == ["t0", "t0"]


def test_malformed_rows_do_not_take_their_neighbours_along(tmp_path: Path) -> None:
    rows = (FIRST + b'"closed"x', FIRST + b"b", FIRST + b"\xff", FIRST + b"b,b", FIRST + b'"c\nd"', b"t9")
    assert ids(write(tmp_path / "x.csv", csv_text([HEADER]) + b"\n".join(rows))) == [
        "wrong_column_count",
        "t0",
        "not_utf8",
        "wrong_column_count",
        "t0",
        "wrong_column_count",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["x.csv", "x.ndjson", "x.csv.gz"])
def test_utf_16_is_refused(tmp_path: Path, encoding: str, name: str) -> None:
    path = write(tmp_path / name, "transaction_id,card_id,amount,timestamp\n".encode(encoding))
    with pytest.raises(SourceError, match="UTF-16"):
        opened(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", b"", "empty"),
        ("x.csv", b"\n\n", "empty"),
        ("x.csv", b"transaction_id,card_id,timestamp\n", "'amount'"),
        ("x.csv", b"transaction_id;card_id;amount;timestamp\n", "'transaction_id'"),
        ("x.csv", b"transaction_id,card_id,amount,timestamp,amount\n", "'amount'"),
        ("x.csv", b"transaction_id,card_id,amount,\xff\n", "header"),
        ("x.csv", b'transaction_id,card_id,amount,"timestamp\n', "header"),
    ],
)
def test_a_csv_file_without_a_fitting_header_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        opened(write(tmp_path / name, content))


def test_a_mapped_column_and_the_label_must_be_in_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", csv_text([HEADER]) + FIRST)
    for columns in (preset("handbook"), ColumnMap(label="is_fraud"), ColumnMap(columns={"location": "WHERE"})):
        with pytest.raises(SourceError, match="has no column"):
            opened(path, columns)


def test_what_cannot_be_opened_is_refused_with_its_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path, tmp_path / ("x" * 300), tmp_path / "a.csv" / "b", Path("a\0b")):
        write(tmp_path / "a.csv", b"")
        with pytest.raises(SourceError):
            opened(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", b"")
    path.chmod(0)
    with pytest.raises(SourceError, match="permission"):
        opened(path)


def test_a_file_that_is_gzip_by_name_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson.gz"
    path.write_bytes(b"\n".join(ndjson(3)))
    with pytest.raises(SourceError, match="gzip"):
        opened(path)


def test_gzip_is_recognised_whatever_its_name_and_may_have_several_members(tmp_path: Path) -> None:
    lines = ndjson(5)
    path = tmp_path / "x.ndjson"
    path.write_bytes(
        gzip.compress(lines[0] + b"\n" + lines[1][:9])
        + gzip.compress(b"")
        + b"\0" * 100
        + gzip.compress(lines[1][9:] + b"\n" + b"\n".join(lines[2:]))
        + b"\0" * 100_000
    )
    assert records_of(path) == lines


def deflated_up_to(content: bytes, size: int) -> bytes:
    """A gzip stream whose first part, complete by itself, holds ``size`` bytes of the content."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(content[:size])
        file.flush()
        end = packed.tell()
        file.write(content[size:])
    return packed.getvalue()[:end]


@pytest.mark.parametrize("count", [20, 400, 5_000])
@pytest.mark.parametrize("tail", [b"", b"\xff" * 40], ids=["cut", "corrupt"])
def test_a_damaged_gzip_gives_every_record_before_the_damage(tmp_path: Path, count: int, tail: bytes) -> None:
    lines = ndjson(count)
    content = b"\n".join(lines) + b"\n"
    path = tmp_path / "x.ndjson.gz"
    path.write_bytes(deflated_up_to(content + b"{}\n" * 50, len(content)) + tail)
    records, message = broken(path)
    assert records[:count] == lines
    assert "damaged" in message
    assert f"{count:,}" in message

    again, _ = broken(path, start=count - 1)
    assert again == lines[-1:]

    path.write_bytes(gzip.compress(content + b"{}"))
    assert records_of(path, count) == [b"{}"]


def test_a_wrong_checksum_is_told_after_every_record(tmp_path: Path) -> None:
    lines = ndjson(300)
    path = tmp_path / "x.ndjson.gz"
    packed = bytearray(gzip.compress(b"\n".join(lines) + b"\n"))
    packed[-8] ^= 1
    path.write_bytes(packed)
    assert broken(path)[0] == lines


def test_a_gzip_damaged_before_its_first_record_is_a_source_error(tmp_path: Path) -> None:
    for size in (2, 5, 12, 25):
        path = tmp_path / "x.csv.gz"
        path.write_bytes(gzip.compress(csv_text([HEADER]) + FIRST)[:size])
        with pytest.raises(SourceError):
            asyncio.run(drain(opened(path)))


def test_a_stored_offset_beyond_the_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ndjson", b"\n".join(ndjson(3)))
    assert records_of(path, 3) == []
    records, message = broken(path, 4)
    assert records == []
    assert "3 records" in message


@pytest.mark.parametrize(("name", "count"), [("x.ndjson", 1), ("x.csv", 1), ("x.ndjson", 300), ("x.ndjson.gz", 2)])
def test_a_file_that_grows_keeps_its_partition_and_goes_on(tmp_path: Path, name: str, count: int) -> None:
    path = tmp_path / name
    lines = ndjson(count + 5) if "ndjson" in name else [FIRST + b"%d" % number for number in range(count + 5)]
    head = csv_text([HEADER]) if name == "x.csv" else b""
    write(path, head + b"\n".join(lines[:count]))
    before = opened(path)
    assert joined(asyncio.run(drain(before))) == lines[:count]
    write(path, head + b"\n".join(lines) + b"\n")
    after = opened(path)
    assert after.partition == before.partition
    assert joined(asyncio.run(drain(after, count))) == lines[count:]


@pytest.mark.parametrize("name", ["x.ndjson", "x.csv"])
def test_another_file_under_the_same_name_is_another_partition(tmp_path: Path, name: str) -> None:
    head = csv_text([HEADER]) if name == "x.csv" else b""
    partitions = set()
    for first in (b'{"transaction_id": "1"}', b'{"transaction_id": "2"}'):
        source = opened(write(tmp_path / name, head + first + b"\n" + b"\n".join(ndjson(500))))
        partitions.add(source.partition)
        asyncio.run(drain(source))
    assert len(partitions) == 2


def test_the_same_content_elsewhere_is_another_partition(tmp_path: Path) -> None:
    sources = [opened(write(tmp_path / name, b"\n".join(ndjson(3)))) for name in ("a.ndjson", "b.ndjson")]
    assert sources[0].partition != sources[1].partition
    for source in sources:
        asyncio.run(drain(source))


@pytest.mark.parametrize("name", ["x.ndjson", "x.ndjson.gz", "x.csv"])
def test_the_fraction_read_goes_from_nothing_to_all(tmp_path: Path, name: str) -> None:
    head = csv_text([HEADER]) if name == "x.csv" else b""
    noise = [b"%d" % (number * 2_654_435_761 % 2**61) for number in range(200_000)]
    source = opened(write(tmp_path / name, head + b"\n".join(noise)))
    fractions = [source.fraction_read]

    async def follow() -> None:
        async with aclosing(source.batches(0)) as batches:
            fractions.extend([source.fraction_read async for _ in batches])

    asyncio.run(follow())
    numbers = [each for each in fractions if each is not None]
    assert len(numbers) == len(fractions)
    assert numbers[0] == pytest.approx(0, abs=0.2)
    assert numbers == sorted(numbers)
    assert numbers[-1] == 1
    assert any(0.2 < each < 0.9 for each in numbers)


def test_a_consumer_that_stops_early_leaves_no_thread_behind(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ndjson", b"\n".join(ndjson(50_000)))

    before = set(threading.enumerate())

    async def take_one() -> int:
        async with aclosing(opened(path).batches(0)) as batches:
            return len((await anext(batches)).records)

    assert asyncio.run(take_one()) > 0
    assert set(threading.enumerate()) <= before


CHILD = textwrap.dedent("""
    import asyncio, sys, time
    from contextlib import aclosing
    from engine.columns import ColumnMap
    from engine.files import open_file

    async def main(wanted: int) -> None:
        source, decoder = open_file("-", ColumnMap(), monotonic=time.monotonic)
        print(source.name, source.fraction_read, type(decoder).__name__, flush=True)
        async with aclosing(source.batches(0)) as batches:
            async for batch in batches:
                for record in batch.records:
                    print(record.decode(), flush=True)
                if batch.next_offset >= wanted:
                    break

    asyncio.run(main(int(sys.argv[1])))
""")


def reader(wanted: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(wanted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def say(child: subprocess.Popen[bytes], content: bytes) -> None:
    assert child.stdin is not None
    child.stdin.write(content)
    child.stdin.flush()


def hear(child: subprocess.Popen[bytes]) -> bytes:
    assert child.stdout is not None
    return child.stdout.readline().rstrip(b"\n")


def test_a_pipe_hands_over_each_record_while_the_writer_stays_open() -> None:
    lines = ndjson(3)
    with reader(wanted=10**9) as child:
        say(child, lines[0] + b"\n")
        assert hear(child) == b"stdin None JsonDecoder"
        assert hear(child) == lines[0]
        say(child, lines[1] + b"\n")
        assert hear(child) == lines[1]
        say(child, lines[2])
        assert child.stdin is not None
        child.stdin.close()
        assert hear(child) == lines[2]
        assert hear(child) == b""
        assert child.wait(30) == 0
        assert child.stderr is not None
        assert child.stderr.read() == b""


@pytest.mark.parametrize("kind", ["csv", "gzip"])
def test_a_pipe_of_csv_or_gzip_hands_over_each_record_as_it_comes(kind: str) -> None:
    packed = io.BytesIO()
    sent = 0
    with gzip.GzipFile(fileobj=packed, mode="wb") as file, reader(wanted=2) as child:

        def send(content: bytes) -> None:
            if kind == "csv":
                say(child, content)
                return
            nonlocal sent
            file.write(content)
            file.flush()
            say(child, packed.getvalue()[sent:])
            sent = packed.tell()

        send(csv_text([HEADER]))
        for number in b"12":
            send(FIRST + b"%c\n" % number)
            if number == ord("1"):
                assert hear(child) == b"stdin None CsvDecoder"
            assert hear(child) == FIRST + b"%c" % number
        assert child.wait(30) == 0


def test_a_consumer_of_a_pipe_ends_although_the_writer_stays_open() -> None:
    with reader(wanted=1) as child:
        say(child, ndjson(1)[0] + b"\n")
        assert hear(child) == b"stdin None JsonDecoder"
        assert child.wait(30) == 0
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_a_named_pipe_is_read_as_it_comes_and_has_no_size(tmp_path: Path) -> None:
    path = tmp_path / "pipe.ndjson"
    os.mkfifo(path)
    lines = ndjson(2)
    first_read = threading.Event()

    def feed() -> None:
        with path.open("wb", buffering=0) as pipe:
            pipe.write(lines[0] + b"\n")
            first_read.wait(30)
            pipe.write(lines[1] + b"\n")

    async def read() -> list[bytes]:
        records: list[bytes] = []
        source = opened(path)
        assert source.fraction_read is None
        async with aclosing(source.batches(0)) as batches:
            async for batch in batches:
                records += batch.records
                first_read.set()
        return records

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert asyncio.run(read()) == lines
    feeder.join(30)


def test_a_dead_letter_of_a_cut_line_says_oversized(tmp_path: Path) -> None:
    (outcome,) = outcomes(write(tmp_path / "x.ndjson", b"{" * (MAX_RECORD_BYTES + 1)))
    assert isinstance(outcome, Rejection)
    assert outcome.reason is DeadLetterReason.OVERSIZED


@on_disk
@given(
    st.lists(
        st.sampled_from([b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"t", b" ", b"\xff", b"\0", b"{}"]), max_size=40
    ),
    st.sampled_from(["x.csv", "x.ndjson", "x.csv.gz", "x"]),
)
def test_no_content_of_a_file_ends_in_anything_but_records_or_a_source_error(
    tmp_path: Path, pieces: list[bytes], name: str
) -> None:
    for content in (b"".join(pieces), csv_text([HEADER]) + b"".join(pieces)):
        path = write(tmp_path / name, content)
        with suppress(SourceError):
            assert len(outcomes(path)) <= content.count(b"\n") + 1


def test_a_stray_carriage_return_spoils_its_own_record_only(tmp_path: Path) -> None:
    rows = (FIRST + b"a", b't1,"c\nd",1\r2,2026-03-02,x', FIRST + b"b")
    assert ids(write(tmp_path / "x.csv", csv_text([HEADER]) + b"\n".join(rows))) == [
        "t0",
        "wrong_column_count",
        "wrong_column_count",
        "t0",
    ]


def test_a_batch_of_huge_records_is_cut_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ndjson", b"\n".join([b"x" * MAX_RECORD_BYTES] * 20))
    batches = asyncio.run(drain(opened(path)))
    assert len(joined(batches)) == 20
    assert max(sum(map(len, batch.records)) for batch in batches) <= 10 * MAX_RECORD_BYTES


def test_the_partition_of_a_file_whose_name_is_not_utf_8_is_text_that_a_database_takes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.ndjson")
    try:
        path = write(tmp_path / name, b"{}")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert opened(path).partition.encode("utf-8")
    path.unlink()
    with pytest.raises(SourceError) as refusal:
        opened(path)
    assert str(refusal.value).isprintable()


IMPATIENT = textwrap.dedent("""
    import asyncio, time
    from contextlib import aclosing
    from engine.columns import ColumnMap
    from engine.files import open_file

    async def main() -> None:
        source, _ = open_file("-", ColumnMap(), monotonic=time.monotonic)
        async with aclosing(source.batches(0)) as batches:
            print((await anext(batches)).records[0].decode(), flush=True)
            waiting = asyncio.ensure_future(anext(batches))
            await asyncio.wait({waiting}, timeout=0.3)
            waiting.cancel()
            await asyncio.wait({waiting})

    asyncio.run(main())
""")


def test_a_consumer_that_gives_up_waiting_for_a_pipe_ends_although_the_writer_stays_open() -> None:
    command = [sys.executable, "-c", IMPATIENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        say(child, ndjson(1)[0] + b"\n")
        assert hear(child) == ndjson(1)[0]
        assert child.wait(30) == 0
        assert child.stderr is not None
        assert child.stderr.read() == b""
