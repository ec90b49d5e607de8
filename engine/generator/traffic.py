"""The stream of purchases in event-time order: honest ones, and the fraud that was planned among them."""

import heapq
from bisect import bisect
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Final

import numpy as np

from engine.generator.population import CATEGORIES, FAVOURITES, Population
from engine.generator.purchases import Purchase
from engine.generator.scenarios import BURST, OTHER_SCENARIOS, FraudPlanner, Scenario, Victim

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
PER_CARD_AND_DAY: Final = 4.0
REFRACTORY_S: Final = 180.0
"""People seldom buy twice within three minutes."""
NATURAL_DOUBLES: Final = 0.002
REDRAWS: Final = 8
ONLINE_SHARE: Final = 0.2
FAVOURITE_SHARE: Final = 0.85
LARGE_PURCHASE: Final = 0.001
HONEST_VPN: Final = 0.001
TRIP_START: Final = 0.004
TRIP_REST_S: Final = 10 * HOUR_S
"""Nobody is seen in two cities within ten hours, which no place in the country is further apart than a flight."""

DAY_HOURS: Final = (
    0.20, 0.12, 0.08, 0.06, 0.08, 0.20, 0.50, 0.90, 1.10, 1.20, 1.30, 1.45,
    1.60, 1.50, 1.35, 1.35, 1.45, 1.70, 1.80, 1.60, 1.30, 1.00, 0.65, 0.40,
)  # fmt: skip
NIGHT_HOURS: Final = (
    1.60, 1.60, 1.70, 1.60, 1.40, 1.20, 1.00, 0.70, 0.40, 0.25, 0.20, 0.20,
    0.20, 0.20, 0.30, 0.50, 0.80, 1.10, 1.20, 1.20, 1.30, 1.40, 1.50, 1.60,
)  # fmt: skip
WEEKDAYS: Final = (0.92, 0.94, 0.96, 1.00, 1.14, 1.16, 0.88)


class Traffic:
    """Draws purchases without end. ``constant_rate`` (records a second) replaces the rhythm of day and week."""

    def __init__(
        self,
        population: Population,
        seed: tuple[int, ...],
        start_s: float,
        *,
        per_card_and_day: float = PER_CARD_AND_DAY,
        constant_rate: float | None = None,
        fraud_share: float = 0.0,
        burst_share: float = 0.0,
        trips: bool = True,
    ) -> None:
        self._population = population
        self._numbers = np.random.default_rng(seed)
        self._random = Random(int(self._numbers.integers(2**62)))
        self.planner = FraudPlanner(population, self._random)
        self._time = start_s
        self._constant_rate = constant_rate
        self._cards = len(population.home)
        self._per_second = self._cards * per_card_and_day / DAY_S
        self._trips = trips
        self._last_seen: dict[int, float] = {}
        self._away: dict[int, tuple[int, float]] = {}
        self._planned: list[tuple[float, int, Purchase]] = []
        self._order = count()
        self._night_share = len(population.night_cards) / self._cards
        honest_share = 1.0 - fraud_share - burst_share
        if constant_rate is not None:
            self._constant_rate = constant_rate * honest_share
        self._starts = _start_chances(fraud_share / honest_share, burst_share / honest_share)
        self._any_start = sum(chance for _, chance in self._starts)
        self._not_yet = [scenario for scenario, chance in self._starts if chance > 0.0]

    def purchases(self) -> Iterator[Purchase]:
        """Purchases, each no earlier than the one before."""
        while True:
            following = self._next_time()
            while self._planned and self._planned[0][0] <= following:
                yield heapq.heappop(self._planned)[2]
            self._time = following
            purchase = self._honest()
            yield purchase
            if self._any_start:
                self.planner.saw(purchase)
                if self._random.random() < self._any_start:
                    self._plan_fraud(Victim(purchase.card, purchase.merchant, purchase.time))

    def _next_time(self) -> float:
        rate = self._constant_rate
        if rate is None:
            hour = int(self._time % DAY_S // HOUR_S)
            # 1970-01-01 was a Thursday.
            weekday = int((self._time // DAY_S + 3) % 7)
            rhythm = (1.0 - self._night_share) * DAY_HOURS[hour] + self._night_share * NIGHT_HOURS[hour]
            rate = self._per_second * rhythm * WEEKDAYS[weekday]
        return self._time + self._random.expovariate(rate)

    def _honest(self) -> Purchase:
        card = self._pick_card()
        last = self._last_seen.get(card)
        self._last_seen[card] = self._time
        rested = last is not None and self._time - last > TRIP_REST_S
        city = self._city(card, rested=rested)
        merchant = self._pick_merchant(card, city)
        category = CATEGORIES[self._population.category[merchant]]
        amount = category.median * self._population.scale[card] * self._random.lognormvariate(0.0, category.deviation)
        if self._random.random() < LARGE_PURCHASE:
            amount *= self._random.uniform(6, 15)
        location = "Unknown VPN" if self._random.random() < HONEST_VPN else None
        return Purchase(self._time, card, merchant, amount, location)

    def _pick_card(self) -> int:
        hour = int(self._time % DAY_S // HOUR_S)
        night = self._night_share * NIGHT_HOURS[hour]
        day = (1.0 - self._night_share) * DAY_HOURS[hour]
        population = self._population
        for _ in range(REDRAWS):
            cards, activity = population.day_cards, population.day_activity
            if self._random.random() * (day + night) < night:
                cards, activity = population.night_cards, population.night_activity
            card = cards[bisect(activity, self._random.random())]
            last = self._last_seen.get(card)
            if last is None or self._time - last > REFRACTORY_S or self._random.random() < NATURAL_DOUBLES:
                break
        return card

    def _city(self, card: int, *, rested: bool) -> int:
        home = self._population.home[card]
        trip = self._away.get(card)
        if trip is not None:
            city, until = trip
            if not (rested and self._time > until):
                return city
            del self._away[card]
            return home
        if self._trips and rested and self._random.random() < TRIP_START:
            city = self._population.home[self._random.randrange(self._cards)]
            self._away[card] = (city, self._time + self._random.uniform(1, 5) * DAY_S)
            return city
        return home

    def _pick_merchant(self, card: int, city: int) -> int:
        population = self._population
        draw = self._random.random()
        if draw < ONLINE_SHARE * FAVOURITE_SHARE:
            return population.favourites[card][self._random.randrange(2)]
        if draw < ONLINE_SHARE:
            return self._random.randrange(population.online)
        at_home = city == population.home[card]
        if at_home and self._random.random() < FAVOURITE_SHARE:
            return population.favourites[card][self._random.randrange(2, FAVOURITES)]
        first = population.first_of_city[city]
        return self._random.randrange(first, population.first_of_city[city + 1])

    def _plan_fraud(self, victim: Victim) -> None:
        for purchase in self.planner.plan(self._pick_scenario(), victim):
            heapq.heappush(self._planned, (purchase.time, next(self._order), purchase))

    def _pick_scenario(self) -> Scenario:
        """Each scenario once, so that a short run has all; then by their shares."""
        if self._not_yet:
            return self._not_yet.pop(self._random.randrange(len(self._not_yet)))
        draw = self._random.random() * self._any_start
        for scenario, chance in self._starts:
            draw -= chance
            if draw < 0.0:
                return scenario
        return self._starts[-1][0]


def _start_chances(fraud_to_honest: float, burst_to_honest: float) -> tuple[tuple[Scenario, float], ...]:
    """The chance that an honest purchase starts an episode of each scenario, so that purchases come out in shares."""
    others = [
        (scenario, fraud_to_honest / len(OTHER_SCENARIOS) / scenario.mean_purchases) for scenario in OTHER_SCENARIOS
    ]
    return ((BURST, burst_to_honest / BURST.mean_purchases), *others)
