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
from engine.profiles import EMPTY_CARD, EMPTY_CATEGORY, EMPTY_MERCHANT, EMPTY_NOVELTY
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
MONTH_S: Final = 30 * profiles.DAY_S
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
    """Copies of all that was remembered before an event and bears on its features, but for the velocity.

    ``small_amounts`` counts the card's small amounts in their window without the event.
    """

    card: "array[float]"
    merchant: "array[float]"
    category: "array[float]"
    overall: "array[float]"
    all_amounts: "array[float]"
    novelty: "array[float]"
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
    is answered but not learnt from, so that no decision depends on when the process was restarted.
    """

    def __init__(self, velocity_window_s: int, small_amount: float, small_amount_window_s: int) -> None:
        self.velocity_window_s = velocity_window_s
        self.small_amount = small_amount
        self.small_amount_window_s = small_amount_window_s
        self.watermark = 0
        self.cards: dict[str, array[float]] = {}
        self.merchants: dict[str, array[float]] = {}
        self.categories: dict[str, array[float]] = {}
        self.overall = EMPTY_MERCHANT[:]
        self.all_amounts = EMPTY_CATEGORY[:]
        self.novelty = EMPTY_NOVELTY[:]
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
        small_before = 0 if late else self.small_amounts.count(card_id, time)
        memory = Memory(
            card[:],
            merchant[:],
            category[:],
            self.overall[:],
            self.all_amounts[:],
            self.novelty[:],
            small_before,
            self.places_unreliable,
        )

        if late:
            velocity, small_amounts = 1, 0
        else:
            self.watermark = max(self.watermark, time)
            velocity = self.velocity.add(card_id, time, self.watermark)
            small_amounts = 0
            if amount <= self.small_amount:
                small_amounts = self.small_amounts.add(card_id, time, self.watermark)

        dearness = profiles.category_dearness(category, self.all_amounts)
        baseline = self._baseline(card) * dearness
        ratio = amount / baseline
        spread = max(sqrt(card[profiles.VARIANCE]) * dearness, 0.3 * baseline)
        deviation = (amount - baseline) / spread if amount > baseline else 0.0
        home_km, travel_km, travel_s, speed = measured = self._journey(event, card, time_s)
        if memory.places_unreliable:
            home_km = speed = 0.0
        merchant_number = 0.0 if merchant_name is None else profiles.merchant_number(merchant_name)
        is_new_merchant = merchant_number != 0.0 and merchant_number not in profiles.recent_merchants(card)
        hour_excess, day_spend_excess = _rate_excess(card, amount, time_s)
        new_merchant, novelty_run, new_spend = self._novelty(card, ratio, time_s) if is_new_merchant else NO_NOVELTY

        features = (
            log(1.0 + amount),
            log(ratio) if ratio > 1.0 else 0.0,
            log(1.0 + deviation),
            log(max(1.0, profiles.highest_recent_ratio(card, time_s))),
            float(velocity - 1),
            log(1.0 + small_before),
            hour_excess,
            day_spend_excess,
            _hour_rarity(card, time_s),
            new_merchant,
            novelty_run,
            new_spend,
            self._merchant_excess(merchant, amount),
            profiles.category_deviation(category, amount),
            log(1.0 + home_km),
            log(1.0 + speed),
            _merchant_suspicion(merchant, time_s),
        )
        if not late:
            self._learn(event, time_s, ratio, merchant_number if is_new_merchant else 0.0, measured[-1])
        return Observation(features, velocity, small_amounts, travel_km, travel_s, speed, late, memory)

    def _baseline(self, card: "array[float]") -> float:
        """The card's mean amount, drawn towards the mean of all while the card is new; at least one cent."""
        count = card[profiles.COUNT]
        prior = self.overall[profiles.MERCHANT_MEAN]
        if count == 0.0:
            return max(prior, SMALLEST_AMOUNT)
        return max((count * card[profiles.MEAN] + CARD_PRIOR * prior) / (count + CARD_PRIOR), SMALLEST_AMOUNT)

    def _novelty(self, card: "array[float]", ratio: float, time_s: float) -> tuple[float, float, float]:
        """That the merchant is new to the card, how rare others just before were, and what is spent at all of them.

        Whoever uses a stolen card does not know its owner's merchants, and meets one new merchant after the other.
        Rarity is in bits, so that it says little where customers come and go; where most purchases are at new
        merchants, the first figure is 0.
        """
        if card[profiles.COUNT] < profiles.ACQUAINTED:
            return NO_NOVELTY
        bits = profiles.new_merchant_bits(self.novelty)
        elapsed = max(0.0, time_s - card[profiles.LAST_TIME])
        others = card[profiles.NEW_MERCHANTS_1H] * exp(-elapsed / profiles.HOUR_S)
        spend = card[profiles.NEW_MERCHANT_SPEND_6H] * exp(-elapsed / (6 * profiles.HOUR_S)) + ratio
        return float(bits >= 1.0), log(1.0 + others * bits), log(max(1.0, spend))

    def _merchant_excess(self, merchant: "array[float]", amount: float) -> float:
        count = merchant[profiles.MERCHANT_COUNT]
        prior = self.overall[profiles.MERCHANT_MEAN]
        mean = (count * merchant[profiles.MERCHANT_MEAN] + MERCHANT_PRIOR * prior) / (count + MERCHANT_PRIOR)
        return log(amount / mean) if amount > mean >= SMALLEST_AMOUNT else 0.0

    def _journey(self, event: Event, card: "array[float]", time_s: float) -> tuple[float, float, float, float]:
        """Kilometres from home; kilometres, seconds and km/h since the last place. Zeros where nothing is known."""
        if event.latitude is None or event.longitude is None or not event.present:
            return 0.0, 0.0, 0.0, 0.0
        if card[profiles.HOME_COUNT] == 0.0:
            return 0.0, 0.0, 0.0, 0.0
        here = (event.latitude, event.longitude)
        travel_km = _km_beyond_accuracy((card[profiles.PLACE_LATITUDE], card[profiles.PLACE_LONGITUDE]), here)
        travel_s = abs(time_s - card[profiles.PLACE_TIME])
        home_km = _km_beyond_accuracy((card[profiles.HOME_LATITUDE], card[profiles.HOME_LONGITUDE]), here)
        return home_km, travel_km, travel_s, travel_km / max(travel_s, SHORTEST_JOURNEY_S) * profiles.HOUR_S

    def _learn(self, event: Event, time_s: float, ratio: float, new_merchant: float, speed: float) -> None:
        card = self.cards.get(event.card_id)
        if card is None:
            card = self.cards[event.card_id] = EMPTY_CARD[:]
        if event.merchant is not None and card[profiles.COUNT] >= profiles.ACQUAINTED:
            self.novelty[profiles.NOVELTY_COUNT] += 1.0
            self.novelty[profiles.NOVELTY_NEW] += new_merchant != 0.0
        profiles.update_card(card, event.amount, time_s, ratio, new_merchant)
        if event.latitude is not None and event.longitude is not None and event.present:
            if card[profiles.HOME_COUNT]:
                self._judge_hop(speed)
            # Nobody got there, so it was not the owner: the next journey starts where the owner was seen.
            if speed <= MAX_SPEED_KMH:
                profiles.update_place(card, time_s, event.latitude, event.longitude)
        if event.merchant is not None:
            merchant = self.merchants.get(event.merchant)
            if merchant is None:
                merchant = self.merchants[event.merchant] = EMPTY_MERCHANT[:]
            profiles.update_merchant(merchant, event.amount, time_s, ratio)
        if event.category is not None:
            self._learn_category(event.category, event.amount)
        profiles.update_merchant(self.overall, event.amount, time_s, ratio)

    def _judge_hop(self, speed: float) -> None:
        """Keep the share of journeys that nobody can make: where it is high, the places are not physical."""
        self.hops += 1
        weight = max(HOP_MEMORY, 1.0 / self.hops)
        self.impossible_share += ((speed > MAX_SPEED_KMH) - self.impossible_share) * weight

    def _learn_category(self, name: str, amount: float) -> None:
        category = self.categories.get(name)
        if category is None:
            if len(self.categories) >= MAX_CATEGORIES:
                return
            category = self.categories[name] = EMPTY_CATEGORY[:]
        profiles.update_category(category, amount)
        profiles.update_category(self.all_amounts, amount)


def _km_beyond_accuracy(a: tuple[float, float], b: tuple[float, float]) -> float:
    if abs(a[0] - b[0]) < NEARBY_DEGREES and abs(a[1] - b[1]) < NEARBY_DEGREES:
        return 0.0
    return max(0.0, distance_km(a, b) - PLACE_ACCURACY_KM)


def _rate_excess(card: "array[float]", amount: float, time_s: float) -> tuple[float, float]:
    """Logarithms of the last hour's count and the last day's spend over what the card's past leads to expect.

    A sum that decays with time constant T holds ``rate · T · (1 - exp(-span / T))`` after a span of steady traffic. A
    card known for less than the hour or the day in question is taken to have been known for that long.
    """
    if card[profiles.COUNT] < 3.0:
        return 0.0, 0.0
    elapsed = max(0.0, time_s - card[profiles.LAST_TIME])
    span = max(0.0, time_s - card[profiles.FIRST_TIME])
    month = exp(-elapsed / MONTH_S)
    hours = MONTH_S / profiles.HOUR_S * -expm1(-max(span, profiles.HOUR_S) / MONTH_S)
    days = MONTH_S / profiles.DAY_S * -expm1(-max(span, profiles.DAY_S) / MONTH_S)
    hour_count = card[profiles.COUNT_1H] * exp(-elapsed / profiles.HOUR_S) + 1.0
    usual_hour_count = card[profiles.COUNT_30D] * month / hours + 1.0
    spend = card[profiles.SPEND_1D] * exp(-elapsed / profiles.DAY_S) + amount
    usual_spend = card[profiles.SPEND_30D] * month / days + 2.0 * card[profiles.MEAN]
    hour_excess = log(hour_count / usual_hour_count) if hour_count > usual_hour_count else 0.0
    day_excess = log(spend / usual_spend) if spend > usual_spend >= SMALLEST_AMOUNT else 0.0
    return hour_excess, day_excess


def _hour_rarity(card: "array[float]", time_s: float) -> float:
    """How many bits rarer than an even spread the card's three-hour bin is, add-one smoothed; 0 where it is usual."""
    seen = card[profiles.HOUR_PROFILE + profiles.hour_bin(time_s)]
    share = (seen + 1.0) / (card[profiles.COUNT] + profiles.HOUR_BINS)
    evenness = share * profiles.HOUR_BINS
    return -log(evenness) / LOG_2 if evenness < 1.0 else 0.0


def _merchant_suspicion(merchant: "array[float]", time_s: float) -> float:
    """Share of a merchant's recent transactions that were far above their cards' baselines, smoothed."""
    if merchant[profiles.MERCHANT_COUNT] == 0.0:
        return 0.0
    decay = exp(-max(0.0, time_s - merchant[profiles.MERCHANT_TIME]) / profiles.MERCHANT_DECAY_S)
    return merchant[profiles.MERCHANT_SUSPICIOUS] * decay / (merchant[profiles.MERCHANT_RECENT] * decay + 10.0)
