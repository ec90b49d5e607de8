"""Trains in the background when enough labels have come, or when an analyst asks for it."""

import logging
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Final, Self

from data.errors import SentinelError, StoreError
from data.model_registry import last_training
from data.queries.labels import latest_label_id
from data.store import Store
from engine.messages import TrainingSnapshot, TrainingState
from engine.pipeline import Clocks
from engine.training_need import training_need
from sentinel_tui.training_process import TrainingProcess

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 60.0
POLL_S: Final = 0.25
STOP_TIMEOUT_S: Final = 5.0
_BEGUN: Final = "A model is being trained in the background on the labels there are"
_STOPPED: Final = "Training in the background has stopped, and nothing is trained any more; the log says why"


class TrainingWatch:
    """A thread that looks every minute whether a training is due, where ``automatic``, and trains when asked to.

    ``environment`` overrides the settings of the training. It is used as a context: at its end, a training is ended.
    """

    def __init__(self, store: Store, clocks: Clocks, environment: Mapping[str, str], *, automatic: bool) -> None:
        self._store = store
        self._clocks = clocks
        self._environment = environment
        self._automatic = automatic
        self._snapshot: TrainingSnapshot | None = None
        self._wake = threading.Event()
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._process: TrainingProcess | None = None
        self._process_lock = threading.Lock()
        self._looked_at_label = 0
        self._tried_at: datetime | None = None
        self._thread = threading.Thread(target=self._run, name="training", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._wake.set()
        with self._process_lock:
            if self._process is not None:
                self._process.stop()
        self._thread.join(STOP_TIMEOUT_S)

    @property
    def latest(self) -> TrainingSnapshot | None:
        """The training of the moment, or how the last one ended; None before the first."""
        return self._snapshot

    def train_now(self) -> bool:
        """Have a model trained, whether or not that is due; False where this process is at it already."""
        if self._asked.is_set() or (self._snapshot is not None and self._snapshot.state is TrainingState.RUNNING):
            return False
        self._asked.set()
        self._wake.set()
        return True

    def _run(self) -> None:
        try:
            self._watch()
        except Exception:
            log.exception("training in the background has stopped")
            self._snapshot = TrainingSnapshot(TrainingState.FAILED, _STOPPED)

    def _watch(self) -> None:
        next_look = self._clocks.monotonic() + LOOK_EVERY_S
        while not self._stopping.is_set():
            if self._asked.is_set():
                self._train(asked=True)
            elif self._automatic and self._clocks.monotonic() >= next_look:
                next_look = self._clocks.monotonic() + LOOK_EVERY_S
                if self._is_due():
                    self._train(asked=False)
            self._wake.wait(POLL_S)
            self._wake.clear()

    def _is_due(self) -> bool:
        try:
            with closing(self._store.reader()) as reader:
                label_id = latest_label_id(reader)
                if label_id == self._looked_at_label:
                    return False
                before = [at for at in (last_training(reader), self._tried_at) if at is not None]
                due = training_need(reader, max(before, default=None)).is_due
            if due:
                # Another process may be at it; then it is looked again in a minute.
                self._store.training_lock().release()
            self._looked_at_label = label_id
        except (StoreError, sqlite3.Error) as error:
            log.info("it was not decided whether a training is due: %s", error)
            return False
        return due

    def _train(self, *, asked: bool) -> None:
        self._tried_at = self._clocks.now()
        self._tell(TrainingState.RUNNING, _BEGUN)
        self._asked.clear()
        try:
            with self._process_lock:
                if self._stopping.is_set():
                    return
                self._process = TrainingProcess(self._store.path, self._environment)
            challenger = self._process.wait(self._progress)
        except (SentinelError, OSError) as error:
            if not self._stopping.is_set():
                again = "" if asked else "; it is tried again when there are more labels"
                self._tell(TrainingState.FAILED, f"No model was trained: {error}{again}")
        else:
            self._tell(TrainingState.FINISHED, f"A challenger competes: {challenger.words}")

    def _progress(self, share: float) -> None:
        self._snapshot = TrainingSnapshot(TrainingState.RUNNING, _BEGUN, share)

    def _tell(self, state: TrainingState, notice: str) -> None:
        log.log(logging.WARNING if state is TrainingState.FAILED else logging.INFO, "%s", notice)
        self._snapshot = TrainingSnapshot(state, notice)
