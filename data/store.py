"""Opening the SQLite file: where it may live, who may read it, which schema it has, and who may write.

Writes are serialised between processes by a lock file beside the database, because SQLite's own busy handler
starves under a saturating writer. One process at a time holds the engine lock.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlite_utils import Database

from data.errors import StoreError, StoreLockedError
from data.schema import migrate

NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "ncpfs"})
WRITE_LOCK_TIMEOUT_S = 60.0
WRITE_LOCK_POLL_S = 0.002
BUSY_TIMEOUT_MS = 10_000


class Store:
    """One SQLite file in WAL mode. Connections are opened from it; each belongs to one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Thread-local, so that it also keeps two threads of this process apart. Polled often, because a waiter gets
        # in only when it looks while the lock is free: every 50 ms, a busy engine kept an analyst out for seconds.
        self._write_lock = FileLock(f"{path}.lock", mode=0o600, poll_interval=WRITE_LOCK_POLL_S)

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Create or open the file, with mode 0600 in a folder of mode 0700, and migrate it.

        Raises:
            StoreError: the folder cannot be written, the file is no database or is damaged, it is on a network
                filesystem, another program's, or (SchemaTooNewError) a newer Sentinel TUI's.
        """
        path = path.expanduser().absolute()
        _prepare_file(path)
        store = cls(path)
        with store.writing(), _as_store_error(path), closing(store._connect()) as connection:
            migrate(Database(connection), str(path))
            connection.execute("PRAGMA journal_mode = WAL")
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if _is_small(path) else "ok"
            if problem != "ok":
                raise sqlite3.DatabaseError(problem)
        return store

    def reader(self) -> sqlite3.Connection:
        """A connection that cannot write. Readers never block the engine, nor are blocked by it."""
        with _as_store_error(self.path):
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
        return connection

    def engine_writer(self) -> sqlite3.Connection:
        """The connection of the engine lock's holder; a ``WalCheckpointer`` beside it checkpoints the WAL."""
        with _as_store_error(self.path):
            connection = self._connect()
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def checkpointing(self) -> sqlite3.Connection:
        """A connection to checkpoint the WAL, for the engine lock's holder alone."""
        with _as_store_error(self.path):
            return self._connect()

    def analyst_writer(self) -> sqlite3.Connection:
        """A connection for what analysts decide: durable at each commit."""
        with _as_store_error(self.path):
            connection = self._connect()
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextmanager
    def writing(self, timeout_s: float = WRITE_LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the right to write; take it around every write transaction.

        Raises:
            StoreLockedError: another process kept it for ``timeout_s``.
            StoreError: the lock file cannot be written.
        """
        try:
            self._write_lock.acquire(timeout_s)
        except Timeout:
            raise StoreLockedError(
                f"{self.path} is being written by another process for over {timeout_s:.0f} s: "
                "find it (lsof), end it, and try again"
            ) from None
        except OSError as error:
            raise _lock_error(self._write_lock.lock_file, error) from error
        try:
            yield
        finally:
            self._write_lock.release()

    @contextmanager
    def transaction(self, connection: sqlite3.Connection, timeout_s: float = WRITE_LOCK_TIMEOUT_S) -> Iterator[None]:
        """A write transaction: all of it or nothing.

        Raises:
            StoreError: the disk is full, the file is damaged, or the lock could not be had within ``timeout_s``;
                nothing was written.
        """
        with self.writing(timeout_s), _as_store_error(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def engine_lock(self) -> FileLock:
        """Take the right to run the engine on this file; release the returned lock to give it up.

        Raises:
            StoreLockedError: another process runs the engine on it.
            StoreError: the lock file cannot be written.
        """
        return self._taken(
            "engine",
            f"another process runs the engine on {self.path}: stop it, or choose another file with --database",
        )

    def training_lock(self) -> FileLock:
        """Take the right to train a model on this file; release the returned lock to give it up.

        Raises:
            StoreLockedError: another process trains a model on it.
            StoreError: the lock file cannot be written.
        """
        return self._taken(
            "training", f"a model is being trained on {self.path} already: wait until that training has ended"
        )

    def _taken(self, right: str, complaint: str) -> FileLock:
        lock = FileLock(f"{self.path}.{right}", timeout=0, mode=0o600, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise StoreLockedError(complaint) from None
        except OSError as error:
            raise _lock_error(lock.lock_file, error) from error
        return lock

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection


@contextmanager
def _as_store_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        advice = {
            sqlite3.SQLITE_FULL: "the disk is full: free some space, then start again; nothing was lost",
            sqlite3.SQLITE_READONLY: "it cannot be written: check its permissions",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check the folder and its permissions",
            sqlite3.SQLITE_IOERR: "the disk reported an error: check it, then start again",
        }.get(code, str(error))
        raise StoreError(f"{path}: {advice}") from error
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is not a sound SQLite database ({error}): restore a backup, "
            "or move it away and start again with a new one"
        ) from error


def _lock_error(lock_file: str, error: OSError) -> StoreError:
    return StoreError(f"{lock_file} cannot be written ({error.strerror}): check it and its folder")


def _prepare_file(path: Path) -> None:
    try:
        _make_folder(path.parent)
        if path.is_dir():
            raise StoreError(f"{path} is a folder: give the path of a file with --database")
        filesystem = _filesystem_of(path.parent)
        if filesystem in NETWORK_FILESYSTEMS:
            raise StoreError(
                f"{path} is on a network filesystem ({filesystem}), where SQLite's locks do not hold: "
                "choose a local folder with --database"
            )
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{error.filename or path} cannot be written ({error.strerror}): choose a folder of yours with --database"
        ) from error
    os.close(descriptor)


def _make_folder(folder: Path) -> None:
    # mkdir(parents=True) gives its mode to the last folder only.
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _is_small(path: Path) -> bool:
    """Whether a full check at each start costs nothing that is noticed."""
    return path.stat().st_size < 64 * 1024 * 1024


def _filesystem_of(folder: Path) -> str | None:
    """The type of the filesystem that holds a folder, where /proc tells (Linux)."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    real = folder.resolve()
    best, kind = -1, None
    for line in mounts.read_text(errors="replace").splitlines():
        _, point, filesystem, *_ = line.split(" ")
        # A later mount on the same point covers the earlier one, as an automounter's does.
        if real.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), filesystem
    return kind
