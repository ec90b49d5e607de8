"""What leaves the engine's threads: immutable snapshots, the engine's in a bounded queue that never blocks it."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Lock


class EngineState(StrEnum):
    STARTING = "starting"
    TRAINING = "training"
    WARMING_UP = "warming up"
    RECOVERING = "recovering"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """The engine at one moment. Counts are since this start; latencies are milliseconds; rates are per second."""

    state: EngineState
    source: str
    watermark: datetime | None = None
    records: int = 0
    transactions: int = 0
    alerts: int = 0
    critical_alerts: int = 0
    cases_opened: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    rate: float = 0.0
    latency_p50: float | None = None
    latency_p95: float | None = None
    latency_p99: float | None = None
    fraction_done: float | None = None
    notice: str | None = None
    """A warning that stays until it no longer holds: what, and what to do."""
    error: str | None = None
    """Why the engine stopped, as one line for the analyst."""


class TrainingState(StrEnum):
    RUNNING = "training"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrainingSnapshot:
    """A training in the background at one moment. ``notice`` says what there is to know, and is told once."""

    state: TrainingState
    notice: str
    fraction_done: float = 0.0


class SnapshotQueue:
    """A bounded queue from the engine's thread to a reader; the oldest snapshots give way, and are counted."""

    def __init__(self, capacity: int = 64) -> None:
        self._snapshots: deque[EngineSnapshot] = deque(maxlen=capacity)
        self._lock = Lock()
        self._dropped = 0

    def put(self, snapshot: EngineSnapshot) -> None:
        """Add the newest snapshot; returns at once."""
        with self._lock:
            if len(self._snapshots) == self._snapshots.maxlen:
                self._dropped += 1
            self._snapshots.append(snapshot)

    def latest(self) -> EngineSnapshot | None:
        """Take everything there is and return the newest, None when nothing is new."""
        with self._lock:
            if not self._snapshots:
                return None
            newest = self._snapshots[-1]
            self._snapshots.clear()
            return newest

    @property
    def dropped(self) -> int:
        """How many snapshots gave way unread."""
        return self._dropped
