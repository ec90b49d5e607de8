"""A checkpoint of an engine that knows of fraud: cards, where they were, and one merchant where cards were taken."""

import random
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

from data.engine_writes import EngineWriter
from data.queries import recovery
from data.store import Store
from data.timestamps import to_microseconds
from engine import memory
from engine.entity_graph import EntityGraph
from engine.features import Event, FeatureState
from engine.learning import Learning

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
DAYS = 24
CARDS = tuple(f"card_{number:06d}" for number in range(400))
TAKEN = (24, 12)


def breached_graph(
    merchants: Sequence[str] = ("M-000123", "Corner Shop [north]"), cards: Sequence[str] = CARDS
) -> EntityGraph:
    """Three and a half weeks of daily purchases until now, and two days each in which cards were taken at a merchant.

    Two in three of the cards taken see fraud some ten days later; the others have not yet.
    """
    dice = random.Random(2)
    exposed = dice.sample(cards, sum(TAKEN))
    visits = [
        (day + dice.random(), card, f"M-{dice.randrange(60):06d}")
        for day in range(DAYS)
        for card in (*cards[:40], *dice.sample(cards, 120))
    ]
    start = NOW - timedelta(days=DAYS)
    graph = EntityGraph()
    for number, card in enumerate(exposed):
        second = number >= TAKEN[0]
        visits.append((6 + 2 * second + 2 * dice.random(), card, merchants[second]))
        if number % 3:
            struck = to_microseconds(start + timedelta(days=16 + number % 5))
            graph.learn(card, "S-1", None, struck, struck + 3_600_000_000)
    for at, card, merchant in sorted(visits):
        graph.observe(Event(card, 20.0, to_microseconds(start + timedelta(days=at)), None, None, True, merchant, None))
    return graph


def save_checkpoint(store: Store, graph: EntityGraph | None) -> None:
    """As the engine does when it stops."""
    learning = Learning()
    learning.graph = graph
    writer = EngineWriter(store)
    with closing(writer):
        writer.save_checkpoint(
            recovery.last_seq(writer.connection), memory.dump(FeatureState(60, 2.0, 600), learning), NOW
        )
