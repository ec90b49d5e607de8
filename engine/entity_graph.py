"""Cards, merchants and places as a graph: what a card shares with cards that have fraud, and where cards are taken.

A merchant or place at which cards are taken (a common point of purchase) shows in the cards that were there before
their fraud. How many to expect there is read from controls: whenever a card's fraud becomes known, other cards are
looked up as if it had struck them at that moment (a nested case-control study; Breslow and Day, 1980). A busy merchant
is as busy among the controls, so that custom alone speaks for nothing. All times are event times.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from engine.card_visits import DAY_MIN, EXPOSURE_DAYS, CardVisits, Visit, exposure
from engine.common_points import (
    FEWEST_CARDS,
    MINUTE_US,
    CompromisedMerchant,
    Reference,
    Scan,
    expected_weight,
    share_of,
)
from engine.compromise import effective_cards, log_bayes_factor, posterior, shrunk_lift
from engine.day_counts import DAYS_KEPT, DayCounts
from engine.entities import Case, Entity, EntityKind, place_of, weight_of
from engine.features import Event
from engine.fraud_cards import Fraud, FraudCard, KnownFraud
from engine.windows import ALLOWED_LATENESS_US

DAY_US: Final = DAY_MIN * MINUTE_US

MAX_CARDS: Final = 1_000_000
MAX_ENTITIES: Final = 100_000
MAX_FRAUD_CARDS: Final = 20_000
CONTROLS: Final = 16
CONTROL_TRIES: Final = 4 * CONTROLS
NEIGHBOUR_DAYS: Final = 14
"""A card is compared with those that were at an entity from so long before its own last visit on."""
_NEXT_SLOT: Final = 2_654_435_761
"""Knuth's multiplier: successive controls are far apart."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A merchant or place that a card shares with cards whose fraud is known.

    ``cards_seen`` were there in the time in question, ``fraud_cards`` of them before their own fraud, ``expected`` is
    how many if it were ordinary. ``lift`` is observed over expected, shrunk (see ``engine.compromise``), ``posterior``
    the probability that cards are taken there. ``last_visit`` is the card's own, microseconds to the minute.
    """

    kind: EntityKind
    name: str
    last_visit: int
    fraud_cards: int
    cards_seen: int
    expected: float
    lift: float
    posterior: float


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The strongest neighbours first. ``risk`` is how likely the card was taken at one of all, in [0, 1)."""

    neighbours: tuple[Neighbour, ...]
    risk: float


class _Link(NamedTuple):
    """What a card shares with the cases of one entity; ``observed`` and ``expected`` are effective cards."""

    entity: Entity
    at: int
    fraud_cards: int
    cards_seen: int
    observed: float
    expected: float
    posterior: float


class EntityGraph:
    """Bounded in cards, in entities, and in what is kept of each; moved by events and by known frauds alone.

    ``neighbourhood`` is asked of an event before the event is observed, so that it speaks of the past.
    """

    def __init__(
        self, max_cards: int = MAX_CARDS, max_entities: int = MAX_ENTITIES, max_fraud_cards: int = MAX_FRAUD_CARDS
    ) -> None:
        self.max_entities = max_entities
        self.max_fraud_cards = max_fraud_cards
        self.watermark = 0
        self.day = 0
        self._due = 0
        self.births = 0
        self.draws = 0
        self.cards = CardVisits(max_cards)
        self.entities: dict[str | int, Entity] = {}
        self.numbered: dict[int, Entity] = {}
        self.frauds: dict[str, FraudCard] = {}
        self.received = 0
        self.pending: list[tuple[int, int, KnownFraud]] = []
        self.visitors = [0, 0]
        self.cases = (DayCounts(), DayCounts())
        self.controls = (DayCounts(), DayCounts())

    def observe(self, event: Event) -> None:
        """A card was at a merchant and, where known, in a place. Too late an event changes nothing."""
        time = event.time
        if time > self.watermark:
            self.watermark = time
            if time >= self._due:
                self._advance(time)
        elif time < self.watermark - ALLOWED_LATENESS_US:
            return
        merchant, cell = event.merchant, place_of(event)
        if merchant is None and cell is None:
            return
        minute = time // MINUTE_US
        slot = self.cards.slots.get(event.card_id)
        if slot is None:
            slot = self.cards.add(event.card_id, minute)
        # Plain 0 and 1: to look up a member of an enum costs more than what is done with it.
        if merchant is not None:
            self._visit(slot, merchant, 0, minute)
        if cell is not None:
            self._visit(slot, cell, 1, minute)

    def learn(self, card: str, merchant: str | None, place: int | None, time: int, known_at: int) -> None:
        """A fraud on a card, at ``merchant`` in the cell ``place`` at ``time``, is known from ``known_at`` on.

        Times are microseconds. It waits until the events have come to ``known_at``. Only the first fraud of a card says
        where it was before: one that becomes known later, but was earlier, takes its place.
        """
        fraud = KnownFraud(known_at, time, card, merchant, place)
        if known_at <= self.watermark:
            self._take(fraud)
            return
        self.received += 1
        heappush(self.pending, (known_at, self.received, fraud))
        if len(self.pending) > self.max_fraud_cards:
            self.pending.remove(max(self.pending))
            heapify(self.pending)
        self._find_due()

    def retract(self, card: str, merchant: str | None, place: int | None, time: int) -> None:
        """Forget a fraud that was learnt and turned out to be none; one that is not in memory changes nothing.

        The cards that were drawn to compare with stay: they say nothing of this one.
        """
        for index, (_, _, waiting) in enumerate(self.pending):
            if waiting[1:] == (time, card, merchant, place):
                del self.pending[index]
                heapify(self.pending)
                self._find_due()
                return
        before = self.frauds.get(card)
        left = None if before is None else before.without(Fraud(time // MINUTE_US, merchant, place))
        if before is not None:
            if left is None:
                self._close_case(card)
            else:
                self._replace_case(card, before, left)
        for name in (merchant, place):
            if name is None or (left is not None and left.was_defrauded_at(name)):
                continue
            if name in self.entities:
                self.entities[name].defrauded.pop(card, None)

    def neighbourhood(self, event: Event, limit: int = 5) -> Neighbourhood:
        """The ``limit`` strongest neighbours of an event's card over the month before it, and their joint risk."""
        links = self._links(event)
        links.sort(key=lambda link: (-link.posterior, link.expected - link.observed, link.entity.number))
        neighbours = tuple(_neighbour(link) for link in links[:limit])
        return Neighbourhood(neighbours, _joint_risk(links))

    def compromised_merchants(self, time: int, limit: int) -> tuple[CompromisedMerchant, ...]:
        """Merchants at which cards seem to be taken, by the visits until the day of ``time``, the likeliest first.

        ``time`` is in microseconds. Takes a second where thousands of merchants have cards with fraud: ask seldom.
        """
        merchants = [
            entity
            for entity in self.entities.values()
            if entity.kind is EntityKind.MERCHANT and len(entity.cases) >= FEWEST_CARDS
        ]
        visitors = {each.number: self._visitors(each) for each in merchants}
        return Scan(time // DAY_US, self._reference(EntityKind.MERCHANT), visitors).ranked(merchants, limit)

    def _visit(self, slot: int, name: str | int, kind: int, minute: int) -> None:
        entity = self.entities.get(name)
        if entity is None:
            entity = self._add_entity(name, kind)
        before = self.cards.visit(slot, entity.number, minute)
        if before < minute - minute % DAY_MIN:
            entity.seen.move(before // DAY_MIN, minute // DAY_MIN)

    def _advance(self, time: int) -> None:
        """Let what has become known by ``time`` count, and forget what no window reaches any more."""
        while self.pending and self.pending[0][0] <= time:
            self._take(heappop(self.pending)[2])
        if time // DAY_US > self.day:
            self._enter_day(time // DAY_US)
        self._find_due()

    def _find_due(self) -> None:
        """When there is more to do than to take a visit into account, so that few events ask."""
        tomorrow = (self.day + 1) * DAY_US
        self._due = min(tomorrow, self.pending[0][0]) if self.pending else tomorrow

    def _enter_day(self, day: int) -> None:
        self.day = day
        oldest = day - DAYS_KEPT
        self._forget([entity for entity in self.entities.values() if entity.seen.latest <= oldest])
        for card in [card for card, fraud in self.frauds.items() if fraud.minute < oldest * DAY_MIN]:
            self._close_case(card)
        self.visitors = [0, 0]
        for entity in self.entities.values():
            self.visitors[entity.number & 1] += self._visitors(entity)

    def _visitors(self, entity: Entity) -> int:
        return entity.seen.total(self.day - EXPOSURE_DAYS, self.day)

    def _reference(self, kind: EntityKind) -> Reference:
        return Reference(self.cases[kind], self.controls[kind], self.visitors[kind])

    def _add_entity(self, name: str | int, kind: int) -> Entity:
        if len(self.entities) >= self.max_entities:
            # A quarter at once, so that a stream of new merchants costs each of them little.
            by_age = sorted(self.entities.values(), key=lambda each: (each.seen.latest, each.number))
            self._forget(by_age[: len(by_age) // 4 + 1])
        self.births += 1
        number = self.births * 2 + kind & 0xFFFFFFFF
        while number < 2 or number in self.numbered:
            self.births += 1
            number = self.births * 2 + kind & 0xFFFFFFFF
        entity = self.entities[name] = self.numbered[number] = Entity(name, number)
        return entity

    def _forget(self, entities: Iterable[Entity]) -> None:
        for entity in entities:
            del self.entities[entity.name], self.numbered[entity.number]

    def _take(self, known: KnownFraud) -> None:
        fraud = Fraud(known.time // MINUTE_US, known.merchant, known.place)
        for name in (known.merchant, known.place):
            entity = None if name is None else self.entities.get(name)
            if entity is not None:
                entity.add_defrauded(known.card)
        card = self.frauds.get(known.card)
        if card is not None:
            self._replace_case(known.card, card, card.with_fraud(fraud))
            return
        if len(self.frauds) >= self.max_fraud_cards:
            self._close_case(next(iter(self.frauds)))
        slot = self.cards.slots.get(known.card)
        visits = () if slot is None else tuple(self.cards.of(slot))
        self.frauds[known.card] = FraudCard((fraud,), visits)
        self._open_case(known.card)
        self._draw_controls(fraud.minute)

    def _replace_case(self, name: str, before: FraudCard, card: FraudCard) -> None:
        if card.minute == before.minute:
            self.frauds[name] = card
            return
        self._close_case(name)
        self.frauds[name] = card
        self._open_case(name)

    def _open_case(self, card: str) -> None:
        fraud = self.frauds[card]
        for number, at, weight in _exposures(fraud.visits, fraud.minute):
            self.cases[number & 1].add(at // DAY_MIN, weight)
            entity = self.numbered.get(number)
            if entity is not None:
                entity.add_case(Case(at, weight, card))

    def _close_case(self, card: str) -> None:
        fraud = self.frauds.pop(card)
        for number, at, weight in _exposures(fraud.visits, fraud.minute):
            self.cases[number & 1].add(at // DAY_MIN, -weight)
            entity = self.numbered.get(number)
            if entity is not None:
                entity.remove_case(card)

    def _draw_controls(self, minute: int) -> None:
        """Look up other cards as if the fraud had struck them; every known fraud draws others than the one before."""
        used = len(self.cards.names)
        drawn = 0
        for _ in range(CONTROL_TRIES):
            if not used or drawn == CONTROLS:
                return
            self.draws += 1
            slot = (self.draws * _NEXT_SLOT & 0xFFFFFFFF) * used >> 32
            if self.cards.names[slot] in self.frauds:
                continue
            exposures = _exposures(self.cards.of(slot), minute)
            for number, at, weight in exposures:
                self.controls[number & 1].add(at // DAY_MIN, weight)
                entity = self.numbered.get(number)
                if entity is not None:
                    entity.add_control(at // DAY_MIN, weight)
            drawn += bool(exposures)

    def _links(self, event: Event) -> list[_Link]:
        slot = self.cards.slots.get(event.card_id)
        if slot is None or not self.frauds:
            return []
        minute = event.time // MINUTE_US
        links = []
        for visit in self.cards.of(slot):
            entity = self.numbered.get(visit.entity)
            if entity is None or not entity.cases:
                continue
            at = exposure(visit, minute)
            if at is not None:
                link = self._link(entity, at, event.card_id)
                if link is not None:
                    links.append(link)
        return links

    def _link(self, entity: Entity, at: int, card: str) -> _Link | None:
        first = at // DAY_MIN - NEIGHBOUR_DAYS
        weights = entity.case_weights
        observed = 0 if weights is None else weights.total(first, self.day)
        own = entity.cases.get(card)
        if own is not None and own.day >= first:
            observed -= own.weight
        if observed <= 0:
            return None
        reference = self._reference(entity.kind)
        here = 0 if entity.control_weights is None else entity.control_weights.total(first, self.day)
        expected = expected_weight(
            max(0, reference.cases.total(first, self.day) - observed),
            here,
            reference.controls.total(first, self.day) - here,
            share_of(self._visitors(entity), reference),
        )
        if observed <= expected:
            return None
        cases = [case.weight for case in entity.cases.values() if case.day >= first and case.card != card]
        cards = effective_cards(cases)
        expected *= cards / observed
        probability = posterior(log_bayes_factor(cards, expected))
        seen = max(entity.seen.total(first, self.day), len(cases))
        return _Link(entity, at, len(cases), seen, cards, expected, probability)


def _exposures(visits: Iterable[Visit], fraud_minute: int) -> list[tuple[int, int, int]]:
    """Entity, minute and weight of the last visits in the month before a fraud."""
    exposures = []
    for visit in visits:
        at = exposure(visit, fraud_minute)
        if at is not None:
            exposures.append((visit.entity, at, weight_of(at, fraud_minute)))
    return exposures


def _joint_risk(links: Iterable[_Link]) -> float:
    """Entities as independent causes (noisy-or; Pearl, 1988).

    Each is as likely as that cards are taken there, times the share of the cards seen there that are known to have
    been.
    """
    untouched = 1.0
    for link in links:
        untouched *= 1.0 - link.posterior * (link.fraud_cards + 0.5) / (link.cards_seen + 1.0)
    return 1.0 - untouched


def _neighbour(link: _Link) -> Neighbour:
    return Neighbour(
        kind=link.entity.kind,
        name=link.entity.title,
        last_visit=link.at * MINUTE_US,
        fraud_cards=link.fraud_cards,
        cards_seen=link.cards_seen,
        expected=link.expected / link.observed * link.fraud_cards,
        lift=shrunk_lift(link.observed, link.expected, link.posterior),
        posterior=link.posterior,
    )
