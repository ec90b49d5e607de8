"""Common points of purchase: merchants that explain the known fraud of many cards, ranked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final, NamedTuple

from engine.compromise import effective_cards, log_bayes_factor, posterior, shrunk_lift
from engine.day_counts import DAYS_KEPT, DayCounts
from engine.entities import WHOLE, Case, Entity

WINDOW_DAYS: Final = (1, 2, 4, 7, 14, 30)
FEWEST_CARDS: Final = 3
"""Cards with fraud from which a merchant is reported; two may have met by chance."""
SMOOTHING: Final = 20 * WHOLE
"""How many controls' worth of weight an entity's share of all visitors has beside its share of the controls."""
HALF_A_CARD: Final = WHOLE / 2
MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class CompromisedMerchant:
    """A merchant where cards seem to be taken.

    ``fraud_cards`` were there between ``first_visit`` and ``last_visit`` (microseconds, to the minute), each before
    its first fraud, where ``expected`` is how many would have been by chance; ``lift`` is their ratio, shrunk, and
    ``posterior`` the probability that cards are taken there (see ``engine.compromise``). ``cards_seen`` came since.
    ``defrauded_here`` counts the cards whose fraud was at this merchant, which makes it a place where stolen cards are
    used, and says nothing of where they are taken.
    """

    merchant: str
    fraud_cards: int
    cards_seen: int
    expected: float
    lift: float
    posterior: float
    first_visit: int
    last_visit: int
    defrauded_here: int


class Reference(NamedTuple):
    """What the cases of one kind of entity are compared with: weights of all cases, of all controls, and visitors."""

    cases: DayCounts
    controls: DayCounts
    visitors: int


def share_of(visitors: int, reference: Reference) -> float:
    """An entity's share of all visitors, between 0 and 1."""
    return (visitors + 0.5) / (max(reference.visitors, visitors) + 1.0)


def expected_weight(cases_elsewhere: int, controls_here: int, controls_elsewhere: int, share: float) -> float:
    """The weight of cases to expect at an entity in a time: that elsewhere, times what the controls were here to there.

    The controls are smoothed by the entity's share of all visitors; half a card more makes sure that no case elsewhere
    is no proof yet.
    """
    here = controls_here + SMOOTHING * share
    elsewhere = controls_elsewhere + SMOOTHING * (1.0 - share)
    return (cases_elsewhere + HALF_A_CARD) * here / elsewhere


class _Finding(NamedTuple):
    entity: Entity
    log_factor: float
    cases: tuple[Case, ...]
    observed: float
    expected: float


class Scan:
    """A Bayesian scan (Neill, Moore and Cooper, 2006) over the windows of time before the end of ``day``.

    Windows of the lengths ``WINDOW_DAYS`` are all equally likely beforehand. A card is taken once: the cards that a
    merchant explains count for none of the merchants after it.
    """

    def __init__(self, day: int, reference: Reference, visitors: Mapping[int, int]) -> None:
        self._day = day
        self._first = day - DAYS_KEPT + 1
        self._reference = reference
        self._visitors = visitors
        self._cases = reference.cases.running(day)
        self._controls = reference.controls.running(day)

    def ranked(self, merchants: Sequence[Entity], limit: int) -> tuple[CompromisedMerchant, ...]:
        """At most ``limit`` merchants, the likeliest first."""
        findings: dict[int, _Finding] = {}
        explained: set[str] = set()
        for merchant in merchants:
            self._look(merchant, explained, findings)
        ranked: list[CompromisedMerchant] = []
        while findings and len(ranked) < limit:
            best = max(findings.values(), key=lambda each: (each.log_factor, -each.entity.number))
            ranked.append(_reported(best))
            del findings[best.entity.number]
            taken = {case.card for case in best.cases}
            explained |= taken
            for other in [each.entity for each in findings.values() if not taken.isdisjoint(each.entity.cases)]:
                del findings[other.number]
                self._look(other, explained, findings)
        return tuple(ranked)

    def _look(self, merchant: Entity, explained: set[str], findings: dict[int, _Finding]) -> None:
        cases = [
            case
            for card, case in merchant.cases.items()
            if card not in explained and self._first <= case.day <= self._day
        ]
        if len(cases) >= FEWEST_CARDS and (finding := self._best_window(merchant, sorted(cases))) is not None:
            findings[merchant.number] = finding

    def _best_window(self, merchant: Entity, cases: list[Case]) -> _Finding | None:
        controls = [0] * (DAYS_KEPT + 1)
        if merchant.control_weights is not None:
            controls = merchant.control_weights.running(self._day)
        share = share_of(self._visitors[merchant.number], self._reference)
        best: _Finding | None = None
        factors = []
        for start, first in enumerate(cases):
            begin = first.day - self._first
            if start and cases[start - 1].day == first.day:
                continue
            stop, observed, before = start, 0, start
            for length in WINDOW_DAYS:
                end = min(begin + length, DAYS_KEPT)
                while stop < len(cases) and cases[stop].day - self._first < end:
                    observed += cases[stop].weight
                    stop += 1
                if stop == before:
                    # A longer window with the same cases in it says less.
                    continue
                before = stop
                here = controls[end] - controls[begin]
                expected = expected_weight(
                    max(0, self._cases[end] - self._cases[begin] - observed),
                    here,
                    self._controls[end] - self._controls[begin] - here,
                    share,
                )
                if observed <= 2.0 * expected:
                    continue
                cards = effective_cards([case.weight for case in cases[start:stop]])
                expected *= cards / observed
                factor = log_bayes_factor(cards, expected)
                factors.append(factor)
                if stop - start >= FEWEST_CARDS and (best is None or factor > best.log_factor):
                    best = _Finding(merchant, factor, tuple(cases[start:stop]), cards, expected)
        if best is None:
            return None
        # What is left out says little or nothing for the merchant, and counts as nothing.
        total = sum(exp(factor - best.log_factor) for factor in factors)
        return best._replace(log_factor=best.log_factor + log(total / (DAYS_KEPT * len(WINDOW_DAYS))))


def _reported(finding: _Finding) -> CompromisedMerchant:
    entity, cases = finding.entity, finding.cases
    probability = posterior(finding.log_factor)
    return CompromisedMerchant(
        merchant=entity.title,
        fraud_cards=len(cases),
        cards_seen=max(entity.seen.total(cases[0].day, entity.seen.latest), len(cases)),
        expected=finding.expected / finding.observed * len(cases),
        lift=shrunk_lift(finding.observed, finding.expected, probability),
        posterior=probability,
        first_visit=cases[0].minute * MINUTE_US,
        last_visit=cases[-1].minute * MINUTE_US,
        defrauded_here=len(entity.defrauded),
    )
