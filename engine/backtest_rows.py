"""What a backtest keeps of a replay, as columns that take little memory while they grow."""

from array import array
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.metrics import LabelledRows
from engine.ranker_features import RANKER_FEATURE_NAMES
from engine.rules import RuleHit

DAY_US: Final = 86_400_000_000


def _doubles() -> "array[float]":
    return array("d")


def _integers() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class TestedRows:
    """Columns of the transactions that are tested, in order of arrival."""

    time: "array[int]" = field(default_factory=_integers)
    card: "array[int]" = field(default_factory=_integers)
    amount: "array[float]" = field(default_factory=_doubles)
    fraud: bytearray = field(default_factory=bytearray)
    scenario: "array[int]" = field(default_factory=_integers)
    fused: "array[float]" = field(default_factory=_doubles)
    anomaly: "array[float]" = field(default_factory=_doubles)
    velocity: "array[int]" = field(default_factory=_integers)
    features: "array[float]" = field(default_factory=_doubles)
    hits: list[tuple[RuleHit, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.time)

    def labelled(self) -> LabelledRows:
        """What is true of the rows."""
        return LabelledRows(
            np.frombuffer(self.fraud, dtype=np.bool_),
            np.array(self.amount),
            np.array(self.time, dtype=np.int64) // DAY_US,
            np.array(self.card, dtype=np.int64),
        )

    def matrix(self) -> NDArray[np.float64]:
        """The ranker's features, (rows, features)."""
        return _matrix(self.features)


@dataclass(slots=True)
class Lessons:
    """What a ranker is trained on, in order of arrival."""

    features: "array[float]" = field(default_factory=_doubles)
    fraud: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.fraud)

    def matrix(self) -> NDArray[np.float64]:
        """The ranker's features, (rows, features)."""
        return _matrix(self.features)


def _matrix(values: "array[float]") -> NDArray[np.float64]:
    return np.frombuffer(values, dtype=np.float64).reshape(-1, len(RANKER_FEATURE_NAMES))
