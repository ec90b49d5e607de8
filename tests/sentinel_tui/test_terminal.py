"""The program in a real pseudo-terminal: it comes up, and leaves the terminal and the database in order."""

import fcntl
import os
import pty
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from data.store import Store

SHOW_CURSOR = b"\x1b[?25h"
LEAVE_ALTERNATE_SCREEN = b"\x1b[?1049l"
TIMEOUT_S = 60.0


IN_A_SESSION_OF_ITS_OWN = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "sentinel_tui", *sys.argv[1:]])
"""
"""Makes the terminal the controlling one, whose keys and hang-ups signal the program."""


class Terminal:
    """The program, and the terminal it was started in."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.output = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_A_SESSION_OF_ITS_OWN, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(slave)

    def read(self, seconds: float) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self.output += os.read(self._master, 65_536)
            except OSError:
                time.sleep(seconds)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, f"no {what}: {self.output[-500:]!r}"
            self.read(0.1)

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def hang_up(self) -> None:
        os.close(self._master)

    def wait_for_exit(self) -> int:
        self.wait_until(lambda: self.process.poll() is not None, "exit")
        self.read(0.1)
        return self.process.returncode


def stored(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM transactions").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.fixture
def database(tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODEL_PATH", str(model_file))
    monkeypatch.setenv("TRANSACTIONS_PER_SECOND", "10")
    return tmp_path / "sentinel.db"


@pytest.fixture
def running(database: Path) -> Terminal:
    terminal = Terminal("--database", str(database))
    terminal.wait_until(lambda: b"Dashboard" in terminal.output and stored(database) > 0, "transactions on the screen")
    return terminal


def assert_in_order(database: Path) -> None:
    """All that was scored is stored, the memory of it is checkpointed, and nobody holds the engine."""
    Store(database).engine_lock().release()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (rows,) = connection.execute("SELECT count(*) FROM transactions").fetchone()
        (offset, duplicates) = connection.execute("SELECT next_offset, duplicates FROM source_positions").fetchone()
        (letters,) = connection.execute("SELECT count(*) FROM dead_letters").fetchone()
        assert rows + letters + duplicates == offset
        assert connection.execute("SELECT seq FROM engine_checkpoint").fetchone() == (rows,)


@pytest.mark.parametrize(
    "leave",
    [
        lambda terminal: terminal.press(b"q"),
        lambda terminal: terminal.press(b"\x03"),
        lambda terminal: terminal.process.send_signal(signal.SIGTERM),
        lambda terminal: terminal.process.send_signal(signal.SIGHUP),
    ],
    ids=["q", "ctrl+c", "SIGTERM", "SIGHUP"],
)
def test_leaving_restores_the_terminal_and_stores_everything(
    running: Terminal, database: Path, leave: Callable[[Terminal], None]
) -> None:
    leave(running)
    assert running.wait_for_exit() == 0
    assert LEAVE_ALTERNATE_SCREEN in running.output
    assert SHOW_CURSOR in running.output
    assert b"Traceback" not in running.output
    assert_in_order(database)


def test_a_hung_up_terminal_ends_the_app_and_stores_everything(running: Terminal, database: Path) -> None:
    running.hang_up()
    running.process.wait(TIMEOUT_S)
    assert_in_order(database)


def test_a_second_app_attaches_to_the_engine_of_the_first(running: Terminal, database: Path) -> None:
    second = Terminal("--database", str(database))
    second.wait_until(lambda: b"attached" in second.output, "word of being attached")
    before = stored(database)
    second.wait_until(lambda: stored(database) > before, "more transactions from the first")
    second.press(b"q")
    assert second.wait_for_exit() == 0
    running.press(b"q")
    assert running.wait_for_exit() == 0
    assert_in_order(database)


def test_what_a_file_left_is_viewed_and_no_generator_writes_into_it(traffic: Path, database: Path) -> None:
    part = database.parent / "part.ndjson"
    part.write_bytes(b"".join(traffic.read_bytes().splitlines(keepends=True)[:500]))
    replay = Terminal("replay", str(part), "--database", str(database))
    assert replay.wait_for_exit() == 0
    before = stored(database)
    viewer = Terminal("--database", str(database))
    viewer.wait_until(lambda: b"viewing" in viewer.output, "word of viewing")
    viewer.press(b"q")
    assert viewer.wait_for_exit() == 0
    assert stored(database) == before > 0


def test_a_replay_shows_its_progress_and_ctrl_c_ends_it_after_a_whole_batch(traffic: Path, database: Path) -> None:
    replay = Terminal("replay", str(traffic), "--database", str(database))
    replay.wait_until(lambda: b"records" in replay.output, "progress")
    replay.press(b"\x03")
    code = replay.wait_for_exit()
    assert b"Traceback" not in replay.output
    assert SHOW_CURSOR in replay.output
    assert code == 130
    assert b"the same command goes on from there" in replay.output
    assert_in_order(database)
