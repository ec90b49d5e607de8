import hashlib
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

import data.store
from data.errors import SchemaTooNewError, StoreError
from data.schema import DEFAULT_RULES
from data.store import Store

from .builders import NOON, World, batch_of, scored

MOUNTS = Path("/proc/self/mounts")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def filled(path: Path, rows: int = 2000) -> None:
    world = World(Store.open(path))
    world.add(*(scored(f"t-{n}", card=f"card-{n % 97}") for n in range(rows)))
    world.close()


def test_a_new_store_has_the_default_rules_and_is_sound(store: Store) -> None:
    with closing(store.reader()) as reader:
        assert reader.execute("SELECT count(*), sum(active) FROM rules").fetchone() == (len(DEFAULT_RULES),) * 2
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert reader.execute("PRAGMA foreign_key_check").fetchall() == []


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.db"
    filled(path)
    with closing(Store.open(path).reader()) as reader:
        before = list(reader.iterdump())
    first = digest(path)
    for _ in range(2):
        Store.open(path)
    assert digest(path) == first
    with closing(Store.open(path).reader()) as reader:
        assert list(reader.iterdump()) == before


def test_opening_while_another_connection_writes_waits_for_nothing_but_the_write_lock(world: World) -> None:
    world.add(scored("t-1"))
    again = Store.open(world.store.path)
    with closing(again.reader()) as reader:
        assert reader.execute("SELECT transaction_id FROM transactions").fetchall() == [("t-1",)]


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\x00" + b"\xff" * 5000, b"\x00" * 8192])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letters.txt"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"letters\.txt is not a sound SQLite database"):
        Store.open(path)
    assert path.read_bytes() == content


def test_damaged_pages_are_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.db"
    filled(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a sound SQLite database"):
        Store.open(path)
    assert path.read_bytes() == bytes(content)


def test_a_file_cut_short_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.db"
    filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(StoreError, match="not a sound SQLite database"):
        Store.open(path)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE books (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"books\.db is another program's SQLite database"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_and_the_file_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.db"
    store = Store.open(path)
    with closing(store.analyst_writer()) as connection, store.transaction(connection):
        connection.execute("INSERT INTO _sqlite_migrations VALUES (NULL, 'sentinel', 'm9999_future', '2030-01-01')")
    before = digest(path)
    with pytest.raises(SchemaTooNewError, match=r"sentinel\.db was written by a newer Sentinel TUI .*m9999_future"):
        Store.open(path)
    assert digest(path) == before


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "sentinel.db", tmp_path / "file" / "deep" / "sentinel.db"):
        with pytest.raises(StoreError, match="cannot be written") as refusal:
            Store.open(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder in which not even root can write")
def test_a_folder_that_cannot_be_written_is_one_line() -> None:
    with pytest.raises(StoreError, match=r"/proc/.*cannot be written"):
        Store.open(Path("/proc/sentinel.db"))


@pytest.mark.skipif(not MOUNTS.exists(), reason="the filesystem's type is read from /proc")
def test_a_network_filesystem_is_refused_before_a_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every_kind = frozenset(line.split()[2] for line in MOUNTS.read_text().splitlines())
    monkeypatch.setattr(data.store, "NETWORK_FILESYSTEMS", every_kind)
    with pytest.raises(StoreError, match="network filesystem"):
        Store.open(tmp_path / "sentinel.db")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_cannot_be_taken_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "sentinel.db.lock").mkdir()
    with pytest.raises(StoreError, match=r"sentinel\.db\.lock cannot be written"):
        Store.open(tmp_path / "sentinel.db")


def test_an_engine_lock_file_that_cannot_be_taken_is_a_store_error(store: Store) -> None:
    Path(f"{store.path}.engine").mkdir()
    with pytest.raises(StoreError, match=r"sentinel\.db\.engine cannot be written"):
        store.engine_lock()


def write_and_fail(store: Store, connection: sqlite3.Connection, error: BaseException) -> None:
    with store.transaction(connection):
        connection.execute("INSERT INTO settings VALUES ('a', '1', 'me', 0)")
        raise error


def test_an_error_inside_a_transaction_keeps_its_kind_and_undoes_the_writes(store: Store) -> None:
    with closing(store.analyst_writer()) as connection:
        for error in (OSError("network down"), TimeoutError("late"), KeyboardInterrupt()):
            with pytest.raises(type(error)) as raised:
                write_and_fail(store, connection, error)
            assert raised.value is error
            assert connection.execute("SELECT count(*) FROM settings").fetchone() == (0,)
        with store.transaction(connection):
            connection.execute("INSERT INTO settings VALUES ('a', '1', 'me', 0)")
        assert connection.execute("SELECT count(*) FROM settings").fetchone() == (1,)


def test_a_mistake_in_the_program_is_not_reported_as_a_damaged_file(store: Store) -> None:
    with (
        closing(store.analyst_writer()) as connection,
        pytest.raises(sqlite3.ProgrammingError),
        store.transaction(connection),
    ):
        connection.execute("INSERT INTO settings VALUES (?, ?, ?, ?)", ("too", "few"))


def test_a_reader_cannot_write(store: Store) -> None:
    with closing(store.reader()) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM rules")


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_a_transaction(store: Store) -> None:
    with closing(store.reader()) as reader, closing(store.engine_writer()) as writer:
        reader.execute("PRAGMA busy_timeout = 0")
        with store.transaction(writer):
            writer.execute("DELETE FROM rules")
            assert reader.execute("SELECT count(*) FROM rules").fetchone() == (len(DEFAULT_RULES),)
        assert reader.execute("SELECT count(*) FROM rules").fetchone() == (0,)


def test_a_writer_does_not_wait_for_a_reader_that_holds_a_snapshot(store: Store) -> None:
    with closing(store.reader()) as reader, closing(store.engine_writer()) as writer:
        writer.execute("PRAGMA busy_timeout = 0")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM rules").fetchone()
        with store.transaction(writer):
            writer.execute("DELETE FROM rules")
        assert reader.execute("SELECT count(*) FROM rules").fetchone() == (len(DEFAULT_RULES),)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM rules").fetchone() == (0,)


def test_the_write_lock_keeps_threads_of_one_process_apart(store: Store) -> None:
    inside: list[str] = []
    most: list[int] = []

    def write(name: str) -> None:
        pause = threading.Event()
        for _ in range(20):
            with store.writing():
                inside.append(name)
                most.append(len(inside))
                pause.wait(0.0005)
                inside.remove(name)

    threads = [threading.Thread(target=write, args=(f"thread-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert max(most) == 1


def test_a_full_disk_undoes_the_batch_and_the_connection_goes_on(world: World) -> None:
    world.add(scored("t-1"))
    before = world.dump()
    (pages,) = world.writer.connection.execute("PRAGMA page_count").fetchone()
    world.writer.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    large = [scored(f"big-{n}", card=f"card-{n}") for n in range(500)]
    for _ in range(2):
        with pytest.raises(StoreError, match="the disk is full"):
            world.add(*large)
        assert world.dump() == before
    world.writer.connection.execute("PRAGMA max_page_count = 100000")
    commit = world.writer.commit(batch_of(large, first_offset=1), now=NOON)
    assert commit.last_seq == 501
    assert world.reader.execute("PRAGMA quick_check").fetchall() == [("ok",)]


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store.open(Path("~/fraud/sentinel.db")).path == tmp_path / "fraud" / "sentinel.db"
