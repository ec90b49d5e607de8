"""How well scores rank fraud: over all rows, by card, and within what analysts can look at in a day.

The definitions are those of Le Borgne, Siblini, Lebichot and Bontempi, "Reproducible Machine Learning for Credit Card
Fraud Detection" (2022), chapter 4, so that figures can be set beside its tables.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """Transactions in order of arrival, with what turned out to be true of them; (rows,) each.

    Attributes:
        fraud: the ground truth.
        amount: in currency units, not negative.
        day: the day of event time, counted from any day.
        card: a number for each card.
    """

    fraud: NDArray[np.bool_]
    amount: NDArray[np.float64]
    day: NDArray[np.int64]
    card: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.fraud)

    def take(self, rows: NDArray[np.bool_]) -> "LabelledRows":
        """The rows of a mask, in the same order."""
        return LabelledRows(self.fraud[rows], self.amount[rows], self.day[rows], self.card[rows])


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """What comes of reviewing, on each day, the transactions with the highest scores and no others.

    Each is None where there is nothing to take a share of.

    Attributes:
        precision: of the transactions reviewed, the share that is fraud.
        recall: of all frauds, the share that is reviewed.
        value_caught: of the money in all frauds, the share that is in those reviewed.
    """

    precision: float | None
    recall: float | None
    value_caught: float | None


def auc_roc(fraud: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """The area under the ROC curve, as scikit-learn's ``roc_auc_score``; None where all rows are of one kind."""
    if fraud.all() or not fraud.any():
        return None
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - takes a second to load, and only an evaluation needs it

    return float(roc_auc_score(fraud, scores))


def average_precision(fraud: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """The mean precision over the recall gained, as scikit-learn's ``average_precision_score``; None without fraud."""
    if not fraud.any():
        return None
    from sklearn.metrics import average_precision_score  # noqa: PLC0415 - as above

    return float(average_precision_score(fraud, scores))


def card_precision(rows: LabelledRows, scores: NDArray[np.float64], k: int) -> float | None:
    """Card precision@k: of the k cards with the highest maximum score of a day, the share with fraud on that day.

    A card that was among the k and had fraud on an earlier day is caught, and left out from then on. A day with fewer
    than k cards is divided by k all the same. Of equal scores, the lower card number comes first.

    Returns:
        The mean over the days that have rows; None without rows.
    """
    if not len(rows):
        return None
    caught = np.zeros(int(rows.card.max()) + 1, dtype=np.bool_)
    precisions = []
    for day in np.unique(rows.day):
        chosen = (rows.day == day) & ~caught[rows.card]
        cards, position = np.unique(rows.card[chosen], return_inverse=True)
        highest = np.full(len(cards), -np.inf)
        np.maximum.at(highest, position, scores[chosen])
        has_fraud = np.zeros(len(cards), dtype=np.bool_)
        np.logical_or.at(has_fraud, position, rows.fraud[chosen])
        top = np.argsort(-highest, kind="stable")[:k]
        found = cards[top[has_fraud[top]]]
        caught[found] = True
        precisions.append(len(found) / k)
    return float(np.mean(precisions))


def at_daily_budget(rows: LabelledRows, scores: NDArray[np.float64], budget: int) -> BudgetFigures:
    """What is found by reviewing the ``budget`` transactions of each day with the highest scores.

    Of equal scores, the earlier transaction comes first.
    """
    reviewed = np.zeros(len(rows), dtype=np.bool_)
    for day in np.unique(rows.day):
        of_day = np.flatnonzero(rows.day == day)
        reviewed[of_day[np.argsort(-scores[of_day], kind="stable")[:budget]]] = True
    found = reviewed & rows.fraud
    return BudgetFigures(
        precision=_share(found.sum(), reviewed.sum()),
        recall=_share(found.sum(), rows.fraud.sum()),
        value_caught=_share(rows.amount[found].sum(), rows.amount[rows.fraud].sum()),
    )


def _share(part: np.number[Any], whole: np.number[Any]) -> float | None:
    return float(part) / float(whole) if whole else None
