"""What known frauds say about a merchant and a card: each counts from the moment it was known, never before.

A merchant whose terminal is compromised has fraud on every card for weeks, whatever the amounts; a card that is
compromised has it at every merchant. Both show in labels, as late as labels arrive.

A transaction that is older than the label delay and not known for fraud is honest, so that no honest label is kept:
the transactions of a merchant are counted by day, and its frauds are divided by them. That is the terminal risk of Le
Borgne, Siblini, Lebichot and Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection" (2022),
chapter 3.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate
from math import isfinite, nan
from typing import Final, NamedTuple

from engine import label_memory
from engine.features import Event
from engine.label_memory import HeldBack, LabelMemory

DAY_US: Final = 86_400_000_000
WINDOWS_DAYS: Final = (1, 7, 14, 28, 60)
LAST_OUTCOMES: Final = (1, 3, 5)
SPARE_DAYS: Final = 3
"""Days that a merchant's counts reach further back than the longest window does: its two ends cut through days, and an
event may come a little late."""
EXPLAINED_RATIO: Final = 2.5
"""An amount this many times the card's usual one accuses the card; fraud below it accuses the merchant."""

LABEL_FEATURE_NAMES: Final = (
    *(f"merchant_fraud_share_{days}d" for days in WINDOWS_DAYS),
    *(f"merchant_fraud_share_of_last_{count}" for count in LAST_OUTCOMES),
    "merchant_unexplained_share_28d",
    "merchant_frauds_28d",
    "merchant_early_frauds",
    "merchant_days_since_fraud",
    "merchant_days_since_first_fraud",
    "merchant_days_since_unexplained",
    "merchant_days_since_first_unexplained",
    "card_frauds_14d",
    "card_frauds_60d",
    "card_days_since_fraud",
    "card_days_since_first_fraud",
)
"""Shares are known frauds over transactions, in the days that end the label delay ago: since then, an outcome is open.
The share of the last few is that of the fewest whole days that hold so many. Early frauds are younger than the delay;
the other counts are of frauds known so far, in the days before the delay and since. Days since are NaN without a fraud
in memory; the first is the first in memory."""


class KnownFraud(NamedTuple):
    """A transaction that is known to be fraud. Times are microseconds since the epoch.

    ``ratio`` is the transaction's amount over the card's usual one, as it was before it.
    """

    known_at: int
    time: int
    card: str
    merchant: str | None
    ratio: float


class FraudShare(NamedTuple):
    """Known frauds of a window, and the transactions it holds where the days at its ends are taken to be even."""

    frauds: int
    transactions: float


class _Volume:
    """A merchant's transactions in the days up to a time; ``by_day`` are those of that day and the ones before."""

    def __init__(self, by_day: list[int], end: int) -> None:
        self._day, of_day = divmod(end, DAY_US)
        self._by_day = by_day
        self._totals = list(accumulate(by_day))
        self._rest_of_day = 1.0 - of_day / DAY_US
        self._not_yet = self._rest_of_day * by_day[0]

    def within(self, days: int) -> float:
        """The transactions of the last ``days`` times 24 hours."""
        return self._totals[days - 1] - self._not_yet + self._rest_of_day * self._by_day[days]

    def whole_days_with(self, count: int) -> tuple[int, float]:
        """The latest midnight since which there were ``count`` transactions or more, and how many there were."""
        days = min(bisect_left(self._totals, count + self._not_yet), len(self._totals) - 1)
        return (self._day - days) * DAY_US, self._totals[days] - self._not_yet


_NO_FRAUD: Final = (0.0,) * 11 + (nan,) * 4
_UNKNOWN_CARD: Final = (0.0, 0.0, nan, nan)
NO_KNOWN_FRAUD: Final = (*_NO_FRAUD, *_UNKNOWN_CARD)
"""The label features where no fraud is known of merchant and card."""
_NO_TIMES: Final = array("q")


class LabelState:
    """All frauds that are known, by merchant and by card, and the transactions of each merchant by UTC day.

    Memory is bounded by the merchants and the frauds of the last ``memory_days``. What is answered does not depend on
    the order in which frauds are told, as long as each is told once and before it is known.
    """

    def __init__(self, delay_us: int) -> None:
        """``delay_us`` is the time after which a transaction that is not known for fraud is taken for honest.

        Raises:
            ValueError: it is negative.
        """
        if delay_us < 0:
            raise ValueError(f"a label delay of {delay_us} microseconds is negative")
        self.delay_us = delay_us
        self.memory_days = WINDOWS_DAYS[-1] + -(-delay_us // DAY_US) + SPARE_DAYS
        self._memory_us = WINDOWS_DAYS[-1] * DAY_US + delay_us
        self._known = LabelMemory()
        self._empty = array("I", bytes(4 * (self.memory_days + 1)))

    @property
    def has_labels(self) -> bool:
        """Whether a fraud is known and still in memory."""
        return bool(self._known.cards)

    @property
    def holds_fraud(self) -> bool:
        """Whether a fraud is in memory, be it known already or held back."""
        return self.has_labels or bool(self._known.pending)

    def tell(self, fraud: KnownFraud) -> None:
        """Hold a fraud back until it is known; tell each once.

        Raises:
            ValueError: its ratio is not a number that an amount can have, or it is known before it happened.
        """
        if not isfinite(fraud.ratio) or fraud.ratio < 0.0:
            raise ValueError(f"a ratio of {fraud.ratio} is no amount over another")
        if fraud.known_at < fraud.time:
            raise ValueError("a fraud is known before it happened")
        heappush(self._known.pending, (fraud.known_at, fraud.time, fraud.card, fraud.merchant or "", fraud.ratio))

    def retract(self, fraud: KnownFraud) -> None:
        """Forget one fraud that was told before and turned out to be none; what is not in memory changes nothing.

        Of several that cannot be told apart, one is forgotten; ``known_at`` does not matter.
        """
        known = self._known
        told = (fraud.time, fraud.card, fraud.merchant or "", fraud.ratio)
        for index, each in enumerate(known.pending):
            if each[1:] == told:
                del known.pending[index]
                heapify(known.pending)
                return
        _forget(known.cards, fraud.card, fraud.time)
        if fraud.merchant:
            _forget(known.frauds, fraud.merchant, fraud.time)
            if fraud.ratio < EXPLAINED_RATIO:
                _forget(known.unexplained, fraud.merchant, fraud.time)

    def advance(self, time: int) -> None:
        """Take in what is known at ``time``, and forget what no window reaches any more."""
        pending = self._known.pending
        while pending and pending[0][0] <= time:
            self._learn(heappop(pending))
        if time // DAY_US > self._known.swept_day:
            self._known.swept_day = time // DAY_US
            self._sweep()

    def _learn(self, fraud: HeldBack) -> None:
        _, time, card, merchant, ratio = fraud
        known = self._known
        insort(known.cards.setdefault(card, array("q")), time)
        if not merchant:
            return
        insort(known.frauds.setdefault(merchant, array("q")), time)
        if ratio < EXPLAINED_RATIO:
            insort(known.unexplained.setdefault(merchant, array("q")), time)

    def _sweep(self) -> None:
        # A day more than any window reaches, because an event may be a little older than the newest.
        oldest = (self._known.swept_day - 1) * DAY_US - self._memory_us
        known = self._known
        for times_by_name in (known.frauds, known.unexplained, known.cards):
            for name in [name for name, times in times_by_name.items() if times[0] < oldest]:
                times = times_by_name[name]
                del times[: bisect_left(times, oldest)]
                if not times:
                    del times_by_name[name]
        oldest_day = self._known.swept_day - self.memory_days
        for merchant in [name for name, counts in known.counts.items() if counts[-1] < oldest_day]:
            del known.counts[merchant]

    def observe(self, event: Event) -> None:
        """Count a transaction of the event's merchant; after its features are taken, and in order of arrival."""
        merchant = event.merchant
        if merchant is None:
            return
        day = event.time // DAY_US
        counts = self._known.counts.get(merchant)
        if counts is None:
            counts = self._known.counts[merchant] = self._empty[:]
            counts[-1] = day
        if day != counts[-1]:
            if day <= counts[-1] - self.memory_days:
                return
            self._turn(counts, day)
        counts[day % self.memory_days] += 1

    def _turn(self, counts: "array[int]", day: int) -> None:
        """Make room for a day that is later than the latest; the last field of the counts is that day."""
        for skipped in range(max(counts[-1] + 1, day - self.memory_days + 1), day + 1):
            counts[skipped % self.memory_days] = 0
        counts[-1] = max(counts[-1], day)

    def features(self, card: str, merchant: str | None, time: int) -> tuple[float, ...]:
        """The label features of a transaction at ``time``, in the order of ``LABEL_FEATURE_NAMES``."""
        oldest = time - self._memory_us
        of_merchant: tuple[float, ...] = _NO_FRAUD
        of_card: tuple[float, ...] = _UNKNOWN_CARD
        frauds = None if merchant is None else self._known.frauds.get(merchant)
        if merchant is not None and frauds is not None and frauds[-1] > oldest:
            of_merchant = self._merchant_features(merchant, frauds, time)
        times = self._known.cards.get(card)
        if times is not None and times[-1] > oldest:
            end = time - self.delay_us
            of_card = (
                float(_since(times, end - 14 * DAY_US)),
                float(_since(times, oldest)),
                *_ages(times, oldest, time),
            )
        return (*of_merchant, *of_card)

    def _merchant_features(self, merchant: str, frauds: "array[int]", time: int) -> tuple[float, ...]:
        oldest, end = time - self._memory_us, time - self.delay_us
        decided = bisect_right(frauds, end)
        volume = self._volume(merchant, end)
        shares = [
            _share(decided - bisect_right(frauds, end - days * DAY_US), volume.within(days)) for days in WINDOWS_DAYS
        ]
        lasts = []
        for count in LAST_OUTCOMES:
            midnight, transactions = volume.whole_days_with(count)
            lasts.append(_share(decided - bisect_left(frauds, midnight, 0, decided), transactions))
        unexplained = self._known.unexplained.get(merchant, _NO_TIMES)
        month = end - 28 * DAY_US
        plain = bisect_right(unexplained, end) - bisect_right(unexplained, month)
        return (
            *shares,
            *lasts,
            _share(plain, volume.within(28)),
            float(_since(frauds, month)),
            float(len(frauds) - decided),
            *_ages(frauds, oldest, time),
            *_ages(unexplained, oldest, time),
        )

    def _volume(self, merchant: str, end: int) -> "_Volume":
        return _Volume(self._counts_back_from(merchant, end // DAY_US, WINDOWS_DAYS[-1] + 1), end)

    def unexplained_shares(self, merchant: str, time: int, windows_days: Sequence[int]) -> Iterator[FraudShare]:
        """For each window, the merchant's frauds that no amount explains, and its transactions.

        Windows end the label delay ago, up to where outcomes are decided; and at ``time``, for what is known early.
        """
        unexplained = self._known.unexplained.get(merchant)
        if unexplained is None:
            return
        for end in (time - self.delay_us, time):
            volume = self._volume(merchant, end)
            known = bisect_right(unexplained, end)
            for days in windows_days:
                yield FraudShare(known - bisect_right(unexplained, end - days * DAY_US), volume.within(days))

    def _counts_back_from(self, merchant: str, day: int, length: int) -> list[int]:
        """A merchant's transactions on a day and each of the days before it, (length,); 0 outside memory."""
        counts = self._known.counts.get(merchant)
        if counts is None:
            return [0] * length
        latest, ring = counts[-1], self.memory_days
        silent = max(0, day - latest)
        slot = min(day, latest) % ring
        in_order = [*counts[slot::-1], *counts[ring - 1 : slot : -1]]
        # Days after this one are in the ring too, where its oldest would be.
        in_order = in_order[: max(0, ring - max(0, latest - day))]
        return ([0] * min(silent, length) + in_order + [0] * length)[:length]

    def card_frauds(self, card: str, time: int, days: int) -> int:
        """Frauds known so far of a card in the last ``days`` and the label delay before ``time``."""
        return _since(self._known.cards.get(card, _NO_TIMES), time - self.delay_us - days * DAY_US)

    def dump(self) -> bytes:
        """All that is remembered; the same memory gives the same bytes, however it came to be."""
        return label_memory.dump(self._known, self.delay_us)

    def load(self, data: bytes) -> None:
        """Take over what another state of the same delay remembered.

        Raises:
            CheckpointError: it is damaged, of another version or of another delay; this state is unchanged.
        """
        self._known = label_memory.load(data, self.delay_us, len(self._empty))


def _forget(times_by_name: "dict[str, array[int]]", name: str, time: int) -> None:
    times = times_by_name.get(name)
    if times is None or time not in times:
        return
    times.remove(time)
    if not times:
        del times_by_name[name]


def _since(times: "array[int]", after: int) -> int:
    """How many are later than ``after``."""
    return len(times) - bisect_right(times, after)


def _share(frauds: int, transactions: float) -> float:
    """At most 1, although a day that is cut through is taken to be even."""
    return frauds / max(frauds, transactions) if frauds else 0.0


def _ages(times: "array[int]", oldest: int, time: int) -> tuple[float, float]:
    """Days since the latest and the first of the times in memory; NaN where there is none."""
    first = bisect_right(times, oldest)
    if first == len(times):
        return nan, nan
    return (time - times[-1]) / DAY_US, (time - times[first]) / DAY_US
