"""What every screen is given: the reader connection, the clock, and the engine as last heard of."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from data.model_registry import ModelRegistry
from engine.messages import EngineSnapshot, EngineState, TrainingSnapshot
from engine.rescoring import Detectors
from engine.rings import Rings
from engine.shadow import ShadowComparison
from screens.decisions import Decisions


class Standing(StrEnum):
    """Who writes what this workbench shows."""

    OWNER = "owner"
    """The engine of this process."""
    ATTACHED = "attached"
    """The engine of another process, from which no snapshots come."""
    VIEWING = "viewing"
    """Nobody: what a file or a demo left is looked at."""


@dataclass(frozen=True, slots=True)
class ModelDesk:
    """What an analyst can do about models, under the analyst's name."""

    compare: Callable[[], ShadowComparison]
    """Compares champion and challenger; it may take seconds, and raises a SentinelError."""
    registry: ModelRegistry
    train: Callable[[], bool]
    """Has a model trained in the background; False where that is being done already."""
    training: Callable[[], TrainingSnapshot | None]
    """The training of the moment, or how the last one ended; None before the first."""


@dataclass(slots=True)
class Workbench:
    """Belongs to the app's thread, which alone changes it; screens read it."""

    reader: sqlite3.Connection
    clock: Callable[[], datetime]
    standing: Standing
    decisions: Decisions
    rings: Callable[[], Rings]
    """Reads the latest checkpoint; it may take some seconds, and raises a StoreError or a sqlite3.Error."""
    detectors: Callable[[], Detectors] | None = None
    """Loads what judges transactions now; it may take a while, and raises a SentinelError. None: there is nothing."""
    models: ModelDesk | None = None
    """None: nobody is signed in, and models can only be looked at."""
    engine: EngineSnapshot | None = None
    training: TrainingSnapshot | None = None
    compared: ShadowComparison | None = None
    """Champion and challenger as they were last compared."""
    dropped_snapshots: int = 0
    critical_unreviewed: int = 0
    problem: str | None = None
    """Why the data shown may be old, as one line for the analyst."""

    @property
    def warning(self) -> str | None:
        """The most pressing thing that is wrong: what, and what to do."""
        if self.problem is not None:
            return self.problem
        if self.decisions.trouble is not None:
            return self.decisions.trouble
        if self.engine is None:
            return None
        if self.engine.state is EngineState.FAILED or self.engine.error is not None:
            return f"The engine has stopped: {self.engine.error or 'no reason was given; see the log'}"
        return self.engine.notice
