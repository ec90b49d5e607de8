import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import data.wal_checkpointer
from data.store import Store
from data.wal_checkpointer import WalCheckpointer

FEW_PAGES = 50
PAGE = 4_096


class Ledger:
    """A table to write pages to, and a checkpointer whose rounds the test runs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.writer = store.engine_writer()
        self.writer.execute("CREATE TABLE ledger (id INTEGER PRIMARY KEY, filling BLOB)")
        self.checkpointer = WalCheckpointer(store)

    def write(self, rows: int = 1) -> None:
        with self.store.transaction(self.writer):
            self.writer.executemany("INSERT INTO ledger (filling) VALUES (zeroblob(?))", [(PAGE // 2,)] * rows)
        self.checkpointer.committed()

    def rows(self) -> int:
        return int(self.writer.execute("SELECT count(*) FROM ledger").fetchone()[0])

    @property
    def wal_bytes(self) -> int:
        return Path(f"{self.store.path}-wal").stat().st_size

    def close(self) -> None:
        self.checkpointer.close()
        self.writer.close()


@pytest.fixture
def ledger(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr(data.wal_checkpointer, "WAL_PAGES", FEW_PAGES)
    ledger = Ledger(store)
    yield ledger
    ledger.close()


def copied_into_the_file(path: Path) -> int:
    """Rows of a copy of the database file without its WAL."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM ledger").fetchone()[0])


def test_a_round_copies_what_is_committed_into_the_database(ledger: Ledger) -> None:
    ledger.write(7)
    assert ledger.checkpointer.round()
    assert copied_into_the_file(ledger.store.path) == 7


def test_no_round_begins_on_a_wal_that_may_be_copied_to_its_end(ledger: Ledger) -> None:
    assert not ledger.checkpointer.round()
    ledger.write()
    assert ledger.checkpointer.round()
    assert not ledger.checkpointer.round()
    ledger.write()
    assert not ledger.checkpointer.round()
    ledger.write()
    assert ledger.checkpointer.round()


def test_a_round_on_a_long_wal_ends_with_what_was_committed_meanwhile(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_copy = WalCheckpointer._copy

    def copy_before_another_commit(checkpointer: WalCheckpointer) -> tuple[int, int]:
        monkeypatch.setattr(WalCheckpointer, "_copy", real_copy)
        copied = real_copy(checkpointer)
        ledger.write()
        return copied

    monkeypatch.setattr(WalCheckpointer, "_copy", copy_before_another_commit)
    ledger.write(2 * FEW_PAGES)
    assert ledger.checkpointer.round()
    assert copied_into_the_file(ledger.store.path) == ledger.rows() == 2 * FEW_PAGES + 1


def test_rounds_beside_a_running_writer_lose_nothing(ledger: Ledger) -> None:
    enough = threading.Event()

    def write_without_a_pause() -> None:
        while not enough.is_set():
            ledger.write()

    writing = threading.Thread(target=write_without_a_pause)
    writing.start()
    rounds = 0
    while rounds < 15:
        rounds += ledger.checkpointer.round()
    enough.set()
    writing.join()
    stored = ledger.rows()
    ledger.close()
    with closing(ledger.store.reader()) as reader:
        assert reader.execute("SELECT count(*), max(id) FROM ledger").fetchone() == (stored, stored)
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_reader_of_the_past_keeps_its_view_and_the_rest_is_copied_after_it(ledger: Ledger) -> None:
    ledger.write(FEW_PAGES)
    with closing(ledger.store.reader()) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM ledger").fetchone() == (FEW_PAGES,)
        for _ in range(2):
            ledger.write(FEW_PAGES)
            ledger.write(FEW_PAGES)
            assert ledger.checkpointer.round()
        assert reader.execute("SELECT count(*) FROM ledger").fetchone() == (FEW_PAGES,)
        reader.execute("COMMIT")
    ledger.write(FEW_PAGES)
    ledger.write(FEW_PAGES)
    assert ledger.checkpointer.round()
    assert copied_into_the_file(ledger.store.path) == ledger.rows() == 7 * FEW_PAGES


def test_a_failed_round_is_logged_and_the_next_one_tries_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: list[bool] = []
    tried_again = threading.Event()
    real_round = WalCheckpointer.round

    def round_on_a_disk_that_is_full_at_first(checkpointer: WalCheckpointer) -> bool:
        if not outcomes:
            outcomes.append(False)
            raise sqlite3.OperationalError("database or disk is full")
        outcomes.append(real_round(checkpointer))
        tried_again.set()
        return outcomes[-1]

    monkeypatch.setattr(WalCheckpointer, "round", round_on_a_disk_that_is_full_at_first)
    monkeypatch.setattr(data.wal_checkpointer, "INTERVAL_S", 0.001)
    ledger.write()
    ledger.checkpointer.start()
    assert tried_again.wait(60.0)
    assert outcomes[:2] == [False, True]
    assert "database or disk is full" in caplog.text
