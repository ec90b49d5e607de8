"""Copying the write-ahead log back into the database, on a thread of its own beside the engine's commits."""

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from data.errors import StoreError

if TYPE_CHECKING:
    from data.store import Store

log = logging.getLogger(__name__)

INTERVAL_S: Final = 0.5
WAL_PAGES: Final = 4_000
"""From here on, the WAL is started anew as soon as it can be: it grows past this by what one interval writes."""


class WalCheckpointer:
    """The only one that checkpoints a database while the engine runs on it.

    Most of a checkpoint is waiting for the disk: on the engine's own connection, it would hold up every transaction
    that arrives meanwhile. A round copies what is committed beside the running writer. Once the WAL is long, the
    round ends with what was committed meanwhile, under the write lock: only a WAL that is copied to its end is started
    anew, and a busy writer would let it grow for ever.

    SQLite before 3.51.3 can lose pages when a checkpoint begins on a WAL that is copied to its end, and a writer starts
    the WAL anew at that instant (https://sqlite.org/wal.html#walresetbug). Hence a round begins only after a commit
    that itself began after the last round: what it wrote is not copied, so no writer can start the WAL anew.
    """

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._connection = store.checkpointing()
        self._commits = 0
        self._begin_at = 1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wal-checkpointer", daemon=True)

    def start(self) -> None:
        """Begin to run a round every half second."""
        self._thread.start()

    def committed(self) -> None:
        """Tell of a commit; only ever called from the one thread that commits."""
        self._commits += 1

    def close(self) -> None:
        """End the round at hand, and the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self.round()
            except (sqlite3.Error, StoreError) as error:
                log.warning("the write-ahead log of %s is kept for now: %s", self._store.path, error)

    def round(self) -> bool:
        """Copy what is committed; False, and nothing done, where it is too soon after the last round.

        Raises:
            sqlite3.Error: the disk is full or failed; the WAL keeps everything, and the next round tries again.
            StoreError: the write lock could not be had; likewise.
        """
        if self._commits < self._begin_at:
            return False
        try:
            pages, copied = self._copy()
            # Fewer are copied where a reader still looks at what a page was: then there is no end to reach.
            if pages >= WAL_PAGES and copied == pages:
                with self._store.writing():
                    self._copy()
        finally:
            # A commit that is under way, and not counted yet, may be copied already; the one after it is not.
            self._begin_at = self._commits + 2
        return True

    def _copy(self) -> tuple[int, int]:
        """Pages in the WAL, and how many of them are in the database now."""
        _, pages, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(pages), int(copied)
