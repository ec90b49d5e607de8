"""What holds between processes: modes of files, locks, kills. Each script runs in an interpreter of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from data.errors import StoreError, StoreLockedError
from data.schema import DEFAULT_RULES
from data.store import Store

MODES = """
import json, os, stat, sys
from pathlib import Path

os.umask(0)
from data.store import Store

root = Path(sys.argv[1])
store = Store.open(root / "new" / "deep" / "sentinel.db")
lock = store.engine_lock()
writer, reader = store.engine_writer(), store.reader()
with store.transaction(writer):
    writer.execute("DELETE FROM rules")
reader.execute("SELECT * FROM rules").fetchall()
modes = {str(path.relative_to(root)): oct(stat.S_IMODE(path.stat().st_mode)) for path in root.rglob("*")}
print(json.dumps(modes))
"""

HOLD_ENGINE = """
import sys
from pathlib import Path
from data.store import Store

lock = Store(Path(sys.argv[1])).engine_lock()
print("held", flush=True)
sys.stdin.read()
"""

HOLD_WRITE = """
import sys
from pathlib import Path
from data.store import Store

store = Store(Path(sys.argv[1]))
connection = store.analyst_writer()
with store.transaction(connection):
    connection.execute("UPDATE rules SET hits = 777")
    print("held", flush=True)
    sys.stdin.read()
"""

COUNT = """
import sys
from pathlib import Path
from data.store import Store

store = Store(Path(sys.argv[1]))
connection = getattr(store, sys.argv[3])()
for _ in range(int(sys.argv[2])):
    with store.transaction(connection):
        (value,) = connection.execute("SELECT value FROM settings WHERE key = 'left'").fetchone()
        connection.execute("UPDATE settings SET value = ? WHERE key = 'left'", (str(int(value) + 1),))
        connection.execute("UPDATE settings SET value = ? WHERE key = 'right'", (str(int(value) + 1),))
"""

DIE_AT_EACH_STATEMENT = """
import os, signal, sqlite3, sys
from pathlib import Path

class Dying(sqlite3.Connection):
    statements_left = 0

    def execute(self, *arguments):
        if Dying.statements_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        Dying.statements_left -= 1
        return super().execute(*arguments)

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Dying, **options)
from data.store import Store

point, killed = 0, True
while killed:
    child = os.fork()
    if child == 0:
        Dying.statements_left = point
        Store.open(Path(sys.argv[1]) / f"{point:03}.db")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    point += 1
print(point)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def holder(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has what it holds, until it is killed or the block ends."""
    with start(script, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def test_files_and_folders_are_private_under_an_open_umask(tmp_path: Path) -> None:
    modes = json.loads(finish(start(MODES, tmp_path)))
    assert modes == {
        "new": "0o700",
        "new/deep": "0o700",
        "new/deep/sentinel.db": "0o600",
        "new/deep/sentinel.db-wal": "0o600",
        "new/deep/sentinel.db-shm": "0o600",
        "new/deep/sentinel.db.lock": "0o600",
        "new/deep/sentinel.db.engine": "0o600",
    }


def test_one_process_has_the_engine_until_it_is_killed(store: Store) -> None:
    with holder(HOLD_ENGINE, store.path) as engine:
        with pytest.raises(StoreLockedError, match="another process runs the engine"):
            store.engine_lock()
        with closing(store.analyst_writer()) as connection, store.transaction(connection):
            connection.execute("UPDATE rules SET hits = 1")
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        store.engine_lock().release()


def test_the_engine_lock_is_free_again_after_its_release(store: Store) -> None:
    lock = store.engine_lock()
    with pytest.raises(StoreLockedError):
        Store(store.path).engine_lock()
    lock.release()
    Store(store.path).engine_lock().release()


def test_a_writer_killed_in_a_transaction_leaves_neither_rows_nor_lock(store: Store) -> None:
    with holder(HOLD_WRITE, store.path) as writer:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        with closing(Store.open(store.path).analyst_writer()) as connection, store.transaction(connection):
            assert connection.execute("SELECT sum(hits) FROM rules").fetchone() == (0,)


def test_a_write_lock_that_is_kept_too_long_is_a_clear_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with holder(HOLD_WRITE, store.path):
        monkeypatch.setattr("data.store.WRITE_LOCK_TIMEOUT_S", 0.01)
        impatient = Store(store.path)
        with pytest.raises(StoreLockedError, match="being written by another process"), impatient.writing():
            pass


def test_writers_of_several_processes_lose_no_update_and_readers_see_whole_ones(store: Store) -> None:
    with closing(store.analyst_writer()) as connection, store.transaction(connection):
        connection.executemany("INSERT INTO settings VALUES (?, '0', 'me', 0)", [("left",), ("right",)])
    writers = [start(COUNT, store.path, 40, kind) for kind in ("engine_writer", "analyst_writer", "analyst_writer")]
    torn = []
    with closing(store.reader()) as reader:
        reader.execute("PRAGMA busy_timeout = 0")
        while any(writer.poll() is None for writer in writers):
            values = {value for (value,) in reader.execute("SELECT value FROM settings").fetchall()}
            torn += [values] if len(values) > 1 else []
        for writer in writers:
            finish(writer)
        assert reader.execute("SELECT DISTINCT value FROM settings").fetchall() == [("120",)]
    assert torn == []


def test_a_kill_at_any_statement_of_the_migration_leaves_a_database_that_opens(tmp_path: Path) -> None:
    points = int(finish(start(DIE_AT_EACH_STATEMENT, tmp_path)))
    assert points > 30
    for path in sorted(tmp_path.glob("*.db")):
        with closing(Store.open(path).reader()) as reader:
            assert reader.execute("SELECT count(*) FROM rules").fetchone() == (len(DEFAULT_RULES),)
            assert reader.execute("SELECT count(*) FROM _sqlite_migrations").fetchone() == (3,)
            assert reader.execute("PRAGMA quick_check").fetchall() == [("ok",)]


def test_many_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.db"
    script = "import sys; from pathlib import Path; from data.store import Store; Store.open(Path(sys.argv[1]))"
    for process in [start(script, path) for _ in range(3)]:
        finish(process)
    with closing(Store.open(path).reader()) as reader:
        assert reader.execute("SELECT count(*) FROM rules").fetchone() == (len(DEFAULT_RULES),)


def test_store_locked_is_a_store_error() -> None:
    assert issubclass(StoreLockedError, StoreError)
