"""What a replay leaves for any plan to be judged on, as columns that take little memory while they grow."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.features import FEATURE_NAMES, Event, amount_ratio
from engine.metrics import LabelledRows
from engine.ranker_features import UNLABELLED_FEATURE_NAMES
from engine.rules import RuleHit

DAY_US: Final = 86_400_000_000
UNNAMED_SCENARIO: Final = "fraud"
UNLABELLED: Final = -1


@dataclass(slots=True)
class Counts:
    """What a replay read. ``late`` rows are not among those to judge, ``unlabelled`` are neither learnt nor tested."""

    records: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    late: int = 0
    unlabelled: int = 0


def _doubles() -> "array[float]":
    return array("d")


def _singles() -> "array[float]":
    return array("f")


def _integers() -> "array[int]":
    return array("q")


def _names() -> dict[str, int]:
    return {}


@dataclass(slots=True)
class ReplayedRows:
    """Columns of the transactions that took part in a replay, in order of arrival; nothing here knows a label but
    ``label``.

    Attributes:
        label_column: where the label was read, for messages.
        label: 1 is fraud, 0 honest, ``UNLABELLED`` neither.
        fused: the score without any label, ``anomaly`` the anomaly model's alone.
        hits: the rules that held.
        features: all of the ranker's but those from labels, (rows × features,), in single precision.
        card: a number for each name in ``cards``; so for merchants (-1 is none) and scenarios.
    """

    label_column: str
    time: "array[int]" = field(default_factory=_integers)
    card: "array[int]" = field(default_factory=_integers)
    merchant: "array[int]" = field(default_factory=_integers)
    amount: "array[float]" = field(default_factory=_doubles)
    label: "array[int]" = field(default_factory=lambda: array("b"))
    scenario: "array[int]" = field(default_factory=_integers)
    fused: "array[float]" = field(default_factory=_doubles)
    anomaly: "array[float]" = field(default_factory=_doubles)
    velocity: "array[int]" = field(default_factory=_integers)
    features: "array[float]" = field(default_factory=_singles)
    hits: list[tuple[RuleHit, ...]] = field(default_factory=list)
    cards: dict[str, int] = field(default_factory=_names)
    merchants: dict[str, int] = field(default_factory=_names)
    scenarios: dict[str, int] = field(default_factory=lambda: {UNNAMED_SCENARIO: 0})
    counts: Counts = field(default_factory=Counts)

    def __len__(self) -> int:
        return len(self.time)

    def add(
        self,
        event: Event,
        fraud: bool | None,
        scenario: str | None,
        scores: tuple[float, float],
        velocity: int,
        features: Sequence[float],
        hits: tuple[RuleHit, ...],
    ) -> None:
        """Append a transaction; ``scores`` are the fused one and the anomaly model's."""
        self.time.append(event.time)
        self.card.append(self.cards.setdefault(event.card_id, len(self.cards)))
        merchant = event.merchant
        self.merchant.append(-1 if merchant is None else self.merchants.setdefault(merchant, len(self.merchants)))
        self.amount.append(event.amount)
        self.label.append(UNLABELLED if fraud is None else int(fraud))
        self.scenario.append(self.scenarios.setdefault(scenario or UNNAMED_SCENARIO, len(self.scenarios)))
        fused, anomaly = scores
        self.fused.append(fused)
        self.anomaly.append(anomaly)
        self.velocity.append(velocity)
        self.features.extend(features)
        self.hits.append(hits)

    def times(self) -> NDArray[np.int64]:
        """Event times in microseconds, (rows,)."""
        return np.array(self.time, dtype=np.int64)

    def labels(self) -> NDArray[np.int8]:
        """1 for fraud, 0 for honest, ``UNLABELLED`` for neither, (rows,)."""
        return np.array(self.label, dtype=np.int8)

    def card_numbers(self) -> NDArray[np.int64]:
        """The number of each row's card, (rows,)."""
        return np.array(self.card, dtype=np.int64)

    def truth(self, chosen: NDArray[np.bool_]) -> LabelledRows:
        """What is true of the rows of a mask, (rows,), which have labels."""
        return LabelledRows(
            self.labels()[chosen] == 1,
            np.array(self.amount)[chosen],
            self.times()[chosen] // DAY_US,
            self.card_numbers()[chosen],
        )

    def ratio(self, row: int) -> float:
        """The amount of a row over its card's usual one."""
        start = row * len(UNLABELLED_FEATURE_NAMES)
        return amount_ratio(self.features[start : start + len(FEATURE_NAMES)])

    def matrix(self, chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The ranker's features that need no labels, of the rows of a mask, (rows, features).

        Raises:
            ValueError: the replay kept none.
        """
        if not self.features and self.time:
            raise ValueError("the replay kept no features for a ranker")
        columns = len(UNLABELLED_FEATURE_NAMES)
        matrix: NDArray[np.float32] = np.frombuffer(self.features, dtype=np.float32).reshape(-1, columns)[chosen]
        return matrix
