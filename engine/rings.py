"""Merchants at which cards seem to be taken, and the cards that are next: read from the latest checkpoint.

Nothing of it is computed on the engine's thread, and nothing waits for it.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from data.queries import recovery
from data.queries.labels import label_totals
from data.timestamps import from_microseconds
from engine import memory
from engine.common_points import FEWEST_CARDS, MINUTE_US, CompromisedMerchant
from engine.compromise import WORTH_SAYING
from engine.entity_graph import EntityGraph
from engine.pipeline import CHECKPOINT_EVERY
from engine.sealed import CheckpointError

MOST_RINGS: Final = 50
MOST_EXPOSED: Final = 1_000
"""Exposed cards of one merchant that are listed; all are counted."""


class Missing(StrEnum):
    """Why there is nothing to rank."""

    FRAUD = "no_known_fraud"
    CHECKPOINT = "no_checkpoint"
    READABLE_CHECKPOINT = "checkpoint_of_another_version"


WHAT_TO_DO: Final = {
    Missing.FRAUD: (
        "No fraud is known yet.",
        "Import chargebacks with `sentinel-tui label FILE --database DATABASE`.",
    ),
    Missing.CHECKPOINT: (
        "Fraud is known, but no checkpoint of the engine contains it yet.",
        f"The engine takes one every {CHECKPOINT_EVERY:,} transactions, and when it stops: look again then.",
    ),
    Missing.READABLE_CHECKPOINT: (
        "The latest checkpoint is of another version of this program.",
        "Start the engine: it reads its transactions again, and takes another.",
    ),
}
"""What is missing, and what helps."""
NO_RING: Final = (
    f"No merchant was visited by {FEWEST_CARDS} or more cards before their fraud,",
    "and by far more of them than of other cards.",
)


class ExposedCard(NamedTuple):
    """A card without known fraud that was at a merchant while cards were taken there, as far as is remembered."""

    card_id: str
    first_there: datetime
    last_there: datetime


@dataclass(frozen=True, slots=True)
class Ring:
    """A merchant at which cards seem to be taken (see ``CompromisedMerchant``).

    ``exposed_cards`` have had no fraud yet; ``exposed`` are at most ``MOST_EXPOSED`` of them, the latest there first.
    """

    merchant: str
    fraud_cards: int
    expected: float
    lift: float
    posterior: float
    first_visit: datetime
    last_visit: datetime
    defrauded_here: int
    exposed_cards: int
    exposed: tuple[ExposedCard, ...]

    @property
    def cards(self) -> int:
        """Cards that were there while cards were taken, with fraud or without."""
        return self.fraud_cards + self.exposed_cards


@dataclass(frozen=True, slots=True)
class Rings:
    """The likeliest first. ``as_of`` is the event time of the checkpoint, None where something is ``missing``.

    ``fraud_cards`` are all cards with known fraud, at these merchants or not.
    """

    as_of: datetime | None
    fraud_cards: int
    rings: tuple[Ring, ...]
    missing: Missing | None = None


def read_rings(reader: sqlite3.Connection, limit: int = MOST_RINGS) -> Rings:
    """At most ``limit`` merchants, as of the latest checkpoint. Takes up to some seconds where there are many cards."""
    if not label_totals(reader).fraud:
        return Rings(None, 0, (), Missing.FRAUD)
    saved = recovery.checkpoint(reader)
    if saved is None:
        return Rings(None, 0, (), Missing.CHECKPOINT)
    try:
        graph = memory.load_graph(saved[1])
    except CheckpointError:
        return Rings(None, 0, (), Missing.READABLE_CHECKPOINT)
    if graph is None:
        return Rings(None, 0, (), Missing.CHECKPOINT)
    return rings_of(graph, limit)


def rings_of(graph: EntityGraph, limit: int) -> Rings:
    """At most ``limit`` merchants, as of the last event that the graph has seen."""
    found = graph.compromised_merchants(graph.watermark, limit)
    rings = tuple(_ring(graph, merchant) for merchant in found if merchant.posterior >= WORTH_SAYING)
    return Rings(from_microseconds(graph.watermark), len(graph.frauds), rings)


def _ring(graph: EntityGraph, found: CompromisedMerchant) -> Ring:
    exposed = _exposed(graph, found)
    return Ring(
        merchant=found.merchant,
        fraud_cards=found.fraud_cards,
        expected=found.expected,
        lift=found.lift,
        posterior=found.posterior,
        first_visit=from_microseconds(found.first_visit),
        last_visit=from_microseconds(found.last_visit),
        defrauded_here=found.defrauded_here,
        exposed_cards=len(exposed),
        exposed=tuple(exposed[:MOST_EXPOSED]),
    )


def _exposed(graph: EntityGraph, found: CompromisedMerchant) -> list[ExposedCard]:
    """Of a card that was there before and after, the visits in between are not remembered: it is taken for exposed."""
    begin, end = found.first_visit // MINUTE_US, found.last_visit // MINUTE_US
    visits = [
        (card, visit)
        for card, visit in graph.cards.at(graph.entities[found.merchant].number)
        if visit.first <= end and visit.last >= begin and card not in graph.frauds
    ]
    visits.sort(key=lambda each: (-each[1].last, each[0]))
    return [
        ExposedCard(card, from_microseconds(visit.first * MINUTE_US), from_microseconds(visit.last * MINUTE_US))
        for card, visit in visits
    ]
