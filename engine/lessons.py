"""What a ranker is taught: the stored transactions, read again through the code that serves, and what came of them.

A label is used as a feature only from the moment on at which it was known. As the truth about its own transaction it
is used whenever it came. What is younger than the label delay and was not looked at is unknown, and teaches nothing;
what is older without a chargeback is honest, as far as chargebacks have been imported.
"""

import sqlite3
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.queries import labels as label_queries
from data.queries import recovery
from engine import checkpoint
from engine.features import EventReader, FeatureState
from engine.label_features import KnownFraud
from engine.label_intake import UNKNOWN_RATIO
from engine.learning import Learning
from engine.ranker_features import RANKER_FEATURE_NAMES
from engine.sealed import CheckpointError

MOST_LESSONS: Final = 500_000
"""Transactions that are taught at most, the latest ones, so that a training fits into memory."""
_REPORT_EVERY: Final = 2_000


def _doubles() -> "array[float]":
    return array("d")


def _integers() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class StoredLessons:
    """Transactions whose outcome is known, in the order in which they were scored, as columns.

    ``known_at`` is when the outcome was known; ``scores`` are those by which it was decided at the time. ``memory`` is
    the cards' history after transaction ``seq``, for an engine to go on from.
    """

    features: "array[float]" = field(default_factory=_doubles)
    fraud: bytearray = field(default_factory=bytearray)
    time: "array[int]" = field(default_factory=_integers)
    known_at: "array[int]" = field(default_factory=_integers)
    card: "array[int]" = field(default_factory=_integers)
    amount: "array[float]" = field(default_factory=_doubles)
    scores: "array[float]" = field(default_factory=_doubles)
    model_scores: "array[float]" = field(default_factory=_doubles)
    level_ranks: bytearray = field(default_factory=bytearray)
    seqs: "array[int]" = field(default_factory=_integers)
    seq: int = 0
    memory: bytes = b""
    unknown: int = 0

    def __len__(self) -> int:
        return len(self.fraud)

    def matrix(self) -> NDArray[np.float64]:
        """The ranker's features, (rows, features)."""
        return np.frombuffer(self.features, dtype=np.float64).reshape(-1, len(RANKER_FEATURE_NAMES))


def read_lessons(
    connection: sqlite3.Connection,
    state: FeatureState,
    reader: EventReader,
    delay_us: int,
    report: Callable[[float], None],
) -> StoredLessons:
    """Read all stored transactions again; ``state`` must be empty, and is used up.

    ``report`` is told the share read, and may raise to stop. What is stored or labelled meanwhile is left out.
    """
    return _Reading(connection, state, reader, delay_us).read(report)


class _Reading:
    def __init__(self, connection: sqlite3.Connection, state: FeatureState, reader: EventReader, delay_us: int) -> None:
        self._connection = connection
        self._state = state
        self._reader = reader
        self._delay_us = delay_us
        self._learning = Learning(delay_us)
        self._lessons = StoredLessons()
        self._cards: dict[str, int] = {}
        self._settled_until: int | None = None

    def read(self, report: Callable[[float], None]) -> StoredLessons:
        connection, lessons = self._connection, self._lessons
        origin = recovery.origin(connection)
        if origin is not None:
            # Of another version's, the cards have no history before their first transaction, as on a new site.
            with suppress(CheckpointError):
                checkpoint.load(origin, self._state)
        # Seen at one moment: a chargeback that came in between would settle what it says is fraud.
        connection.execute("BEGIN")
        labels = label_queries.current_labels(connection)
        self._settled_until = label_queries.settled_until(connection, self._delay_us)
        last = recovery.last_seq(connection)
        connection.execute("COMMIT")
        for label in labels.values():
            if label.fraud:
                ratio = label.amount_ratio or UNKNOWN_RATIO
                self._learning.tell(
                    KnownFraud(label.known_at, label.event_time, label.card_id, label.merchant_id, ratio)
                )
        self._learning.begin_history(None)
        for stored in recovery.events_between(connection, 0, last):
            self._learn(stored, labels.get(stored.seq), teaches=stored.seq > last - MOST_LESSONS)
            if stored.seq % _REPORT_EVERY == 0:
                report(stored.seq / last)
        lessons.seq = last
        if self._learning.history is not None:
            lessons.memory = self._learning.history.dump()
        return lessons

    def _learn(self, stored: recovery.StoredEvent, label: label_queries.CurrentLabel | None, *, teaches: bool) -> None:
        event = self._reader.of_stored(stored)
        observation = self._state.observe(event)
        learnt = self._learning.observe(event, observation.features, late=observation.late)
        if not teaches or learnt.row is None:
            return
        lessons = self._lessons
        if label is not None:
            fraud, known_at = label.fraud, label.known_at
        elif self._settled_until is not None and stored.event_time <= self._settled_until:
            fraud, known_at = False, stored.event_time + self._delay_us
        else:
            lessons.unknown += 1
            return
        lessons.features.extend(learnt.row)
        lessons.seqs.append(stored.seq)
        lessons.fraud.append(fraud)
        lessons.time.append(stored.event_time)
        lessons.known_at.append(known_at)
        lessons.card.append(self._cards.setdefault(stored.card_id, len(self._cards)))
        lessons.amount.append(event.amount)
        lessons.scores.append(stored.score)
        lessons.model_scores.append(stored.model_score)
        lessons.level_ranks.append(stored.level_rank)
