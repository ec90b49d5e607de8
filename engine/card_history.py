"""What the ranker sees of a card's own past beyond its profile: the last amounts, and how often they were unusual."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from math import exp, log, nan
from typing import Final, NamedTuple

from engine.features import FEATURE_NAMES, MICROSECONDS, SMALLEST_AMOUNT, Event
from engine.profiles import DAY_S, SLOWEST_LEARNING, WINSOR_MULTIPLE

AMOUNTS_KEPT: Final = 50
AMOUNTS_TO_JUDGE: Final = 5
UNUSUAL_RATIO: Final = 2.0
FAR_RATIO: Final = 3.0
UNUSUAL_KEPT: Final = 32

AMOUNT_STEPS: Final = 24
HIGHEST_AMOUNT_STEP: Final = 10.5
RATIO_STEPS: Final = 30
HIGHEST_RATIO_STEP: Final = 4.0
"""Steps to a unit of a natural logarithm, and where they end. Boosting on histograms cuts a feature with more than 255
values at its quantiles, so that the highest 0.4 %, where the fraud is, would look alike; with fewer values, it does
not."""

HISTORY_FEATURE_NAMES: Final = (
    "amount_step",
    "amount_rank",
    "amount_over_median",
    "amount_over_highest",
    "ratio_max_7d",
    "ratio_max_14d",
    "unusual_7d",
    "unusual_14d",
    "far_14d",
    "days_since_unusual",
    "days_since_far",
    "merchant_mean",
)
"""The amount is the logarithm of one more. The rank is the share of the card's last 50 amounts that are lower. Ratios
are logarithms of an amount over the median of those 50 before it; unusual is a ratio of 2 and more, far of 3 and more.
Days are NaN without one. The merchant's mean is the logarithm of its winsorised mean amount."""

_RATIO_TO_MEAN: Final = FEATURE_NAMES.index("amount_over_mean")


class CardHistory(NamedTuple):
    """The history features of a transaction, and its amount over the card's usual one (not a logarithm)."""

    features: tuple[float, ...]
    ratio: float


class _Card:
    __slots__ = ("amounts", "next", "ratios", "times")

    def __init__(self) -> None:
        self.amounts = array("d")
        self.next = 0
        self.times = array("d")
        self.ratios = array("d")


class HistoryState:
    """The last amounts of each card and the mean amount of each merchant, bounded for each."""

    def __init__(self) -> None:
        self._cards: dict[str, _Card] = {}
        self._merchants: dict[str, tuple[float, float]] = {}

    def observe(self, event: Event, features: Sequence[float]) -> CardHistory:
        """The history of an event's card, from what came before it; then learn from it.

        ``features`` are the event's own, in the order of ``FEATURES``.
        """
        now = event.time / MICROSECONDS
        card = self._cards.get(event.card_id)
        if card is None:
            card = self._cards[event.card_id] = _Card()
        amounts = sorted(card.amounts)
        count = len(amounts)
        if count >= AMOUNTS_TO_JUDGE:
            ratio = event.amount / max(amounts[count // 2], SMALLEST_AMOUNT)
            rank = bisect_left(amounts, event.amount) / count
            over_highest = log(max(event.amount, SMALLEST_AMOUNT) / max(amounts[-1], SMALLEST_AMOUNT))
        else:
            ratio, rank, over_highest = exp(features[_RATIO_TO_MEAN]), nan, nan
        merchant_mean = self._merchant_mean(event)
        row = (
            _step(min(log(1.0 + event.amount), HIGHEST_AMOUNT_STEP), AMOUNT_STEPS),
            rank,
            _step(max(-HIGHEST_RATIO_STEP, min(log(max(ratio, 0.01)), HIGHEST_RATIO_STEP)), RATIO_STEPS),
            over_highest,
            *_unusual(card, now),
            merchant_mean,
        )
        _remember(card, event.amount, ratio, now)
        return CardHistory(row, ratio)

    def _merchant_mean(self, event: Event) -> float:
        if event.merchant is None:
            return nan
        count, mean = self._merchants.get(event.merchant, (0.0, 0.0))
        clipped = min(event.amount, WINSOR_MULTIPLE * mean) if count >= 3.0 and mean > 0.0 else event.amount
        weight = max(1.0 / (count + 1.0), SLOWEST_LEARNING)
        self._merchants[event.merchant] = (count + 1.0, mean + weight * (clipped - mean))
        return log(max(mean, SMALLEST_AMOUNT)) if count else nan


def _step(value: float, steps: int) -> float:
    return round(value * steps) / steps


def _unusual(card: _Card, now: float) -> tuple[float, ...]:
    """Highest ratios, counts and days since, of the unusual amounts in memory."""
    times, ratios = card.times, card.ratios
    fortnight = bisect_left(times, now - 14 * DAY_S)
    if fortnight == len(times):
        since_far = _days_since_far(card, now)
        return 0.0, 0.0, 0.0, 0.0, 0.0, (now - times[-1]) / DAY_S if times else nan, since_far
    week = bisect_left(times, now - 7 * DAY_S)
    return (
        log(max(ratios[week:])) if week < len(times) else 0.0,
        log(max(ratios[fortnight:])),
        float(len(times) - week),
        float(len(times) - fortnight),
        float(sum(ratio >= FAR_RATIO for ratio in ratios[fortnight:])),
        (now - times[-1]) / DAY_S,
        _days_since_far(card, now),
    )


def _days_since_far(card: _Card, now: float) -> float:
    for index in range(len(card.times) - 1, -1, -1):
        if card.ratios[index] >= FAR_RATIO:
            return (now - card.times[index]) / DAY_S
    return nan


def _remember(card: _Card, amount: float, ratio: float, now: float) -> None:
    if len(card.amounts) < AMOUNTS_KEPT:
        card.amounts.append(amount)
    else:
        card.amounts[card.next] = amount
        card.next = (card.next + 1) % AMOUNTS_KEPT
    if ratio < UNUSUAL_RATIO:
        return
    # An event that comes a little late is taken for as old as the one before it, so that the times stay in order.
    card.times.append(max(now, card.times[-1]) if card.times else now)
    card.ratios.append(ratio)
    if len(card.times) > UNUSUAL_KEPT:
        del card.times[0], card.ratios[0]
