"""What known labels say about a merchant and a card: every label counts from the moment it was known, never before.

A merchant whose terminal is compromised has fraud on every card for weeks, whatever the amounts; a card that is
compromised has it at every merchant. Both show in labels, as late as labels arrive.
"""

from array import array
from bisect import bisect_left, bisect_right
from math import nan
from typing import Final, NamedTuple

from engine.features import MICROSECONDS
from engine.profiles import DAY_S

WINDOWS_DAYS: Final = (1, 7, 14, 28, 60)
MEMORY_S: Final = WINDOWS_DAYS[-1] * DAY_S
LABELS_KEPT: Final = 256
"""The most labels in memory of one merchant or card; of a busier one, the windows see only the latest."""
EXPLAINED_RATIO: Final = 2.5
"""An amount this many times the card's usual one accuses the card; fraud below it accuses the merchant."""

LABEL_FEATURE_NAMES: Final = (
    *(f"merchant_fraud_share_{days}d" for days in WINDOWS_DAYS),
    "merchant_frauds_28d",
    "merchant_unexplained_share_28d",
    "merchant_days_since_fraud",
    "merchant_days_since_first_fraud",
    "merchant_days_since_unexplained",
    "merchant_days_since_first_unexplained",
    "merchant_last_label",
    "merchant_last_3_labels",
    "merchant_last_5_labels",
    "card_frauds_14d",
    "card_days_since_fraud",
)
"""Shares and counts are of labels that became known in the window; days are since the event time of the fraud, and
NaN without one. The first is the first of the last 60 days. Last labels are the share of fraud, NaN without a label."""


class KnownLabel(NamedTuple):
    """The truth about one transaction. Times are microseconds since the epoch.

    ``ratio`` is the transaction's amount over the card's usual one, as it was before it.
    """

    known_at: int
    time: int
    card: str
    merchant: str | None
    fraud: bool
    ratio: float


class _Labels:
    """The labels of a merchant in the order they became known, with running counts to take windows from.

    ``times`` holds the event times of frauds, and ``unexplained_times`` of those that the amount does not explain, in
    order.
    """

    __slots__ = ("frauds", "known_at", "times", "unexplained", "unexplained_times")

    def __init__(self) -> None:
        self.known_at = array("d")
        self.frauds = array("q", [0])
        self.unexplained = array("q", [0])
        self.times = array("d")
        self.unexplained_times = array("d")

    def add(self, known_at_s: float, time_s: float, fraud: bool, unexplained: bool) -> None:
        self.known_at.append(known_at_s)
        self.frauds.append(self.frauds[-1] + fraud)
        self.unexplained.append(self.unexplained[-1] + unexplained)
        if fraud:
            _insert(self.times, time_s)
        if unexplained:
            _insert(self.unexplained_times, time_s)
        if len(self.known_at) >= 2 * LABELS_KEPT:
            self._forget(len(self.known_at) - LABELS_KEPT)

    def _forget(self, count: int) -> None:
        del self.known_at[:count]
        del self.frauds[:count]
        del self.unexplained[:count]
        for times in (self.times, self.unexplained_times):
            del times[: max(0, len(times) - LABELS_KEPT)]


def _insert(times: "array[float]", time_s: float) -> None:
    if not times or time_s >= times[-1]:
        times.append(time_s)
    else:
        times.insert(bisect_right(times, time_s), time_s)


_NO_FRAUD: Final = (0.0,) * 7 + (nan,) * 4
_NO_LABELS: Final = (*_NO_FRAUD, nan, nan, nan)
_UNKNOWN_CARD: Final = (0.0, nan)


class LabelState:
    """All labels that are known, by merchant and by card; bounded by ``LABELS_KEPT`` for each."""

    def __init__(self) -> None:
        self._merchants: dict[str, _Labels] = {}
        self._cards: dict[str, array[float]] = {}

    def learn(self, label: KnownLabel) -> None:
        """Take a label into account from now on; labels come in the order in which they become known."""
        time_s = label.time / MICROSECONDS
        if label.merchant is not None:
            labels = self._merchants.get(label.merchant)
            if labels is None:
                labels = self._merchants[label.merchant] = _Labels()
            unexplained = label.fraud and label.ratio < EXPLAINED_RATIO
            labels.add(label.known_at / MICROSECONDS, time_s, label.fraud, unexplained)
        if label.fraud:
            times = self._cards.setdefault(label.card, array("d"))
            _insert(times, time_s)
            del times[: max(0, len(times) - LABELS_KEPT)]

    def features(self, card: str, merchant: str | None, time: int) -> tuple[float, ...]:
        """The label features of a transaction at ``time``, in the order of ``LABEL_FEATURE_NAMES``."""
        now = time / MICROSECONDS
        labels = None if merchant is None else self._merchants.get(merchant)
        of_merchant = _NO_LABELS if labels is None else _merchant_features(labels, now)
        times = self._cards.get(card)
        if times is None:
            return (*of_merchant, *_UNKNOWN_CARD)
        recent = len(times) - bisect_left(times, now - 14 * DAY_S)
        return (*of_merchant, float(recent), (now - times[-1]) / DAY_S)


def _merchant_features(labels: _Labels, now: float) -> tuple[float, ...]:
    known_at, frauds = labels.known_at, labels.frauds
    count, total = len(known_at), frauds[-1]
    last = (
        float(total - frauds[-2]),
        (total - frauds[max(0, count - 3)]) / min(count, 3),
        (total - frauds[max(0, count - 5)]) / min(count, 5),
    )
    if not labels.times or labels.times[-1] < now - MEMORY_S:
        return (*_NO_FRAUD, *last)
    shares = []
    for days in WINDOWS_DAYS:
        start = bisect_left(known_at, now - days * DAY_S)
        shares.append((total - frauds[start]) / (count - start) if start < count else 0.0)
    month = bisect_left(known_at, now - 28 * DAY_S)
    unexplained = labels.unexplained
    unexplained_share = (unexplained[-1] - unexplained[month]) / (count - month) if month < count else 0.0
    return (
        *shares,
        float(total - frauds[month]),
        unexplained_share,
        *_ages(labels.times, now),
        *_ages(labels.unexplained_times, now),
        *last,
    )


def _ages(times: "array[float]", now: float) -> tuple[float, float]:
    """Days since the latest and the first of the times in memory; NaN where there is none."""
    first = bisect_left(times, now - MEMORY_S)
    if first == len(times):
        return nan, nan
    return (now - times[-1]) / DAY_S, (now - times[first]) / DAY_S
