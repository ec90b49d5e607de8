"""Labels as the engine takes them in: while it runs and after a restart at the same transaction, in the same order."""

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Final

from data.queries import recovery
from data.queries.recovery import StoredEvent, StoredLabel
from engine.day_counts import DAYS_KEPT
from engine.entities import place_of
from engine.entity_graph import DAY_US, EntityGraph
from engine.features import EventReader
from engine.label_features import KnownFraud
from engine.learning import Learning

UNKNOWN_RATIO: Final = 1.0
"""For a transaction that was stored before its ratio was: its amount is taken for a usual one."""
CAUGHT_UP_DAYS: Final = 45
"""A month in which a card may have been taken, and two weeks until that is known."""
MOST_CAUGHT_UP: Final = 1_000_000
"""Transactions, the latest ones: at 13 us each, the first fraud stops the engine for a quarter of a minute at most."""


class LabelIntake:
    """Lets stored labels count for what the engine has learnt. The first fraud among them begins the entity graph."""

    def __init__(self, connection: sqlite3.Connection, learning: Learning, reader: EventReader) -> None:
        self._connection = connection
        self._learning = learning
        self._reader = reader

    def take(self, labels: Iterable[StoredLabel], seq: int) -> int:
        """Take in all labels that are new after transaction ``seq``; the number of the last one, 0 without any."""
        last_id = 0
        for label in labels:
            self._take(label)
            last_id = label.id
        if self._learning.graph is None and self._learning.labels.holds_fraud:
            self._learning.graph = self._caught_up(seq, last_id)
        return last_id

    def interleaved(self, seq: int, most: int) -> Iterator[list[StoredEvent]]:
        """The transactions after ``seq`` as they were scored, at most so many at once.

        Each label is taken in where it had been; what comes before it must have been learnt by then.
        """
        applied = recovery.labels_applied_since(self._connection, seq)
        for applied_seq, labels in groupby(applied, key=lambda label: label.applied_seq or 0):
            yield from _in_lots(recovery.events_between(self._connection, seq, applied_seq), most)
            seq = applied_seq
            self.take(labels, seq)
        yield from _in_lots(recovery.events_after(self._connection, seq), most)

    def _take(self, label: StoredLabel) -> None:
        """Fraud counts from the moment it was known on; what is taken back, not any more."""
        if bool(label.fraud) is label.was_fraud:
            return
        fraud = KnownFraud(
            known_at=max(label.known_at, label.event_time),
            time=label.event_time,
            card=label.card_id,
            merchant=label.merchant_id,
            ratio=label.amount_ratio or UNKNOWN_RATIO,
        )
        if label.fraud:
            self._learning.tell(fraud, self._place(label))
        else:
            self._learning.retract(fraud, self._place(label))

    def _place(self, label: StoredLabel) -> int | None:
        event = self._reader.event(
            label.card_id,
            0,
            label.event_time,
            label.location,
            label.latitude,
            label.longitude,
            label.merchant_id,
            label.merchant_category,
        )
        return place_of(event)

    def _caught_up(self, seq: int, last_id: int) -> EntityGraph:
        """A graph as if it had followed the last weeks until transaction ``seq``, and known each fraud when it was."""
        connection, graph = self._connection, EntityGraph()
        earliest = max(0, seq - MOST_CAUGHT_UP)
        latest = recovery.latest_event_time(connection, earliest, seq)
        frauds = deque(recovery.known_frauds(connection, last_id, latest - DAYS_KEPT * DAY_US))
        start = recovery.seq_before(connection, latest - CAUGHT_UP_DAYS * DAY_US, earliest, seq)
        for stored in recovery.events_between(connection, start, seq):
            if stored.late:
                continue
            while frauds and frauds[0].known_at <= stored.event_time:
                self._teach(graph, frauds.popleft())
            graph.observe(self._reader.of_stored(stored))
        for fraud in frauds:
            self._teach(graph, fraud)
        return graph

    def _teach(self, graph: EntityGraph, label: StoredLabel) -> None:
        graph.learn(label.card_id, label.merchant_id, self._place(label), label.event_time, label.known_at)


def _in_lots(events: Iterator[StoredEvent], most: int) -> Iterator[list[StoredEvent]]:
    while lot := list(islice(events, most)):
        yield lot
