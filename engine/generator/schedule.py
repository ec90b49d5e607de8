"""When fraud strikes: which episodes start after an honest purchase, and their purchases until they are due."""

import heapq
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Final

from engine.generator.population import Population
from engine.generator.purchases import Purchase
from engine.generator.scenarios import BURST, OTHER_SCENARIOS, TIME_ANOMALY, FraudPlanner, Scenario, Victim

AHEAD_PURCHASES: Final = 20_000
"""Honest purchases whose night fraud falls into the first night already, so that short runs have theirs."""


class FraudSchedule:
    """Starts episodes by chance, so that purchases come out in their shares of the honest ones.

    An episode without an occasion waits for one: night fraud for the night, which is why the purchases in memory are
    those of a day's fraud at most.

    Args:
        fraud_to_honest: purchases of fraud other than bursts for each honest one.
        burst_to_honest: purchases of bursts for each honest one.
        honest_per_day: honest purchases a day.
    """

    def __init__(
        self,
        population: Population,
        random: Random,
        fraud_to_honest: float,
        burst_to_honest: float,
        honest_per_day: float,
    ) -> None:
        self._random = random
        self._planner = FraudPlanner(population, random)
        self._planned: list[tuple[float, int, Purchase]] = []
        self._order = count()
        share = fraud_to_honest / len(OTHER_SCENARIOS)
        chances = {scenario: share / scenario.mean_purchases for scenario in OTHER_SCENARIOS}
        chances[BURST] = burst_to_honest / BURST.mean_purchases
        self._scenarios = tuple(scenario for scenario, chance in chances.items() if chance > 0.0)
        self._chances = tuple(chances[scenario] for scenario in self._scenarios)
        self._starts_per_purchase = sum(self._chances)
        self._nights_ahead = round(chances[TIME_ANOMALY] * min(AHEAD_PURCHASES, honest_per_day))
        self._waiting = {TIME_ANOMALY: self._nights_ahead} if self._nights_ahead else {}
        self._not_yet = [scenario for scenario in self._scenarios if scenario not in self._waiting]

    def __len__(self) -> int:
        """How many purchases are planned and not yet due."""
        return len(self._planned)

    def due(self, until: float) -> Iterator[Purchase]:
        """Give away what is planned for no later than ``until``, in order."""
        while self._planned and self._planned[0][0] <= until:
            yield heapq.heappop(self._planned)[2]

    def follow(self, purchase: Purchase) -> None:
        """See an honest purchase, and plan the episodes that it is the occasion of."""
        self._planner.saw(purchase)
        starts = self._starts_per_purchase
        while self._random.random() < starts:
            self._start(self._pick())
            starts -= 1.0
        if self._waiting:
            self._plan_waiting(Victim(purchase.card, purchase.merchant, purchase.time))

    def _start(self, scenario: Scenario) -> None:
        if scenario is TIME_ANOMALY and self._nights_ahead:
            self._nights_ahead -= 1
            return
        self._waiting[scenario] = self._waiting.get(scenario, 0) + 1

    def _pick(self) -> Scenario:
        """Each scenario once, so that a short run has all; then by their chances."""
        if self._not_yet:
            return self._not_yet.pop(self._random.randrange(len(self._not_yet)))
        return self._random.choices(self._scenarios, self._chances)[0]

    def _plan_waiting(self, victim: Victim) -> None:
        for scenario in tuple(self._waiting):
            while scenario in self._waiting and (purchases := self._planner.plan(scenario, victim)):
                for purchase in purchases:
                    heapq.heappush(self._planned, (purchase.time, next(self._order), purchase))
                self._waiting[scenario] -= 1
                if not self._waiting[scenario]:
                    del self._waiting[scenario]
