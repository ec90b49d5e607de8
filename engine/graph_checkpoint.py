"""The entity graph as bytes: exact, without pickle, self-checking."""

from array import array
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

from engine.card_visits import VISITS_KEPT, Visit
from engine.day_counts import DAYS_KEPT, DayCounts
from engine.entities import Case, Entity
from engine.entity_graph import EntityGraph
from engine.fraud_cards import Fraud, FraudCard, KnownFraud
from engine.sealed import CheckpointError, seal, unseal

FORMAT = 1
_LAYOUT = (FORMAT, VISITS_KEPT, DAYS_KEPT)
_DAYS_BYTES = 8 * DAYS_KEPT
_VISIT_BYTES = 10


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Entity(_Part):
    name: str | int
    number: int
    seen: int
    cases: list[Annotated[tuple[str, int, int], Strict(False)]]
    case_weights: int | None
    control_weights: int | None
    defrauded: list[str]


class _FraudCard(_Part):
    card: str
    frauds: list[Annotated[tuple[int, str | None, int | None], Strict(False)]] = Field(min_length=1)
    visits: list[Annotated[tuple[int, int, int], Strict(False)]]


class _Pending(_Part):
    order: int
    known_at: int
    time: int
    card: str
    merchant: str | None
    place: int | None


class _Header(_Part):
    layout: tuple[int, int, int] = Field(strict=False)
    limits: tuple[int, int, int] = Field(strict=False)
    watermark: int
    day: int
    births: int
    draws: int
    received: int
    visitors: list[int] = Field(min_length=2, max_length=2)
    hand: int
    names: list[str]
    totals: list[int] = Field(min_length=4, max_length=4)
    entities: list[_Entity]
    frauds: list[_FraudCard]
    pending: list[_Pending]


def dump(graph: EntityGraph) -> bytes:
    """The graph, sealed; ``load`` gives it back so that every later answer is the same."""
    days: list[DayCounts] = []

    def latest(counts: DayCounts | None) -> int | None:
        if counts is None:
            return None
        days.append(counts)
        return counts.latest

    cards = graph.cards
    header = orjson.dumps(
        {
            "layout": _LAYOUT,
            "limits": _limits(graph),
            "watermark": graph.watermark,
            "day": graph.day,
            "births": graph.births,
            "draws": graph.draws,
            "received": graph.received,
            "visitors": graph.visitors,
            "hand": cards.hand,
            "names": cards.names,
            "totals": [latest(counts) for counts in (*graph.cases, *graph.controls)],
            "entities": [
                {
                    "name": entity.name,
                    "number": entity.number,
                    "seen": latest(entity.seen),
                    "cases": [(case.card, case.minute, case.weight) for case in entity.cases.values()],
                    "case_weights": latest(entity.case_weights),
                    "control_weights": latest(entity.control_weights),
                    "defrauded": list(entity.defrauded),
                }
                for entity in graph.entities.values()
            ],
            "frauds": [
                {
                    "card": name,
                    "frauds": [tuple(fraud) for fraud in card.frauds],
                    "visits": [tuple(visit) for visit in card.visits],
                }
                for name, card in graph.frauds.items()
            ],
            "pending": [{"order": order, **known._asdict()} for _, order, known in sorted(graph.pending)],
        }
    )
    body = b"".join(
        (
            cards.entities.tobytes(),
            cards.last_minutes.tobytes(),
            cards.first_hours.tobytes(),
            *(counts.counts.tobytes() for counts in days),
        )
    )
    return seal(header, body)


def load(data: bytes, graph: EntityGraph) -> None:
    """Fill an empty graph from a checkpoint.

    Raises:
        CheckpointError: it is damaged, of another version, or taken with other limits; ``graph`` is unchanged.
    """
    header, body = _read(data)
    if header.layout != _LAYOUT or header.limits != _limits(graph):
        raise CheckpointError("the graph's checkpoint was taken by another version or with other limits")
    visits = len(header.names) * VISITS_KEPT
    rings = [*header.totals]
    for entity in header.entities:
        rings += [each for each in (entity.seen, entity.case_weights, entity.control_weights) if each is not None]
    if len(body) != visits * _VISIT_BYTES + len(rings) * _DAYS_BYTES:
        raise CheckpointError("the graph's checkpoint is cut short")
    days = _Days(body[visits * _VISIT_BYTES :])
    cards = graph.cards
    cards.hand = header.hand
    cards.names = header.names
    cards.slots = {name: slot for slot, name in enumerate(header.names)}
    cards.entities = array("I", body[: 4 * visits])
    cards.last_minutes = array("I", body[4 * visits : 8 * visits])
    cards.first_hours = array("H", body[8 * visits : 10 * visits])
    graph.watermark, graph.day = header.watermark, header.day
    graph.births, graph.draws, graph.received = header.births, header.draws, header.received
    graph.visitors = header.visitors
    totals = [days.next(latest) for latest in header.totals]
    graph.cases, graph.controls = (totals[0], totals[1]), (totals[2], totals[3])
    for saved in header.entities:
        restored = _restored(saved, days)
        graph.entities[restored.name] = graph.numbered[restored.number] = restored
    for each in header.frauds:
        graph.frauds[each.card] = FraudCard(
            tuple(Fraud(*fraud) for fraud in each.frauds), tuple(Visit(*visit) for visit in each.visits)
        )
    graph.pending = [
        (held.known_at, held.order, KnownFraud(held.known_at, held.time, held.card, held.merchant, held.place))
        for held in header.pending
    ]


class _Days:
    """Reads the day counts in the order in which they were written."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._start = 0

    def next(self, latest: int) -> DayCounts:
        counts = DayCounts()
        counts.latest = latest
        counts.counts = array("q", self._body[self._start : self._start + _DAYS_BYTES])
        self._start += _DAYS_BYTES
        return counts


def _read(data: bytes) -> tuple[_Header, bytes]:
    header, body = unseal(data)
    try:
        return _Header.model_validate(orjson.loads(header)), body
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise CheckpointError(f"the graph's checkpoint cannot be read: {str(error)[:80]}") from error


def _limits(graph: EntityGraph) -> tuple[int, int, int]:
    return graph.cards.max_cards, graph.max_entities, graph.max_fraud_cards


def _restored(saved: _Entity, days: _Days) -> Entity:
    entity = Entity(saved.name, saved.number)
    entity.seen = days.next(saved.seen)
    entity.cases = {card: Case(minute, weight, card) for card, minute, weight in saved.cases}
    if saved.case_weights is not None:
        entity.case_weights = days.next(saved.case_weights)
    if saved.control_weights is not None:
        entity.control_weights = days.next(saved.control_weights)
    entity.defrauded = dict.fromkeys(saved.defrauded)
    return entity
