"""The features of a transaction: one declared, ordered list, computed online from past events only.

The same code computes them for training and for serving. They are one-sided: a value grows with suspicion and rests
at 0 for what is ordinary, because an Isolation Forest isolates a low amount as readily as a high one.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, expm1, log, sqrt
from typing import Final, NamedTuple

from data.models import Transaction
from data.queries.recovery import StoredEvent
from engine import profiles
from engine.drift_watch import DriftWatch
from engine.gazetteer import Gazetteer, distance_km
from engine.profiles import EMPTY_CARD, EMPTY_CATEGORY, EMPTY_MERCHANT, EMPTY_NOVELTY, Category, Merchant, Novelty
from engine.site_calibration import SiteCalibration
from engine.windows import ALLOWED_LATENESS_US, SlidingWindow

MICROSECONDS: Final = 1_000_000
CARD_PRIOR: Final = 2.0
"""How many average transactions a card's own baseline is mixed with, so that a new card has one at all."""
MERCHANT_PRIOR: Final = 5.0
SMALLEST_AMOUNT: Final = 0.01
PLACE_ACCURACY_KM: Final = 25.0
"""Cities and cell towers place a card no better than this; it is taken off every distance."""
NEARBY_DEGREES: Final = 0.15
"""Places that differ by less in latitude and in longitude are 23.6 km apart at most."""
SHORTEST_JOURNEY_S: Final = 60.0
CARD_NOT_PRESENT: Final = frozenset({"online"})
"""Categories whose location says where a device or a shop is, not where the card is."""
MAX_CATEGORIES: Final = 256
MAX_SPEED_KMH: Final = 1_000.0
HOPS_TO_JUDGE: Final = 50
UNRELIABLE_SHARE: Final = 0.2
HOP_MEMORY: Final = 1 / 200
NO_NOVELTY: Final = (0.0, 0.0, 0.0)
HOURS_A_MONTH: Final = profiles.MONTH_S / profiles.HOUR_S
DAYS_A_MONTH: Final = profiles.MONTH_S / profiles.DAY_S
LOG_2: Final = log(2.0)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: its name, what it is in words, and how its stored value reads in natural units."""

    name: str
    title: str
    unit: str
    natural: Callable[[float], float]


def _same(value: float) -> float:
    return value


FEATURES: Final[tuple[Feature, ...]] = (
    Feature("amount", "amount", "", expm1),
    Feature("amount_over_mean", "amount over the card's mean", "×", exp),
    Feature("amount_deviation", "deviations above the card's mean", "σ", expm1),
    Feature("recent_ratio_max", "highest ratio of the last two weeks", "×", exp),
    Feature("velocity", "further transactions in the window", "", _same),
    Feature("small_amounts", "small amounts within minutes before", "", expm1),
    Feature("hour_excess", "transactions in an hour over usual", "×", exp),
    Feature("day_spend_excess", "spend in a day over usual", "×", exp),
    Feature("hour_rarity", "rarity of the hour for the card", "bits", _same),
    Feature("new_merchant", "merchant new to the card", "", _same),
    Feature("novelty_run", "rarity of other new merchants within the hour", "bits", expm1),
    Feature("new_merchant_spend", "spend at merchants new to the card over its mean", "×", exp),
    Feature("merchant_amount_over_mean", "amount over the merchant's mean", "×", exp),
    Feature("category_amount_deviation", "deviations above the category's mean", "σ", _same),
    Feature("home_distance", "distance from the usual place", "km", expm1),
    Feature("travel_speed", "speed since the last place", "km/h", expm1),
    Feature("merchant_suspicion", "share of unusual spend at the merchant", "", _same),
)
FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)
AMOUNT_OVER_MEAN: Final = FEATURE_NAMES.index("amount_over_mean")


def amount_ratio(features: Sequence[float]) -> float:
    """A transaction's amount over its card's usual one, at least 1, from its features (a ranker's row starts so)."""
    return exp(features[AMOUNT_OVER_MEAN])


class Event(NamedTuple):
    """What scoring reads of a transaction. The amount is in currency units, the time in microseconds.

    ``latitude`` and ``longitude`` are degrees where a place is known; ``present`` says whether the card was there.
    """

    card_id: str
    amount: float
    time: int
    latitude: float | None
    longitude: float | None
    present: bool
    merchant: str | None
    category: str | None


class Memory(NamedTuple):
    """All that was remembered before an event and bears on its features, but for the velocity; it never changes.

    ``small_amounts`` counts the card's small amounts in their window without the event.
    """

    card: "array[float]"
    merchant: Merchant
    category: Category
    overall: Merchant
    all_amounts: Category
    novelty: Novelty
    small_amounts: int
    places_unreliable: bool


class Observation(NamedTuple):
    """An event with what was known before it."""

    features: tuple[float, ...]
    velocity: int
    small_amounts: int
    travel_km: float
    travel_s: float
    speed_kmh: float
    late: bool
    memory: Memory


class EventReader:
    """Makes events of stored or arriving fields, resolving places once, by one rule."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer

    def event(
        self,
        card_id: str,
        amount_minor: int,
        time: int,
        location: str | None,
        latitude: float | None,
        longitude: float | None,
        merchant: str | None,
        category: str | None,
    ) -> Event:
        """The event of a transaction's fields: explicit coordinates first, else what the location text says."""
        if latitude is None or longitude is None:
            place = self._gazetteer.locate(location)
            latitude, longitude = place if place is not None else (None, None)
        return Event(
            card_id,
            amount_minor / 100.0,
            time,
            latitude,
            longitude,
            category not in CARD_NOT_PRESENT,
            merchant,
            category,
        )

    def of_stored(self, stored: StoredEvent) -> Event:
        """The event of a transaction that was scored before."""
        return self.event(
            stored.card_id,
            stored.amount_minor,
            stored.event_time,
            stored.location,
            stored.latitude,
            stored.longitude,
            stored.merchant_id,
            stored.merchant_category,
        )

    def of_transaction(self, transaction: Transaction) -> Event:
        """The event of a transaction as it arrives."""
        return self.event(
            transaction.card_id,
            transaction.amount_minor,
            transaction.event_time,
            transaction.location,
            transaction.latitude,
            transaction.longitude,
            transaction.merchant_id,
            transaction.merchant_category,
        )


class FeatureState:
    """All that the engine remembers: bounded per card and per merchant, moved only by events.

    ``observe`` answers from the past and then learns. An event more than ``ALLOWED_LATENESS_US`` behind the watermark
    is answered but not learnt from, so that no decision depends on when the process was restarted. Learning replaces a
    profile and never writes to it, so that what was known before an event can be kept without a copy.
    """

    def __init__(self, velocity_window_s: int, small_amount: float, small_amount_window_s: int) -> None:
        self.velocity_window_s = velocity_window_s
        self.small_amount = small_amount
        self.small_amount_window_s = small_amount_window_s
        self.watermark = 0
        self.cards: dict[str, array[float]] = {}
        self.merchants: dict[str, Merchant] = {}
        self.categories: dict[str, Category] = {}
        self.overall = EMPTY_MERCHANT
        self.all_amounts = EMPTY_CATEGORY
        self.novelty = EMPTY_NOVELTY
        self.site = SiteCalibration()
        self.drift = DriftWatch()
        self.hops = 0
        self.impossible_share = 0.0
        self.velocity = SlidingWindow(velocity_window_s * MICROSECONDS)
        self.small_amounts = SlidingWindow(small_amount_window_s * MICROSECONDS)

    @property
    def places_unreliable(self) -> bool:
        """Whether so many journeys are impossible that the places of this source cannot be where the cards are."""
        return self.hops >= HOPS_TO_JUDGE and self.impossible_share > UNRELIABLE_SHARE

    def observe(self, event: Event) -> Observation:
        """The features of an event, from what was known before it; then learn from it."""
        card_id, amount, time, _, _, _, merchant_name, category_name = event
        time_s = time / MICROSECONDS
        late = time < self.watermark - ALLOWED_LATENESS_US
        card = self.cards.get(card_id, EMPTY_CARD)
        merchant = EMPTY_MERCHANT if merchant_name is None else self.merchants.get(merchant_name, EMPTY_MERCHANT)
        category = EMPTY_CATEGORY if category_name is None else self.categories.get(category_name, EMPTY_CATEGORY)
        memory = Memory(
            card,
            merchant,
            category,
            self.overall,
            self.all_amounts,
            self.novelty,
            0 if late else self.small_amounts.count(card_id, time),
            self.places_unreliable,
        )
        velocity, small_amounts = (1, 0) if late else self._count(card_id, time, amount)

        standing = profiles.card_at(card, time_s)
        count, mean, variance, _, _, _, _, _, _, ratio_max, ratio_max_before, _, _ = standing
        dearness = profiles.category_dearness(category, self.all_amounts)
        baseline = self._baseline(count, mean) * dearness
        ratio = amount / baseline
        deviation = 0.0
        if amount > baseline:
            deviation = (amount - baseline) / max(sqrt(variance) * dearness, 0.3 * baseline)
        highest_ratio = max(ratio_max, ratio_max_before)
        home_km, travel_km, travel_s, speed = _journey(event, card, time_s)
        believed = not memory.places_unreliable
        merchant_number = 0.0 if merchant_name is None else profiles.merchant_number(merchant_name)
        if merchant_number in card[profiles.MERCHANTS : profiles.FIRST_TIME]:
            merchant_number = 0.0
        hour_excess, day_spend_excess = _rate_excess(card, standing, amount, time_s)
        new_merchant, novelty_run, new_spend = self._novelty(standing, ratio) if merchant_number else NO_NOVELTY
        log_amount = log(1.0 + amount)

        features = (
            log_amount,
            log(ratio) if ratio > 1.0 else 0.0,
            log(1.0 + deviation) if deviation else 0.0,
            log(highest_ratio) if highest_ratio > 1.0 else 0.0,
            velocity - 1.0,
            log(1.0 + memory.small_amounts) if memory.small_amounts else 0.0,
            hour_excess,
            day_spend_excess,
            _hour_rarity(card, count, time_s),
            new_merchant,
            novelty_run,
            new_spend,
            self._merchant_excess(merchant, amount),
            profiles.category_deviation(category, log_amount),
            log(1.0 + home_km) if home_km and believed else 0.0,
            log(1.0 + speed) if speed and believed else 0.0,
            _merchant_suspicion(merchant, time_s),
        )
        if not late:
            self.cards[card_id] = after = profiles.card_after(card, standing, amount, time_s, ratio, merchant_number)
            self._learn_place(event, after, time_s, speed)
            self._learn_merchant(merchant_name, merchant, amount, time_s, ratio)
            if merchant_name is not None and count >= profiles.ACQUAINTED:
                purchases, new = self.novelty
                self.novelty = purchases + 1.0, new + 1.0 if merchant_number else new
            if category_name is not None:
                self._learn_category(category_name, category, log_amount)
        told_speed = speed if believed else 0.0
        return Observation(features, velocity, small_amounts, travel_km, travel_s, told_speed, late, memory)

    def _count(self, card_id: str, time: int, amount: float) -> tuple[int, int]:
        """Move the windows past a transaction: the card's in the one, and small ones in the other if it is one."""
        self.watermark = max(self.watermark, time)
        velocity = self.velocity.add(card_id, time, self.watermark)
        if amount > self.small_amount:
            return velocity, 0
        return velocity, self.small_amounts.add(card_id, time, self.watermark)

    def _baseline(self, count: float, mean: float) -> float:
        """The card's mean amount, drawn towards the mean of all while the card is new; at least one cent."""
        prior = self.overall[1]
        if count:
            prior = (count * mean + CARD_PRIOR * prior) / (count + CARD_PRIOR)
        return max(prior, SMALLEST_AMOUNT)

    def _novelty(self, standing: profiles.Standing, ratio: float) -> tuple[float, float, float]:
        """That the merchant is new to the card, how rare others just before were, and what is spent at all of them.

        Whoever uses a stolen card does not know its owner's merchants, and meets one new merchant after the other.
        Rarity is in bits, so that it says little where customers come and go; where most purchases are at new
        merchants, the first figure is 0.
        """
        count, others, spend = standing[0], standing[-2], standing[-1] + ratio
        if count < profiles.ACQUAINTED:
            return NO_NOVELTY
        bits = profiles.new_merchant_bits(self.novelty)
        return 1.0 if bits >= 1.0 else 0.0, log(1.0 + others * bits), log(spend) if spend > 1.0 else 0.0

    def _merchant_excess(self, merchant: Merchant, amount: float) -> float:
        count, merchant_mean, _, _, _ = merchant
        mean = (count * merchant_mean + MERCHANT_PRIOR * self.overall[1]) / (count + MERCHANT_PRIOR)
        return log(amount / mean) if amount > mean >= SMALLEST_AMOUNT else 0.0

    def _learn_place(self, event: Event, card: "array[float]", time_s: float, speed: float) -> None:
        """Write to a profile that no memory holds yet where its card was, if somebody can have got there."""
        if event.latitude is None or event.longitude is None or not event.present:
            return
        if card[profiles.HOME_COUNT]:
            self._judge_hop(speed)
        # Nobody got there, so it was not the owner: the next journey starts where the owner was seen.
        if speed <= MAX_SPEED_KMH:
            profiles.update_place(card, time_s, event.latitude, event.longitude)

    def _judge_hop(self, speed: float) -> None:
        """Keep the share of journeys that nobody can make: where it is high, the places are not physical."""
        self.hops += 1
        weight = max(HOP_MEMORY, 1.0 / self.hops)
        self.impossible_share += ((speed > MAX_SPEED_KMH) - self.impossible_share) * weight

    def _learn_merchant(self, name: str | None, known: Merchant, amount: float, time_s: float, ratio: float) -> None:
        if name is not None:
            self.merchants[name] = profiles.merchant_after(known, amount, time_s, ratio)
        self.overall = profiles.merchant_after(self.overall, amount, time_s, ratio)

    def _learn_category(self, name: str, known: Category, log_amount: float) -> None:
        if not known[0] and len(self.categories) >= MAX_CATEGORIES:
            return
        self.categories[name] = profiles.category_after(known, log_amount)
        self.all_amounts = profiles.category_after(self.all_amounts, log_amount)


def _journey(event: Event, card: "array[float]", time_s: float) -> tuple[float, float, float, float]:
    """Kilometres from home; kilometres, seconds and km/h since the last place. Zeros where nothing is known."""
    _, _, _, latitude, longitude, present, _, _ = event
    if latitude is None or longitude is None or not present:
        return 0.0, 0.0, 0.0, 0.0
    seen_at, last_latitude, last_longitude, home_count, home_latitude, home_longitude = profiles.places(card)
    if not home_count:
        return 0.0, 0.0, 0.0, 0.0
    travel_km = _km_beyond_accuracy(last_latitude, last_longitude, latitude, longitude)
    travel_s = abs(time_s - seen_at)
    speed = travel_km / max(travel_s, SHORTEST_JOURNEY_S) * profiles.HOUR_S if travel_km else 0.0
    return _km_beyond_accuracy(home_latitude, home_longitude, latitude, longitude), travel_km, travel_s, speed


def _km_beyond_accuracy(latitude_a: float, longitude_a: float, latitude_b: float, longitude_b: float) -> float:
    if abs(latitude_a - latitude_b) < NEARBY_DEGREES and abs(longitude_a - longitude_b) < NEARBY_DEGREES:
        return 0.0
    return max(0.0, distance_km((latitude_a, longitude_a), (latitude_b, longitude_b)) - PLACE_ACCURACY_KM)


def _rate_excess(
    card: "array[float]", standing: profiles.Standing, amount: float, time_s: float
) -> tuple[float, float]:
    """Logarithms of the last hour's count and the last day's spend over what the card's past leads to expect.

    A sum that decays with time constant T holds ``rate · T · (1 - exp(-span / T))`` after a span of steady traffic. A
    card known for less than the hour or the day in question is taken to have been known for that long.
    """
    count, mean, _, _, hour_count, day_spend, month_count, month_spend, _, _, _, _, _ = standing
    if count < 3.0:
        return 0.0, 0.0
    span = time_s - card[profiles.FIRST_TIME]
    of_day = -expm1(-max(span, profiles.DAY_S) / profiles.MONTH_S)
    of_hour = of_day if span >= profiles.DAY_S else -expm1(-max(span, profiles.HOUR_S) / profiles.MONTH_S)
    usual_hour_count = month_count / (HOURS_A_MONTH * of_hour) + 1.0
    usual_spend = month_spend / (DAYS_A_MONTH * of_day) + 2.0 * mean
    hour_count += 1.0
    spend = day_spend + amount
    hour_excess = log(hour_count / usual_hour_count) if hour_count > usual_hour_count else 0.0
    day_excess = log(spend / usual_spend) if spend > usual_spend >= SMALLEST_AMOUNT else 0.0
    return hour_excess, day_excess


def _hour_rarity(card: "array[float]", count: float, time_s: float) -> float:
    """How many bits rarer than an even spread the card's three-hour bin is, add-one smoothed; 0 where it is usual."""
    share = (card[profiles.HOUR_PROFILE + profiles.hour_bin(time_s)] + 1.0) / (count + profiles.HOUR_BINS)
    evenness = share * profiles.HOUR_BINS
    return -log(evenness) / LOG_2 if evenness < 1.0 else 0.0


def _merchant_suspicion(merchant: Merchant, time_s: float) -> float:
    """Share of a merchant's recent transactions that were far above their cards' baselines, smoothed."""
    _, _, last_time, recent, suspicious = merchant
    if not suspicious:
        return 0.0
    decay = exp((last_time - time_s) / profiles.MERCHANT_DECAY_S) if time_s > last_time else 1.0
    return suspicious * decay / (recent * decay + 10.0)
