"""A backtest: what the scores of a replay were worth on the days of a plan."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.errors import SettingError
from data.timestamps import from_microseconds
from engine.backtest_figures import ModelFigures, ScenarioFigures, figures, scenario_figures
from engine.backtest_loop import LabelLoop, Learnt
from engine.backtest_plan import BacktestPlan
from engine.backtest_rows import UNLABELLED, Counts, ReplayedRows
from engine.scoring import Thresholds
from engine.windows import ALLOWED_LATENESS_US

ANOMALY_MODEL: Final = "isolation_forest"
RANKER: Final = "gradient_boosting"


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """The figures of the fused score, of each model by its name, and of a perfect ranking of the same rows."""

    fused: ModelFigures
    models: dict[str, ModelFigures]
    perfect: ModelFigures
    scenarios: tuple[ScenarioFigures, ...]
    train_rows: int
    test_rows: int
    test_frauds: int
    cards_left_out: int
    counts: Counts


def last_needed(plan: BacktestPlan) -> int | None:
    """The watermark at which a replay has all that a plan tests, in microseconds since the epoch; None for the end."""
    return None if plan.test is None else plan.test.end + ALLOWED_LATENESS_US


def judge(
    rows: ReplayedRows,
    plan: BacktestPlan,
    thresholds: Thresholds,
    now: datetime,
    training: Callable[[], None] = lambda: None,
) -> BacktestResult:
    """What the scores of replayed rows were worth; the rows can be judged on any number of plans.

    Args:
        rows: with features for a ranker, unless the plan is cold.
        plan: of which days to learn from and to test on.
        thresholds: those of the replay.
        now: when a ranker is trained.
        training: called before a ranker is trained.

    Raises:
        SettingError: the test range has no transactions or no fraud, or the train range too few of either.
    """
    tested = _tested(rows, plan)
    known_at = rows.times() + plan.delay_us
    fused, models, train_rows = np.array(rows.fused), {ANOMALY_MODEL: np.array(rows.anomaly)}, 0
    if not plan.cold:
        learnt = _learn(rows, plan, thresholds, now, training)
        fused, known_at, train_rows = learnt.fused, learnt.known_at, learnt.train_rows
        models[RANKER] = learnt.ranked
    kept = tested & ~_known_cards(rows, plan, known_at)[rows.card_numbers()]
    truth = rows.truth(kept)
    if not truth.fraud.any():
        raise SettingError(_no_fraud(plan))
    budget, low_score = plan.budget, thresholds.low_score
    alerted = (fused >= low_score) | (np.array(rows.velocity) >= thresholds.low_velocity)
    scenario = np.array(rows.scenario, dtype=np.int64)[kept]
    return BacktestResult(
        fused=figures(truth, fused[kept], alerted[kept], budget),
        models={name: figures(truth, score[kept], score[kept] >= low_score, budget) for name, score in models.items()},
        perfect=figures(truth, truth.fraud * (1.0 + truth.amount), truth.fraud, budget),
        scenarios=scenario_figures(truth, fused[kept], scenario, tuple(rows.scenarios), budget),
        train_rows=train_rows,
        test_rows=len(truth),
        test_frauds=int(truth.fraud.sum()),
        cards_left_out=len(np.unique(rows.card_numbers()[tested & ~kept])),
        counts=replace(rows.counts),
    )


def _tested(rows: ReplayedRows, plan: BacktestPlan) -> NDArray[np.bool_]:
    tested: NDArray[np.bool_] = rows.labels() != UNLABELLED
    if plan.test is not None:
        tested &= plan.test.holds(rows.times())
    if not tested.any():
        raise SettingError(_nothing_to_test(rows, plan))
    return tested


def _learn(
    rows: ReplayedRows, plan: BacktestPlan, thresholds: Thresholds, now: datetime, training: Callable[[], None]
) -> Learnt:
    train, test = plan.train, plan.test
    if train is None or test is None:
        raise ValueError("a plan that is not cold has days to train and to test on")
    if not (train.holds(rows.times()) & (rows.labels() != UNLABELLED)).any():
        raise SettingError(f"--train {train} has no labelled transactions: {_what_was_read(rows)}")
    return LabelLoop(rows, plan, train, test, thresholds, now, training).run()


def _known_cards(rows: ReplayedRows, plan: BacktestPlan, known_at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whose fraud, from the train range on, is known when the test starts, (cards,)."""
    known = np.zeros(len(rows.cards), dtype=np.bool_)
    if plan.train is not None and plan.test is not None:
        frauds = (rows.labels() == 1) & (rows.times() >= plan.train.start) & (known_at < plan.test.start)
        known[rows.card_numbers()[frauds]] = True
    return known


def _nothing_to_test(rows: ReplayedRows, plan: BacktestPlan) -> str:
    if not len(rows):
        return "there is no transaction in the file: nothing can be tested"
    if plan.test is None or rows.counts.unlabelled:
        return f"no transaction to test on has a 0 or 1 in {rows.label_column!r}: name the column of ground truth"
    return f"--test {plan.test} has no transactions: {_what_was_read(rows)}"


def _what_was_read(rows: ReplayedRows) -> str:
    first, last = from_microseconds(min(rows.time)), from_microseconds(max(rows.time))
    return f"what was read of the file goes from {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _no_fraud(plan: BacktestPlan) -> str:
    tested = "the file" if plan.test is None else f"--test {plan.test}"
    return f"{tested} has no fraud on cards that are not known for it yet: there is nothing to find"
