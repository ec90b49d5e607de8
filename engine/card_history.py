"""What the ranker sees of a card's own past beyond its profile: the last amounts, and how often they were unusual."""

from array import array
from bisect import bisect_left, insort
from collections.abc import Sequence
from math import ceil, log, nan
from typing import Final, NamedTuple

from engine import history_memory
from engine.features import MICROSECONDS, SMALLEST_AMOUNT, Event, amount_ratio
from engine.history_memory import NOTHING_YET, CardMemory, HistoryMemory
from engine.profiles import DAY_S, SLOWEST_LEARNING, WINSOR_MULTIPLE

AMOUNTS_KEPT: Final = 50
AMOUNTS_TO_JUDGE: Final = 5
UNUSUAL_RATIO: Final = 2.0
FAR_RATIO: Final = 3.0
UNUSUAL_KEPT: Final = 16

_MOST_CENTS: Final = 2**32 - 1
_RATIO_BITS: Final = 26
_RATIO_UNIT: Final = 1_024
_HIGHEST_RATIO: Final = 2**_RATIO_BITS - 1
_FAR: Final = int(FAR_RATIO * _RATIO_UNIT)
"""An unusual amount is packed in one integer: seconds since the epoch, then its ratio in parts of 1,024. Cents above
four bytes are taken for the most that four bytes hold."""

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
Days are NaN without one in memory. The merchant's mean is the logarithm of its winsorised mean amount."""


class CardHistory(NamedTuple):
    """What was remembered of one card and one merchant before an event; empty where nothing was.

    ``cents`` and ``unusual`` are the bytes of what a ``CardMemory`` holds, ``next`` is the oldest of the cents;
    ``merchant`` is the number of its transactions and their mean amount.
    """

    cents: bytes
    next: int
    unusual: bytes
    merchant: tuple[float, float]


class HistoryState:
    """The last amounts of each card and the mean amount of each merchant, bounded for each."""

    def __init__(self) -> None:
        self._memory = HistoryMemory()

    def observe(self, event: Event, features: Sequence[float]) -> tuple[float, ...]:
        """The history features of an event, from what came before it; then learn from it.

        ``features`` are the engine's of the event, in the order of ``FEATURES``.
        """
        now = event.time / MICROSECONDS
        card = CardMemory.of_packed(self._memory.cards.get(event.card_id, NOTHING_YET))
        cents = min(round(100.0 * event.amount), _MOST_CENTS)
        amounts = sorted(array("I", card.cents))
        count = len(amounts)
        if count >= AMOUNTS_TO_JUDGE:
            ratio = cents / max(amounts[count // 2], 1)
            rank = bisect_left(amounts, cents) / count
            over_highest = log(max(cents, 1) / max(amounts[-1], 1))
        else:
            ratio, rank, over_highest = amount_ratio(features), nan, nan
        merchant_mean = self._merchant_mean(event)
        row = (
            _step(min(log(1.0 + event.amount), HIGHEST_AMOUNT_STEP), AMOUNT_STEPS),
            rank,
            _step(max(-HIGHEST_RATIO_STEP, min(log(max(ratio, 0.01)), HIGHEST_RATIO_STEP)), RATIO_STEPS),
            over_highest,
            *_unusual(card.unusual, now),
            merchant_mean,
        )
        self._memory.cards[event.card_id] = _with(card, cents, ratio, int(now)).packed()
        return row

    def remembered(self, event: Event) -> CardHistory:
        """A copy of all that bears on the history features of an event."""
        merchant = _UNKNOWN_MERCHANT
        if event.merchant is not None:
            merchant = self._memory.merchants.get(event.merchant, _UNKNOWN_MERCHANT)
        card = CardMemory.of_packed(self._memory.cards.get(event.card_id, NOTHING_YET))
        return CardHistory(*card, merchant)

    def restore(self, event: Event, history: CardHistory) -> None:
        """Remember of the card and the merchant of an event what ``remembered`` told."""
        self._memory.cards[event.card_id] = CardMemory(history.cents, history.next, history.unusual).packed()
        if event.merchant is not None:
            self._memory.merchants[event.merchant] = history.merchant

    def _merchant_mean(self, event: Event) -> float:
        if event.merchant is None:
            return nan
        count, mean = self._memory.merchants.get(event.merchant, _UNKNOWN_MERCHANT)
        clipped = min(event.amount, WINSOR_MULTIPLE * mean) if count >= 3.0 and mean > 0.0 else event.amount
        weight = max(1.0 / (count + 1.0), SLOWEST_LEARNING)
        self._memory.merchants[event.merchant] = (count + 1.0, mean + weight * (clipped - mean))
        return log(max(mean, SMALLEST_AMOUNT)) if count else nan

    def dump(self) -> bytes:
        """All that is remembered; the same memory gives the same bytes."""
        return history_memory.dump(self._memory)

    def load(self, data: bytes) -> None:
        """Take over what another state remembered.

        Raises:
            CheckpointError: it is damaged or of another version; this state is unchanged.
        """
        self._memory = history_memory.load(data)


_UNKNOWN_MERCHANT: Final = (0.0, 0.0)


def _step(value: float, steps: int) -> float:
    return round(value * steps) / steps


def _unusual(memory: bytes, now: float) -> tuple[float, ...]:
    """Highest ratios, counts and days since, of the unusual amounts in memory."""
    if not memory:
        return _NOTHING_UNUSUAL
    packed = array("Q", memory)
    count = len(packed)
    fortnight = _first_since(packed, now - 14 * DAY_S)
    since = _days_since(packed[-1], now)
    since_far = _days_since_far(packed, now)
    if fortnight == count:
        return 0.0, 0.0, 0.0, 0.0, 0.0, since, since_far
    week = _first_since(packed, now - 7 * DAY_S)
    ratios = [each & _HIGHEST_RATIO for each in packed[fortnight:]]
    return (
        log(max(ratios[week - fortnight :]) / _RATIO_UNIT) if week < count else 0.0,
        log(max(ratios) / _RATIO_UNIT),
        float(count - week),
        float(count - fortnight),
        float(sum(each >= _FAR for each in ratios)),
        since,
        since_far,
    )


_NOTHING_UNUSUAL: Final = (0.0, 0.0, 0.0, 0.0, 0.0, nan, nan)


def _days_since(packed: int, now: float) -> float:
    return (now - (packed >> _RATIO_BITS)) / DAY_S


def _first_since(packed: "array[int]", time_s: float) -> int:
    return bisect_left(packed, max(0, ceil(time_s)) << _RATIO_BITS)


def _days_since_far(packed: "array[int]", now: float) -> float:
    for each in reversed(packed):
        if each & _HIGHEST_RATIO >= _FAR:
            return _days_since(each, now)
    return nan


def _with(card: CardMemory, cents: int, ratio: float, time_s: int) -> CardMemory:
    """A card's memory after one more amount."""
    amounts, oldest = array("I", card.cents), card.next
    if len(amounts) < AMOUNTS_KEPT:
        amounts.append(cents)
    else:
        amounts[oldest] = cents
        oldest = (oldest + 1) % AMOUNTS_KEPT
    if ratio < UNUSUAL_RATIO:
        return CardMemory(amounts.tobytes(), oldest, card.unusual)
    unusual = array("Q", card.unusual)
    insort(unusual, time_s << _RATIO_BITS | min(int(ratio * _RATIO_UNIT), _HIGHEST_RATIO))
    return CardMemory(amounts.tobytes(), oldest, unusual[-UNUSUAL_KEPT:].tobytes())
