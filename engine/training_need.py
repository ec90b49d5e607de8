"""Whether it is time to train: enough frauds are known, and enough labels have come since the last training."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final

from data.queries import labels

FEWEST_FRAUDS: Final = 50
"""Known frauds before a first training is worth its time."""
GROWTH: Final = 0.2
"""More labels than at the last training, as a share of those there were."""


@dataclass(frozen=True, slots=True)
class TrainingNeed:
    """The labels that hold: ``labels`` in all, ``frauds`` of them fraud, ``added`` since the last training."""

    labels: int
    frauds: int
    added: int

    @property
    def missing_frauds(self) -> int:
        """Frauds that must become known before it is worth the time."""
        return max(0, FEWEST_FRAUDS - self.frauds)

    @property
    def missing_labels(self) -> int:
        """Labels that must come before it is worth the time; the first one is enough after a training on none."""
        return max(0, max(1, ceil(GROWTH * (self.labels - self.added))) - self.added)

    @property
    def is_due(self) -> bool:
        """Whether a training is worth its time."""
        return not self.missing_frauds and not self.missing_labels


def training_need(reader: sqlite3.Connection, since: datetime | None) -> TrainingNeed:
    """How things stand when the last training was at ``since``, None for never."""
    return TrainingNeed(*labels.label_growth(reader, since))
