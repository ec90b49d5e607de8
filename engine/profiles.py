"""What is known of a card, a merchant and a category: a fixed number of doubles each, updated in O(1).

Baselines are winsorised: an amount enters a mean clipped at ``WINSOR_MULTIPLE`` times the mean so far, so that a
burst of fraud cannot teach the engine that fraud is normal.
"""

from array import array
from math import exp, log, log2, sqrt
from typing import Final
from zlib import crc32

WINSOR_MULTIPLE: Final = 2.5
SLOWEST_LEARNING: Final = 0.02
"""The weight of one amount in a mean, once a profile has 50 of them."""
FAST_LEARNING: Final = 1.0 / SLOWEST_LEARNING

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
RATIO_BUCKET_S: Final = 7 * DAY_S
HOUR_BINS: Final = 8
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

MERCHANT_COUNT: Final = 0
MERCHANT_MEAN: Final = 1
MERCHANT_TIME: Final = 2
MERCHANT_RECENT: Final = 3
MERCHANT_SUSPICIOUS: Final = 4
MERCHANT_FIELDS: Final = 5
"""The layout of a merchant's profile; the last two decay with a time constant of three days."""

CATEGORY_COUNT: Final = 0
CATEGORY_MEAN: Final = 1
CATEGORY_VARIANCE: Final = 2
CATEGORY_FIELDS: Final = 3
"""The layout of a category's profile: mean and variance of the logarithm of the amount."""

NOVELTY_COUNT: Final = 0
NOVELTY_NEW: Final = 1
NOVELTY_FIELDS: Final = 2
"""The layout of what is known of novelty: purchases of well-known cards, and those of them at a merchant new to it."""
NOVELTY_PRIOR: Final = 100.0
USUAL_NOVELTY: Final = 0.25
"""Purchases that the share of those at new merchants is mixed with, and their share, until a source is known."""

EMPTY_CARD: Final = array("d", bytes(8 * CARD_FIELDS))
EMPTY_MERCHANT: Final = array("d", bytes(8 * MERCHANT_FIELDS))
EMPTY_CATEGORY: Final = array("d", bytes(8 * CATEGORY_FIELDS))
EMPTY_NOVELTY: Final = array("d", bytes(8 * NOVELTY_FIELDS))

SUSPICIOUS_RATIO: Final = 3.0
MERCHANT_DECAY_S: Final = 3 * DAY_S


def hour_bin(time_s: float) -> int:
    """Which of the eight three-hour bins of the UTC day a time is in."""
    return int(time_s % DAY_S // (DAY_S / HOUR_BINS))


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


def recent_merchants(card: "array[float]") -> "array[float]":
    """The numbers that stand for the last merchants that were new to a card; 0 where there were fewer."""
    return card[MERCHANTS:FIRST_TIME]


def update_card(card: "array[float]", amount: float, time_s: float, ratio: float, new_merchant: float) -> None:
    """Add one transaction to a card's profile; ``ratio`` is its amount over the baseline as it was before.

    ``new_merchant`` is a non-zero number that stands for the merchant, 0 when it is among the recent ones already or
    when there is none.
    """
    count = card[COUNT]
    elapsed = time_s - card[LAST_TIME] if count else 0.0
    if elapsed > 0.0:
        month = exp(-elapsed / (30 * DAY_S))
        card[COUNT_1H] *= exp(-elapsed / HOUR_S)
        card[SPEND_1D] *= exp(-elapsed / DAY_S)
        card[NEW_MERCHANTS_1H] *= exp(-elapsed / HOUR_S)
        card[NEW_MERCHANT_SPEND_6H] *= exp(-elapsed / (6 * HOUR_S))
        card[COUNT_30D] *= month
        card[SPEND_30D] *= month
    if not count:
        card[FIRST_TIME] = time_s
    if elapsed > 0.0 or not count:
        card[LAST_TIME] = time_s
    card[COUNT] = count + 1.0
    card[COUNT_1H] += 1.0
    card[SPEND_1D] += amount
    card[COUNT_30D] += 1.0
    card[SPEND_30D] += amount

    mean = card[MEAN]
    weight = _weight_of_next(count)
    deviation = _winsorised(amount, mean, count) - mean
    card[MEAN] = mean + weight * deviation
    card[VARIANCE] = (1.0 - weight) * (card[VARIANCE] + weight * deviation * deviation)

    _remember_ratio(card, time_s, ratio)
    card[HOUR_PROFILE + hour_bin(time_s)] += 1.0
    if new_merchant:
        remember_merchant(card, new_merchant)
        if count >= ACQUAINTED:
            card[NEW_MERCHANTS_1H] += 1.0
            card[NEW_MERCHANT_SPEND_6H] += ratio


def merchant_number(merchant: str) -> float:
    """The number that stands for a merchant in a card's profile; never 0."""
    return float(crc32(merchant.encode()) + 1)


def remember_merchant(card: "array[float]", merchant: float) -> None:
    """Put a merchant's number in the place of the one that was remembered first."""
    slot = int(card[MERCHANT_NEXT])
    card[MERCHANTS + slot] = merchant
    card[MERCHANT_NEXT] = float((slot + 1) % RECENT_MERCHANTS)


def new_merchant_bits(novelty: "array[float]") -> float:
    """How rare a purchase at a merchant new to its card is, as information: ``-log2(share)`` bits."""
    new = novelty[NOVELTY_NEW] + NOVELTY_PRIOR * USUAL_NOVELTY
    return -log2(new / (novelty[NOVELTY_COUNT] + NOVELTY_PRIOR))


def _remember_ratio(card: "array[float]", time_s: float, ratio: float) -> None:
    bucket = float(time_s // RATIO_BUCKET_S)
    current = card[RATIO_BUCKET]
    if bucket > current:
        card[RATIO_MAX_BEFORE] = card[RATIO_MAX] if bucket == current + 1.0 else 0.0
        card[RATIO_MAX] = 0.0
        card[RATIO_BUCKET] = bucket
    if bucket >= current and ratio > card[RATIO_MAX]:
        card[RATIO_MAX] = ratio


def highest_recent_ratio(card: "array[float]", time_s: float) -> float:
    """The card's highest ratio in the running and the previous seven days, before this transaction."""
    age = time_s // RATIO_BUCKET_S - card[RATIO_BUCKET]
    if age <= 0.0:
        return max(card[RATIO_MAX], card[RATIO_MAX_BEFORE])
    return card[RATIO_MAX] if age == 1.0 else 0.0


def update_place(card: "array[float]", time_s: float, latitude: float, longitude: float) -> None:
    """Move a card to where it was last seen, and let its usual place follow slowly."""
    if time_s >= card[PLACE_TIME]:
        card[PLACE_TIME] = time_s
        card[PLACE_LATITUDE] = latitude
        card[PLACE_LONGITUDE] = longitude
    count = card[HOME_COUNT]
    weight = _weight_of_next(count)
    card[HOME_COUNT] = count + 1.0
    card[HOME_LATITUDE] += weight * (latitude - card[HOME_LATITUDE])
    card[HOME_LONGITUDE] += weight * (longitude - card[HOME_LONGITUDE])


def update_merchant(merchant: "array[float]", amount: float, time_s: float, ratio: float) -> None:
    """Add one transaction to a merchant's profile; ``ratio`` is as in ``update_card``."""
    count = merchant[MERCHANT_COUNT]
    elapsed = time_s - merchant[MERCHANT_TIME] if count else 0.0
    if elapsed > 0.0:
        decay = exp(-elapsed / MERCHANT_DECAY_S)
        merchant[MERCHANT_RECENT] *= decay
        merchant[MERCHANT_SUSPICIOUS] *= decay
    if elapsed > 0.0 or not count:
        merchant[MERCHANT_TIME] = time_s
    mean = merchant[MERCHANT_MEAN]
    merchant[MERCHANT_COUNT] = count + 1.0
    merchant[MERCHANT_MEAN] = mean + _weight_of_next(count) * (_winsorised(amount, mean, count) - mean)
    merchant[MERCHANT_RECENT] += 1.0
    merchant[MERCHANT_SUSPICIOUS] += ratio > SUSPICIOUS_RATIO


def update_category(category: "array[float]", amount: float) -> None:
    """Add one amount to a category's logarithmic mean and variance (West, 1979, with a floor on the weight)."""
    count = category[CATEGORY_COUNT]
    weight = max(1.0 / (count + 1.0), 0.001)
    deviation = log(1.0 + amount) - category[CATEGORY_MEAN]
    category[CATEGORY_COUNT] = count + 1.0
    category[CATEGORY_MEAN] += weight * deviation
    category[CATEGORY_VARIANCE] = (1.0 - weight) * (category[CATEGORY_VARIANCE] + weight * deviation * deviation)


def category_deviation(category: "array[float]", amount: float) -> float:
    """Standard deviations of the logarithm of an amount above its category's mean; 0 below it."""
    if category[CATEGORY_COUNT] < 30.0:
        return 0.0
    deviation = log(1.0 + amount) - category[CATEGORY_MEAN]
    if deviation <= 0.0:
        return 0.0
    return deviation / max(sqrt(category[CATEGORY_VARIANCE]), 0.2)


def category_dearness(category: "array[float]", all_amounts: "array[float]") -> float:
    """How many times the usual amount a category's is, by geometric means; 1 while too few amounts are known."""
    if category[CATEGORY_COUNT] < 30.0:
        return 1.0
    return exp(category[CATEGORY_MEAN] - all_amounts[CATEGORY_MEAN])
