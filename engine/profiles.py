"""What is known of a card, a merchant and a category: a fixed number of doubles each, updated in O(1).

Baselines are winsorised: an amount enters a mean clipped at ``WINSOR_MULTIPLE`` times the mean so far, so that a
burst of fraud cannot teach the engine that fraud is normal.
"""

from array import array
from math import exp, log2, sqrt
from struct import Struct
from typing import Any, Final, TypeAlias
from zlib import crc32

WINSOR_MULTIPLE: Final = 2.5
SLOWEST_LEARNING: Final = 0.02
"""The weight of one amount in a mean, once a profile has 50 of them."""
FAST_LEARNING: Final = 1.0 / SLOWEST_LEARNING

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
SIX_HOURS_S: Final = 6 * HOUR_S
MONTH_S: Final = 30 * DAY_S
RATIO_BUCKET_S: Final = 7 * DAY_S
HOUR_BINS: Final = 8
HOUR_BIN_S: Final = DAY_S / HOUR_BINS
ACQUAINTED: Final = 5.0
"""Transactions of a card from which a merchant it has not been to is new to it."""
RECENT_MERCHANTS: Final = 16

COUNT: Final = 0
MEAN: Final = 1
VARIANCE: Final = 2
LAST_TIME: Final = 3
COUNT_1H: Final = 4
SPEND_1D: Final = 5
COUNT_30D: Final = 6
SPEND_30D: Final = 7
RATIO_BUCKET: Final = 8
RATIO_MAX: Final = 9
RATIO_MAX_BEFORE: Final = 10
PLACE_TIME: Final = 11
PLACE_LATITUDE: Final = 12
PLACE_LONGITUDE: Final = 13
HOME_COUNT: Final = 14
HOME_LATITUDE: Final = 15
HOME_LONGITUDE: Final = 16
HOUR_PROFILE: Final = 17
MERCHANT_NEXT: Final = HOUR_PROFILE + HOUR_BINS
MERCHANTS: Final = MERCHANT_NEXT + 1
FIRST_TIME: Final = MERCHANTS + RECENT_MERCHANTS
NEW_MERCHANTS_1H: Final = FIRST_TIME + 1
NEW_MERCHANT_SPEND_6H: Final = FIRST_TIME + 2
CARD_FIELDS: Final = FIRST_TIME + 3
"""The layout of a card's profile. Amounts in currency units, times in seconds since the epoch, places in degrees.
What has a time in its name decays exponentially with that time constant; the ratio maxima are of the running and the
previous seven days. ``NEW_MERCHANTS_1H`` counts purchases at merchants new to the card, and ``NEW_MERCHANT_SPEND_6H``
sums their amounts over the card's baseline."""

_RUNNING: Final = Struct(f"{PLACE_TIME}d")
_PLACES: Final = Struct(f"{HOUR_PROFILE - PLACE_TIME}d")
_PLACES_AT: Final = PLACE_TIME * 8
"""Reading or writing fields that lie together in one call costs a third of doing so one by one."""

Merchant: TypeAlias = tuple[float, float, float, float, float]
"""Count, mean, time of the last transaction, transactions and suspicious ones among them; the last two decay with a
time constant of three days."""
Category: TypeAlias = tuple[float, float, float]
"""Count, and mean and variance of the logarithm of the amount."""
Novelty: TypeAlias = tuple[float, float]
"""Purchases of well-known cards, and those of them at a merchant new to the card."""
MERCHANT_FIELDS: Final = 5
CATEGORY_FIELDS: Final = 3
NOVELTY_FIELDS: Final = 2
NOVELTY_PRIOR: Final = 100.0
USUAL_NOVELTY: Final = 0.25
"""Purchases that the share of those at new merchants is mixed with, and their share, until a source is known."""

EMPTY_CARD: Final = array("d", bytes(8 * CARD_FIELDS))
EMPTY_MERCHANT: Final[Merchant] = (0.0, 0.0, 0.0, 0.0, 0.0)
EMPTY_CATEGORY: Final[Category] = (0.0, 0.0, 0.0)
EMPTY_NOVELTY: Final[Novelty] = (0.0, 0.0)

SUSPICIOUS_RATIO: Final = 3.0
MERCHANT_DECAY_S: Final = 3 * DAY_S


def hour_bin(time_s: float) -> int:
    """Which of the eight three-hour bins of the UTC day a time is in."""
    return int(time_s % DAY_S // HOUR_BIN_S)


def usual_hour_bins(card: "array[float]") -> list[int]:
    """The fewest bins of the day that hold four fifths of a card's transactions, the fullest first; of 5 or more."""
    if card[COUNT] < 5.0:
        return []
    bins = card[HOUR_PROFILE : HOUR_PROFILE + HOUR_BINS]
    wanted = 0.8 * sum(bins)
    chosen: list[int] = []
    for index in sorted(range(len(bins)), key=lambda k: (-bins[k], k)):
        if sum(bins[k] for k in chosen) >= wanted:
            break
        chosen.append(index)
    return chosen


def _weight_of_next(count: float) -> float:
    """The weight of one more value in a mean of ``count``."""
    return 1.0 / (count + 1.0) if count < FAST_LEARNING else SLOWEST_LEARNING


def _winsorised(amount: float, mean: float, count: float) -> float:
    clip = WINSOR_MULTIPLE * mean
    return clip if amount > clip > 0.0 and count >= 3.0 else amount


Standing: TypeAlias = tuple[float, float, float, float, float, float, float, float, float, float, float, float, float]
"""A card's fields from ``COUNT`` to ``RATIO_MAX_BEFORE``, ``NEW_MERCHANTS_1H`` and ``NEW_MERCHANT_SPEND_6H``, as they
stand at a time: sums decayed and seven days begun up to then, nothing added."""


def card_at(card: "array[float]", time_s: float) -> Standing:
    """How a card stands at a time; at its last transaction's for one that is before it."""
    (
        count,
        mean,
        variance,
        last_time,
        hour_count,
        day_spend,
        month_count,
        month_spend,
        bucket,
        ratio_max,
        ratio_max_before,
    ) = _RUNNING.unpack_from(card)
    new_merchants, new_spend = card[NEW_MERCHANTS_1H], card[NEW_MERCHANT_SPEND_6H]
    if not count:
        last_time = time_s
    elif time_s > last_time:
        elapsed = time_s - last_time
        last_time = time_s
        hour, month = exp(-elapsed / HOUR_S), exp(-elapsed / MONTH_S)
        hour_count *= hour
        day_spend *= exp(-elapsed / DAY_S)
        month_count *= month
        month_spend *= month
        new_merchants *= hour
        if new_spend:
            new_spend *= exp(-elapsed / SIX_HOURS_S)
    age = time_s // RATIO_BUCKET_S - bucket
    if age > 0.0:
        ratio_max_before = ratio_max if age == 1.0 else 0.0
        ratio_max = 0.0
        bucket += age
    return (
        count,
        mean,
        variance,
        last_time,
        hour_count,
        day_spend,
        month_count,
        month_spend,
        bucket,
        ratio_max,
        ratio_max_before,
        new_merchants,
        new_spend,
    )


def card_after(
    card: "array[float]", standing: Standing, amount: float, time_s: float, ratio: float, new_merchant: float
) -> "array[float]":
    """The profile of a card after one more transaction, as a new array.

    Args:
        card: the profile before it.
        standing: ``card_at`` the time of the transaction.
        amount: currency units.
        time_s: seconds since the epoch.
        ratio: the amount over the baseline as it was before.
        new_merchant: the number that stands for the merchant, 0 when it is among the recent ones already or when there
            is none.
    """
    (
        count,
        mean,
        variance,
        last_time,
        hour_count,
        day_spend,
        month_count,
        month_spend,
        bucket,
        ratio_max,
        ratio_max_before,
        new_merchants,
        new_spend,
    ) = standing
    after = card[:]
    weight = _weight_of_next(count)
    deviation = _winsorised(amount, mean, count) - mean
    if ratio > ratio_max and time_s // RATIO_BUCKET_S >= bucket:
        ratio_max = ratio
    _RUNNING.pack_into(
        after,
        0,
        count + 1.0,
        mean + weight * deviation,
        (1.0 - weight) * (variance + weight * deviation * deviation),
        last_time,
        hour_count + 1.0,
        day_spend + amount,
        month_count + 1.0,
        month_spend + amount,
        bucket,
        ratio_max,
        ratio_max_before,
    )
    after[HOUR_PROFILE + hour_bin(time_s)] += 1.0
    if not count:
        after[FIRST_TIME] = time_s
    if new_merchant:
        remember_merchant(after, new_merchant)
        if count >= ACQUAINTED:
            new_merchants += 1.0
            new_spend += ratio
    after[NEW_MERCHANTS_1H] = new_merchants
    after[NEW_MERCHANT_SPEND_6H] = new_spend
    return after


def merchant_number(merchant: str) -> float:
    """The number that stands for a merchant in a card's profile; never 0."""
    return float(crc32(merchant.encode()) + 1)


def remember_merchant(card: "array[float]", merchant: float) -> None:
    """Put a merchant's number in the place of the one that was remembered first."""
    slot = int(card[MERCHANT_NEXT])
    card[MERCHANTS + slot] = merchant
    card[MERCHANT_NEXT] = float((slot + 1) % RECENT_MERCHANTS)


def new_merchant_bits(novelty: Novelty) -> float:
    """How rare a purchase at a merchant new to its card is, as information: ``-log2(share)`` bits."""
    purchases, new = novelty
    return -log2((new + NOVELTY_PRIOR * USUAL_NOVELTY) / (purchases + NOVELTY_PRIOR))


def places(card: "array[float]") -> tuple[Any, ...]:
    """The fields of a card's profile from ``PLACE_TIME`` to ``HOME_LONGITUDE``, all floats."""
    return _PLACES.unpack_from(card, _PLACES_AT)


def update_place(card: "array[float]", time_s: float, latitude: float, longitude: float) -> None:
    """Move a card to where it was last seen, and let its usual place follow slowly."""
    seen_at, last_latitude, last_longitude, count, home_latitude, home_longitude = places(card)
    if time_s >= seen_at:
        seen_at, last_latitude, last_longitude = time_s, latitude, longitude
    weight = _weight_of_next(count)
    _PLACES.pack_into(
        card,
        _PLACES_AT,
        seen_at,
        last_latitude,
        last_longitude,
        count + 1.0,
        home_latitude + weight * (latitude - home_latitude),
        home_longitude + weight * (longitude - home_longitude),
    )


def merchant_after(merchant: Merchant, amount: float, time_s: float, ratio: float) -> Merchant:
    """A merchant's profile after one more transaction; ``ratio`` is as in ``card_after``."""
    count, mean, last_time, recent, suspicious = merchant
    if not count:
        last_time = time_s
    elif time_s > last_time:
        decay = exp((last_time - time_s) / MERCHANT_DECAY_S)
        recent *= decay
        suspicious *= decay
        last_time = time_s
    if ratio > SUSPICIOUS_RATIO:
        suspicious += 1.0
    mean += _weight_of_next(count) * (_winsorised(amount, mean, count) - mean)
    return count + 1.0, mean, last_time, recent + 1.0, suspicious


def category_after(category: Category, log_amount: float) -> Category:
    """A category's profile after one more ``log(1 + amount)`` (West, 1979, with a floor on the weight)."""
    count, mean, variance = category
    weight = 1.0 / (count + 1.0) if count < 999.0 else 0.001
    deviation = log_amount - mean
    return count + 1.0, mean + weight * deviation, (1.0 - weight) * (variance + weight * deviation * deviation)


def category_deviation(category: Category, log_amount: float) -> float:
    """Standard deviations that ``log(1 + amount)`` is above its category's mean; 0 below it."""
    count, mean, variance = category
    if log_amount <= mean or count < 30.0:
        return 0.0
    return (log_amount - mean) / max(sqrt(variance), 0.2)


def category_dearness(category: Category, all_amounts: Category) -> float:
    """How many times the usual amount a category's is, by geometric means; 1 while too few amounts are known."""
    if category[0] < 30.0:
        return 1.0
    return exp(category[1] - all_amounts[1])
