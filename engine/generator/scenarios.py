"""Fraud, as episodes of labelled purchases in the future of the moment they are planned."""

from bisect import bisect
from collections.abc import Callable
from math import exp
from random import Random
from typing import Final, NamedTuple

from engine.gazetteer import distance_km
from engine.generator.population import CATEGORIES, Population
from engine.generator.purchases import ANONYMISERS, Purchase

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
FAR_KM: Final = 1_500.0
RECENT_CUSTOMERS: Final = 12
LEAKED_CARDS: Final = 6
NIGHT_START_S: Final = 2 * HOUR_S
NIGHT_END_S: Final = 5 * HOUR_S


class Victim(NamedTuple):
    """Whom an episode strikes, and where and when the card was last used by its owner."""

    card: int
    merchant: int
    time: float


class Scenario(NamedTuple):
    """A kind of fraud: its label, the mean number of purchases of an episode, and how one is planned."""

    name: str
    mean_purchases: float
    plan: Callable[["FraudPlanner", Victim], list[Purchase]]


class FraudPlanner:
    """Plans episodes. Keeps each merchant's recent customers, for the merchants that are compromised later."""

    def __init__(self, population: Population, random: Random) -> None:
        self._population = population
        self._random = random
        self._customers: dict[int, list[int]] = {}

    def saw(self, purchase: Purchase) -> None:
        """Remember who bought where."""
        customers = self._customers.get(purchase.merchant)
        if customers is None:
            self._customers[purchase.merchant] = [purchase.card]
            return
        customers.append(purchase.card)
        if len(customers) > RECENT_CUSTOMERS:
            del customers[0]

    def plan(self, scenario: Scenario, victim: Victim) -> list[Purchase]:
        """The purchases of an episode, all after ``victim.time``; none where the victim gives no occasion."""
        return [purchase._replace(scenario=scenario.name) for purchase in scenario.plan(self, victim)]

    def velocity_burst(self, victim: Victim) -> list[Purchase]:
        """3 to 12 purchases within a minute, on line."""
        count = self._random.randint(3, 12)
        start = victim.time + self._random.uniform(120, 1_800)
        times = sorted(start + self._random.uniform(0, 50) for _ in range(count))
        return [self._online(victim, time, self._random.uniform(0.5, 2.5)) for time in times]

    def high_value(self, victim: Victim) -> list[Purchase]:
        """One purchase far above anything the card does, in the city its owner is in."""
        amount = self._random.uniform(1_500, 12_000)
        time = victim.time + self._random.uniform(600, HOUR_S)
        return [self._local(victim, time, self._whereabouts(victim), 1.0)._replace(amount=amount)]

    def location_anomaly(self, victim: Victim) -> list[Purchase]:
        """One or two purchases from behind an anonymiser, or in a distant city."""
        start = victim.time + self._random.uniform(600, 2 * HOUR_S)
        times = [start + n * self._random.uniform(300, 1_800) for n in range(self._random.randint(1, 2))]
        if self._random.random() < 0.6:
            note = self._random.choice(ANONYMISERS)
            return [self._online(victim, t, self._random.uniform(1, 4))._replace(location=note) for t in times]
        city = self._far_city(victim)
        return [self._local(victim, time, city, self._random.uniform(1, 4)) for time in times]

    def time_anomaly(self, victim: Victim) -> list[Purchase]:
        """One to three purchases from 02:00 to 05:00 UTC, with the card of someone who is asleep then.

        The victim says only what time it is: whoever bought this late may well be working by night.
        """
        midnight = victim.time // DAY_S * DAY_S
        earliest = max(midnight + NIGHT_START_S, victim.time + 60)
        latest = midnight + NIGHT_END_S - 1
        if earliest > latest - HOUR_S / 2:
            return []
        population = self._population
        sleeper = victim._replace(card=population.day_cards[bisect(population.day_activity, self._random.random())])
        times = sorted(self._random.uniform(earliest, latest) for _ in range(self._random.randint(1, 3)))
        return [self._online(sleeper, time, self._random.uniform(1.5, 4)) for time in times]

    def card_testing(self, victim: Victim) -> list[Purchase]:
        """3 to 6 tiny purchases within ten minutes, then mostly a large one."""
        start = victim.time + self._random.uniform(300, HOUR_S)
        times = sorted(start + self._random.uniform(0, 480) for _ in range(self._random.randint(3, 6)))
        tests = [self._online(victim, t, 1.0)._replace(amount=self._random.uniform(0.5, 2.0)) for t in times]
        if self._random.random() < 0.2:
            return tests
        large = self._online(victim, times[-1] + self._random.uniform(60, 900), 1.0)
        return [*tests, large._replace(amount=self._random.uniform(200, 1_500))]

    def impossible_travel(self, victim: Victim) -> list[Purchase]:
        """After the owner's purchase in a shop, one within the hour more than 1,500 km away."""
        if victim.merchant < self._population.online:
            return []
        time = victim.time + self._random.uniform(600, 45 * 60)
        return [self._local(victim, time, self._far_city(victim), self._random.uniform(1, 3))]

    def account_takeover(self, victim: Victim) -> list[Purchase]:
        """4 to 8 purchases over some hours, at merchants and in a city new to the card, well above its usual."""
        city = self._far_city(victim)
        time = victim.time + self._random.uniform(1_200, 2 * HOUR_S)
        purchases = []
        for _ in range(self._random.randint(4, 8)):
            factor = self._random.uniform(2.5, 6)
            online = self._random.random() < 0.5
            purchases.append(self._online(victim, time, factor) if online else self._local(victim, time, city, factor))
            time += self._random.uniform(1_200, HOUR_S)
        return purchases

    def compromised_merchant(self, victim: Victim) -> list[Purchase]:
        """A merchant leaks recent customers: each card sees one or two frauds on line in the following two days."""
        customers = sorted(set(self._customers.get(victim.merchant, ())))
        if len(customers) < LEAKED_CARDS:
            return []
        purchases = []
        for card in self._random.sample(customers, self._random.randint(3, LEAKED_CARDS)):
            owner = victim._replace(card=card)
            for _ in range(self._random.randint(1, 2)):
                time = victim.time + HOUR_S * min(self._random.expovariate(1 / 5), 48)
                purchases.append(self._online(owner, time, self._random.uniform(2.5, 6)))
        return purchases

    def _online(self, victim: Victim, time: float, factor: float) -> Purchase:
        merchant = self._random.randrange(self._population.online)
        return Purchase(time, victim.card, merchant, self._amount(victim.card, merchant, factor))

    def _local(self, victim: Victim, time: float, city: int, factor: float) -> Purchase:
        first, last = self._population.first_of_city[city : city + 2]
        merchant = self._random.randrange(first, last)
        return Purchase(time, victim.card, merchant, self._amount(victim.card, merchant, factor))

    def _amount(self, card: int, merchant: int, factor: float) -> float:
        category = CATEGORIES[self._population.category[merchant]]
        usual = category.median * self._population.scale[card]
        return usual * factor * exp(self._random.gauss(0.0, 0.3))

    def _whereabouts(self, victim: Victim) -> int:
        """The city of the owner's last purchase; on line says nothing, and leaves the home."""
        if victim.merchant < self._population.online:
            return self._population.home[victim.card]
        return self._population.merchant_city[victim.merchant]

    def _far_city(self, victim: Victim) -> int:
        """A city far from the card's home and from where its owner is; every two cities have some."""
        cities = self._population.cities
        near = {self._population.home[victim.card], self._whereabouts(victim)}
        while True:
            city = self._random.randrange(len(cities))
            there = cities[city].place
            if all(distance_km(cities[each].place, there) > FAR_KM for each in near):
                return city


BURST: Final = Scenario("velocity_burst", 7.5, FraudPlanner.velocity_burst)
TIME_ANOMALY: Final = Scenario("time_anomaly", 2.0, FraudPlanner.time_anomaly)
OTHER_SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("high_value", 1.0, FraudPlanner.high_value),
    Scenario("location_anomaly", 1.5, FraudPlanner.location_anomaly),
    TIME_ANOMALY,
    Scenario("card_testing", 5.3, FraudPlanner.card_testing),
    Scenario("impossible_travel", 1.0, FraudPlanner.impossible_travel),
    Scenario("account_takeover", 6.0, FraudPlanner.account_takeover),
    Scenario("compromised_merchant", 6.75, FraudPlanner.compromised_merchant),
)
