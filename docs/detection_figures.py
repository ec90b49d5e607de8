"""What the scores of a test week were worth: ranking, money within a budget of reviews, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from detection_rows import HandbookRows
from detection_systems import Scores, System, Week
from handbook_baseline import DAY_US, DELAY_DAYS
from numpy.typing import NDArray

from engine.metrics import LabelledRows, auc_roc, average_precision, card_precision

CARDS_A_DAY: Final = 100
BUDGETS: Final = (20, 50, 100)
"""Transactions that are reviewed in a day."""
RESAMPLES: Final = 200
SEED: Final = 11
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AtBudget:
    """What the reviews of a week found, at one budget.

    Attributes:
        precision: of the transactions reviewed, the share that is fraud.
        recall: of the frauds, the share reviewed.
        value_caught: of the money in frauds, the share in those reviewed.
        net: money in the frauds reviewed minus the cost of all reviews, in currency units a day.
        first_recall: of the frauds that begin a burst, the share reviewed.
    """

    precision: float
    recall: float
    value_caught: float
    net: float
    first_recall: float


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one system in one test week; ``budgets`` in the order of ``BUDGETS``."""

    auc: float
    average_precision: float
    card_precision: float
    budgets: tuple[AtBudget, ...]


def first_of_burst(rows: HandbookRows) -> NDArray[np.bool_]:
    """The frauds without another on the same card in the seven days before, (rows,).

    A later one is easier to find: its card is in an analyst's hands. No label of the first is known in these days.
    """
    payments = rows.payments
    frauds = np.flatnonzero(rows.fraud)
    of_card = frauds[np.lexsort((payments.time[frauds], payments.card[frauds]))]
    same = np.diff(payments.card[of_card], prepend=-1) == 0
    soon = np.diff(payments.time[of_card], prepend=0) <= DELAY_DAYS * DAY_US
    first = np.zeros(len(rows), dtype=np.bool_)
    first[of_card[~(same & soon)]] = True
    return first


def figures_of(
    rows: LabelledRows, first: NDArray[np.bool_], scores: Scores, review_cost: float
) -> dict[System, Figures]:
    """The figures of each system; ``rows``, ``first`` and the scores are of the same test week.

    The perfect ranking puts the largest frauds first, and for the recall of the first frauds of bursts, these.
    """
    result = {}
    for system, ranking in scores.items():
        firsts_ranking = first.astype(np.float64) if system is System.PERFECT else ranking
        result[system] = Figures(
            auc=auc_roc(rows.fraud, ranking) or 0.0,
            average_precision=average_precision(rows.fraud, ranking) or 0.0,
            card_precision=card_precision(rows, ranking, CARDS_A_DAY) or 0.0,
            budgets=tuple(_at_budget(rows, first, ranking, firsts_ranking, budget, review_cost) for budget in BUDGETS),
        )
    return result


def _at_budget(
    rows: LabelledRows,
    first: NDArray[np.bool_],
    ranking: NDArray[np.float64],
    firsts_ranking: NDArray[np.float64],
    budget: int,
    review_cost: float,
) -> AtBudget:
    reviewed = _reviewed(rows.day, ranking, budget)
    found = reviewed & rows.fraud
    days = len(np.unique(rows.day))
    caught = float(rows.amount[found].sum())
    return AtBudget(
        precision=found.sum() / reviewed.sum(),
        recall=found.sum() / rows.fraud.sum(),
        value_caught=caught / float(rows.amount[rows.fraud].sum()),
        net=(caught - review_cost * float(reviewed.sum())) / days,
        first_recall=(_reviewed(rows.day, firsts_ranking, budget) & first).sum() / max(1, first.sum()),
    )


def _reviewed(day: NDArray[np.int64], scores: NDArray[np.float64], budget: int) -> NDArray[np.bool_]:
    """The highest scores of each day; of equal ones the earlier, as in the engine's own measure."""
    reviewed = np.zeros(len(day), dtype=np.bool_)
    for each in np.unique(day):
        of_day = np.flatnonzero(day == each)
        reviewed[of_day[np.argsort(-scores[of_day], kind="stable")[:budget]]] = True
    return reviewed


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Average precision, mean of the weeks, in samples of the cards: (resamples,) for each system."""

    samples: Mapping[System, NDArray[np.float64]]

    def interval(self, system: System) -> Interval:
        """95 % of the samples lie in it."""
        return _interval(self.samples[system])

    def lead(self, system: System, over: System) -> Interval:
        """95 % interval of the difference of two systems in the same samples."""
        return _interval(self.samples[system] - self.samples[over])


def bootstrap(rows: HandbookRows, runs: Sequence[Week], scores: Sequence[Scores]) -> Bootstrap:
    """Draw the cards anew, with replacement, the same for all weeks and systems (Efron's percentile interval)."""
    cards = len(rows.cards)
    rng = np.random.default_rng(SEED)
    drawn = [np.bincount(rng.integers(cards, size=cards), minlength=cards) for _ in range(RESAMPLES)]
    total = {system: np.zeros(RESAMPLES) for system in System}
    for run, of_run in zip(runs, scores, strict=True):
        test = run.tests(rows)
        card, fraud = rows.payments.card[test], rows.fraud[test]
        for system, ranking in of_run.items():
            weighted = WeightedPrecision(fraud, ranking)
            total[system] += [weighted.average(weights[card]) for weights in drawn]
    return Bootstrap({system: values / len(runs) for system, values in total.items()})


class WeightedPrecision:
    """Average precision of one ranking under many weights of its rows; as scikit-learn's with ``sample_weight``."""

    def __init__(self, fraud: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._fraud = fraud[self._order]
        in_order = scores[self._order]
        self._last_of_equal = np.append(np.flatnonzero(np.diff(in_order)), len(scores) - 1)

    def average(self, weights: NDArray[np.int64]) -> float:
        """For (rows,) weights; 0 where no fraud has any."""
        ordered = weights[self._order]
        found = np.cumsum(ordered * self._fraud)[self._last_of_equal]
        if not found[-1]:
            return 0.0
        reviewed = np.maximum(np.cumsum(ordered)[self._last_of_equal], 1)
        return float((np.diff(found, prepend=0) * found / reviewed).sum() / found[-1])


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
