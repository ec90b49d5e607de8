"""What a score was worth: all figures of one score, and of one kind of fraud."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.metrics import LabelledRows, at_daily_budget, auc_roc, average_precision, card_precision

CARDS_A_DAY: Final = 100
"""The k of card precision@k, as in the published tables."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What one score was worth on the test rows; None where there is nothing to take a share of.

    ``alerts_per_day`` is what its own alert threshold would have raised, the other figures at the budget are not bound
    to a threshold. Card precision is at ``CARDS_A_DAY`` cards.
    """

    auc_roc: float | None
    average_precision: float | None
    card_precision_at_100: float | None
    precision_at_budget: float | None
    recall_at_budget: float | None
    value_caught: float | None
    alerts_per_day: float


@dataclass(frozen=True, slots=True)
class ScenarioFigures:
    """What the fused score was worth against one kind of fraud: among it and honest rows, and within the budget."""

    scenario: str
    frauds: int
    average_precision: float | None
    recall_at_budget: float | None
    value_caught: float | None


def figures(rows: LabelledRows, scores: NDArray[np.float64], alerted: NDArray[np.bool_], budget: int) -> ModelFigures:
    """All figures of one score; ``scores`` and ``alerted`` are (rows,)."""
    at_budget = at_daily_budget(rows, scores, budget)
    return ModelFigures(
        auc_roc=auc_roc(rows.fraud, scores),
        average_precision=average_precision(rows.fraud, scores),
        card_precision_at_100=card_precision(rows, scores, CARDS_A_DAY),
        precision_at_budget=at_budget.precision,
        recall_at_budget=at_budget.recall,
        value_caught=at_budget.value_caught,
        alerts_per_day=float(alerted.sum()) / len(np.unique(rows.day)),
    )


def scenario_figures(
    rows: LabelledRows,
    scores: NDArray[np.float64],
    scenario: NDArray[np.int64],
    names: tuple[str, ...],
    budget: int,
) -> tuple[ScenarioFigures, ...]:
    """The figures of each scenario that occurs, by name; ``scenario`` is the index of a fraud's name, (rows,)."""
    result = []
    for index, name in sorted(enumerate(names), key=lambda each: each[1]):
        of_scenario = rows.fraud & (scenario == index)
        if not of_scenario.any():
            continue
        mixed = of_scenario | ~rows.fraud
        # The budget is spent on all rows, whatever fraud they are; only what it finds is counted by scenario.
        at_budget = at_daily_budget(LabelledRows(of_scenario, rows.amount, rows.day, rows.card), scores, budget)
        result.append(
            ScenarioFigures(
                scenario=name,
                frauds=int(of_scenario.sum()),
                average_precision=average_precision(of_scenario[mixed], scores[mixed]),
                recall_at_budget=at_budget.recall,
                value_caught=at_budget.value_caught,
            )
        )
    return tuple(result)
