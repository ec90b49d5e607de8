"""Champion and challenger on the same transactions: what each was worth, and on which of them they differ."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data.model_registry import RegisteredModel
from engine.backtest_figures import figures
from engine.metrics import LabelledRows

BUDGET: Final = 100
"""Transactions that analysts can review in a day, for the figures at a budget."""
CALIBRATION_BINS: Final = 10
NO_TRIAL: Final = "{}"
"""The figures of a model that could not be tried."""
FIGURE_TITLES: Final = {
    "auc_roc": "AUC ROC",
    "average_precision": "average precision",
    "card_precision_at_100": "card precision@100",
    "precision_at_budget": f"precision at {BUDGET} a day",
    "recall_at_budget": f"recall at {BUDGET} a day",
    "value_caught": "share of money caught",
    "alerts_per_day": "alerts a day",
    "calibration_error": "calibration error",
    "brier": "Brier score",
}
"""The figures of a side in the order in which they are shown, and what each is called."""


class SideFigures(BaseModel):
    """What one model was worth; None where there is nothing to take a share of.

    ``calibration_error`` is the expected calibration error (Naeini, Cooper and Hauskrecht, 2015) over ten bins of equal
    width: how far scores are from the share of fraud among those that have them. ``brier`` is the mean squared
    difference of score and outcome. ``calibration`` has for each bin with a score its mean score, its share of fraud
    and its transactions.
    """

    model_config = ConfigDict(frozen=True)

    auc_roc: float | None
    average_precision: float | None
    card_precision_at_100: float | None
    precision_at_budget: float | None
    recall_at_budget: float | None
    value_caught: float | None
    alerts_per_day: float
    brier: float
    calibration_error: float
    calibration: tuple[tuple[float, float, int], ...]

    def figure(self, name: str) -> float | None:
        """One of ``FIGURE_TITLES`` by its name."""
        value: float | None = getattr(self, name)
        return value


class Flips(BaseModel):
    """Transactions that one of the two alerts alone, and how many of them are fraud."""

    model_config = ConfigDict(frozen=True)

    champion_only: int
    champion_only_frauds: int
    challenger_only: int
    challenger_only_frauds: int


class Comparison(BaseModel):
    """Both models on the days from ``first`` to ``last`` (microseconds of event time, both included)."""

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    days: int
    rows: int
    frauds: int
    champion: SideFigures
    challenger: SideFigures
    flips: Flips


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One model's scores, and which of the transactions it alerts; (rows,) each."""

    scores: NDArray[np.float64]
    alerted: NDArray[np.bool_]


def trial_of(model: RegisteredModel) -> Comparison | None:
    """What a training found on the latest days, beside what was decided at the time; None where it could not."""
    return None if model.figures == NO_TRIAL else Comparison.model_validate_json(model.figures)


def compare(rows: LabelledRows, times: NDArray[np.int64], champion: Side, challenger: Side) -> Comparison:
    """Judge two models by the outcome of the same transactions; ``times`` is (rows,), in microseconds.

    Raises:
        ValueError: there are no rows.
    """
    if not len(rows):
        raise ValueError("there is nothing to compare on")
    only_champion = champion.alerted & ~challenger.alerted
    only_challenger = challenger.alerted & ~champion.alerted
    return Comparison(
        first=int(times.min()),
        last=int(times.max()),
        days=len(np.unique(rows.day)),
        rows=len(rows),
        frauds=int(rows.fraud.sum()),
        champion=_side(rows, champion),
        challenger=_side(rows, challenger),
        flips=Flips(
            champion_only=int(only_champion.sum()),
            champion_only_frauds=int((only_champion & rows.fraud).sum()),
            challenger_only=int(only_challenger.sum()),
            challenger_only_frauds=int((only_challenger & rows.fraud).sum()),
        ),
    )


def _side(rows: LabelledRows, side: Side) -> SideFigures:
    found = figures(rows, side.scores, side.alerted, BUDGET)
    bins = _calibration(rows.fraud, side.scores)
    return SideFigures(
        auc_roc=found.auc_roc,
        average_precision=found.average_precision,
        card_precision_at_100=found.card_precision_at_100,
        precision_at_budget=found.precision_at_budget,
        recall_at_budget=found.recall_at_budget,
        value_caught=found.value_caught,
        alerts_per_day=found.alerts_per_day,
        brier=float(np.mean((side.scores - rows.fraud) ** 2)),
        calibration_error=sum(abs(score - share) * count for score, share, count in bins) / len(rows),
        calibration=bins,
    )


def _calibration(fraud: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[tuple[float, float, int], ...]:
    places = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    return tuple(
        (float(scores[chosen].mean()), float(fraud[chosen].mean()), int(chosen.sum()))
        for chosen in (places == number for number in range(CALIBRATION_BINS))
        if chosen.any()
    )
