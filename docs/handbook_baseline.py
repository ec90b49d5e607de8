"""The published baseline: the handbook's fifteen features of a transaction, and its tuned random forest on them.

Le Borgne, Siblini, Lebichot and Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection" (2022):
chapter 3, "Baseline feature transformation", and chapter 5, "Model selection".
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
WINDOWS_DAYS: Final = (1, 7, 30)
DELAY_DAYS: Final = 7
LAST_HOUR_OF_NIGHT: Final = 6
FIRST_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday, counted from Monday."""

TREES: Final = 100
DEPTH: Final = 20
"""What the handbook's grid search chose, on all three of its measures."""
SEED: Final = 0


@dataclass(frozen=True, slots=True, eq=False)
class Payments:
    """What the baseline reads of transactions, in order of time; (rows,) each.

    Attributes:
        time: microseconds since the epoch, UTC.
        card: a number for each card, from 0.
        merchant: a number for each merchant, from 0.
        cents: the amount in minor units.
        fraud: the ground truth.
    """

    time: NDArray[np.int64]
    card: NDArray[np.int64]
    merchant: NDArray[np.int64]
    cents: NDArray[np.int64]
    fraud: NDArray[np.bool_]


def handbook_features(payments: Payments) -> NDArray[np.float64]:
    """The fifteen features, (rows, 15).

    They are the amount, whether it is the weekend, whether it is night; for the last 1, 7 and 30 days up to and with
    the transaction, the card's transactions and their mean amount; and for the 1, 7 and 30 days that ended 7 days
    before it, the merchant's transactions and the share of them that is fraud, 0 without any.
    """
    weekday = (payments.time // DAY_US + FIRST_WEEKDAY) % 7
    hour = payments.time // HOUR_US % 24
    columns = [payments.cents / 100, weekday >= 5, hour <= LAST_HOUR_OF_NIGHT]
    of_cards = _Histories(payments.time, payments.card)
    for days in WINDOWS_DAYS:
        columns += of_cards.spending(days, payments.cents)
    of_merchants = _Histories(payments.time, payments.merchant)
    for days in WINDOWS_DAYS:
        columns += of_merchants.risk(days, payments.fraud)
    return np.column_stack([column.astype(np.float64) for column in columns])


def forest_scores(
    features: NDArray[np.float64], fraud: NDArray[np.bool_], train: NDArray[np.bool_], test: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The probability of fraud that a forest trained on the rows of one mask gives to the rows of another."""
    forest = RandomForestClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=SEED, n_jobs=2)
    forest.fit(features[train], fraud[train])
    probability: NDArray[np.float64] = forest.predict_proba(features[test])[:, 1]
    return probability


class _Histories:
    """The transactions of each owner side by side in order of time, to sum over windows of time by subtraction."""

    def __init__(self, time: NDArray[np.int64], owner: NDArray[np.int64]) -> None:
        self._order = np.lexsort((np.arange(len(time)), time, owner))
        # Owners lie so far apart that no window of one reaches into another's transactions.
        apart = np.ptp(time) + (max(WINDOWS_DAYS) + DELAY_DAYS + 1) * DAY_US if len(time) else 0
        self._place = (owner * apart + time - time.min(initial=0))[self._order]

    def spending(self, days: int, cents: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        """Count and mean amount of the days up to each transaction, itself included but none after it."""
        start, end = self._since(days), np.arange(1, len(self._place) + 1)
        spent = _running(cents[self._order])
        count = end - start
        return [self._arrival(count), self._arrival((spent[end] - spent[start]) / 100 / count)]

    def risk(self, days: int, fraud: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
        """Count and share of fraud of the days before the delay before each transaction."""
        start, end = self._since(days + DELAY_DAYS), self._since(DELAY_DAYS)
        frauds = _running(fraud[self._order])
        count = end - start
        return [self._arrival(count), self._arrival((frauds[end] - frauds[start]) / np.maximum(count, 1))]

    def _since(self, days: int) -> NDArray[np.int64]:
        """For each transaction, the first of its owner's that is later than so many days before it."""
        first: NDArray[np.int64] = np.searchsorted(self._place, self._place - days * DAY_US, side="right")
        return first

    def _arrival(self, values: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Values in the order of the histories, put into the order of arrival."""
        arrived = np.empty(len(values))
        arrived[self._order] = values
        return arrived


def _running(values: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
    """Sums of the first 0, 1, 2, … values, exact in integers."""
    return np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
