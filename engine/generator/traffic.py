"""The stream of purchases in event-time order: honest ones, and the fraud that was planned among them."""

from bisect import bisect
from collections import deque
from collections.abc import Iterator
from math import exp
from random import Random
from typing import Final

import numpy as np

from engine.generator.population import CATEGORIES, FAVOURITES, ONLINE_FAVOURITES, Population
from engine.generator.purchases import Purchase
from engine.generator.schedule import FraudSchedule

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
PER_CARD_AND_DAY: Final = 4.0
REFRACTORY_S: Final = 180.0
"""People seldom buy twice within three minutes, except in a hurry."""
DOUBLES: Final = 0.01
DOUBLE_WITHIN_S: Final = 60.0
SAME_MERCHANT_AGAIN: Final = 0.7
"""Of all purchases, those that follow another of the card within a minute: a second round, a delivery charged in parts,
a coffee beside the parking ticket."""
DOUBLES_KEPT: Final = 512
"""Purchases of the last minute that a double may follow; bounds the memory at any rate."""
REDRAWS: Final = 8
ONLINE_SHARE: Final = 0.2
FAVOURITE_SHARE: Final = 0.85
LARGE_PURCHASE: Final = 0.001
TINY_ONLINE: Final = 0.02
"""Of the purchases on line: songs, apps and tips, as small as what tests a stolen card."""
HONEST_VPN: Final = 0.005
"""Of the purchases on line."""
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
"""Weights of the hours of a day (UTC), for most people and for those who work by night."""
WEEKDAYS: Final = (0.92, 0.94, 0.96, 1.00, 1.14, 1.16, 0.88)
"""Weights of Monday to Sunday."""
HOURS_TO_MONDAY: Final = 3 * 24
"""1970-01-01 was a Thursday."""


class Traffic:
    """Draws purchases without end.

    Args:
        per_card_and_day: honest purchases of a card in a day, on average over cards and over a week.
        constant_rate: records a second, fraud included, in place of that and of the rhythm of day and week.
        fraud_share: share of the purchases that belong to fraud other than bursts.
        burst_share: share of the purchases that belong to velocity bursts.
        trips: whether people travel.
    """

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
        self._random = Random(int(np.random.default_rng(seed).integers(2**62)))
        self._time = start_s
        self._cards = len(population.home)
        self._trips = trips
        self._last_seen: dict[int, float] = {}
        self._last_minute: deque[Purchase] = deque(maxlen=DOUBLES_KEPT)
        self._away: dict[int, tuple[int, float]] = {}
        night_share = len(population.night_cards) / self._cards
        by_night = [night_share * weight / sum(NIGHT_HOURS) for weight in NIGHT_HOURS]
        by_day = [(1.0 - night_share) * weight / sum(DAY_HOURS) for weight in DAY_HOURS]
        self._night_chances = [night / (night + day) for night, day in zip(by_night, by_day, strict=True)]
        honest_share = 1.0 - fraud_share - burst_share
        if constant_rate is None:
            per_day = self._cards * per_card_and_day
            weekdays = [weight * len(WEEKDAYS) / sum(WEEKDAYS) for weight in WEEKDAYS]
            hours = [night + day for night, day in zip(by_night, by_day, strict=True)]
            self._rates = [per_day * weekday * hour / HOUR_S for weekday in weekdays for hour in hours]
        else:
            per_day = constant_rate * honest_share * DAY_S
            self._rates = [constant_rate * honest_share] * (len(WEEKDAYS) * len(DAY_HOURS))
        self._schedule: FraudSchedule | None = None
        if fraud_share or burst_share:
            self._schedule = FraudSchedule(
                population, self._random, fraud_share / honest_share, burst_share / honest_share, per_day
            )
        self._enter_hour()

    @property
    def planned(self) -> int:
        """How many purchases of fraud are planned and not yet due."""
        return 0 if self._schedule is None else len(self._schedule)

    def purchases(self) -> Iterator[Purchase]:
        """Purchases, each no earlier than the one before."""
        schedule = self._schedule
        while True:
            following = self._next_time()
            if schedule is not None:
                yield from schedule.due(following)
            self._time = following
            purchase = self._double() or self._single()
            self._last_seen[purchase.card] = following
            self._last_minute.append(purchase)
            yield purchase
            if schedule is not None:
                schedule.follow(purchase)

    def _next_time(self) -> float:
        """The next event of a Poisson process, whose rate changes with the hour."""
        wait = self._random.expovariate(1.0)
        while (following := self._time + wait / self._rate) >= self._hour_end:
            wait -= (self._hour_end - self._time) * self._rate
            self._time = self._hour_end
            self._enter_hour()
        return following

    def _enter_hour(self) -> None:
        hour = int(self._time // HOUR_S)
        self._hour_end = (hour + 1) * HOUR_S
        self._rate = self._rates[(hour + HOURS_TO_MONDAY) % len(self._rates)]
        self._night_chance = self._night_chances[hour % 24]

    def _double(self) -> Purchase | None:
        """Now and then, another purchase of a card that bought within the last minute."""
        random = self._random.random
        if random() >= DOUBLES:
            return None
        while self._last_minute and self._last_minute[0].time < self._time - DOUBLE_WITHIN_S:
            self._last_minute.popleft()
        if not self._last_minute:
            return None
        before = self._last_minute[int(random() * len(self._last_minute))]
        if random() < SAME_MERCHANT_AGAIN:
            return before._replace(time=self._time, amount=before.amount * exp(self._random.gauss(0.0, 0.3)))
        merchant = self._pick_merchant(before.card, self._city(before.card, rested=False))
        return Purchase(self._time, before.card, merchant, self._amount(before.card, merchant))

    def _single(self) -> Purchase:
        card = self._pick_card()
        last = self._last_seen.get(card)
        rested = last is not None and self._time - last > TRIP_REST_S
        city = self._city(card, rested=rested)
        merchant = self._pick_merchant(card, city)
        online = merchant < self._population.online
        location = "Unknown VPN" if online and self._random.random() < HONEST_VPN else None
        return Purchase(self._time, card, merchant, self._amount(card, merchant), location)

    def _amount(self, card: int, merchant: int) -> float:
        random = self._random
        if merchant < self._population.online and random.random() < TINY_ONLINE:
            return random.uniform(0.5, 2.0)
        category = CATEGORIES[self._population.category[merchant]]
        amount = category.median * self._population.scale[card] * exp(random.gauss(0.0, category.deviation))
        return amount * random.uniform(6, 15) if random.random() < LARGE_PURCHASE else amount

    def _pick_card(self) -> int:
        random = self._random.random
        population = self._population
        for _ in range(REDRAWS):
            cards, activity = population.day_cards, population.day_activity
            if random() < self._night_chance:
                cards, activity = population.night_cards, population.night_activity
            card = cards[bisect(activity, random())]
            last = self._last_seen.get(card)
            if last is None or self._time - last > REFRACTORY_S:
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
        random = self._random.random
        draw = random()
        if draw < ONLINE_SHARE * FAVOURITE_SHARE:
            return population.favourites[card * FAVOURITES + int(random() * ONLINE_FAVOURITES)]
        if draw < ONLINE_SHARE:
            return int(random() * population.online)
        if city == population.home[card] and random() < FAVOURITE_SHARE:
            in_city = ONLINE_FAVOURITES + int(random() * (FAVOURITES - ONLINE_FAVOURITES))
            return population.favourites[card * FAVOURITES + in_city]
        first = population.first_of_city[city]
        return first + int(random() * (population.first_of_city[city + 1] - first))
