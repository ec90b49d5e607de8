"""The figures of a backtest, for people and as one JSON object."""

from dataclasses import asdict

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.backtest import BacktestResult
from engine.backtest_figures import ModelFigures
from engine.backtest_plan import BacktestPlan
from screens.safe import clean
from sentinel_tui.backtest_run import TimedResult

PLACES = 6


def backtest_as_json(timed: TimedResult) -> str:
    """One JSON object on one line: the fused score's figures, and those of models, scenarios and a perfect ranking."""
    result = timed.result
    return orjson.dumps(
        {
            **_rounded(asdict(result.fused)),
            "train_rows": result.train_rows,
            "test_rows": result.test_rows,
            "seconds": round(timed.seconds, 3),
            "test_frauds": result.test_frauds,
            "cards_left_out": result.cards_left_out,
            "models": {name: _rounded(asdict(each)) for name, each in result.models.items()},
            "perfect": _rounded(asdict(result.perfect)),
            "scenarios": {each.scenario: _rounded(asdict(each)) for each in result.scenarios},
            "counts": asdict(result.counts),
        }
    ).decode()


def print_backtest(timed: TimedResult, plan: BacktestPlan, console: Console) -> None:
    """Everything the backtest came to."""
    result, counts = timed.result, timed.result.counts
    console.print(
        Text(
            f"{result.test_rows:,} transactions tested, {result.test_frauds:,} of them fraud; "
            f"{result.train_rows:,} learnt from; {counts.records:,} records read in {timed.seconds:,.1f} s"
        )
    )
    set_aside = (
        (result.cards_left_out, "cards left out, whose fraud was known when the test started"),
        (counts.dead_letters, "records were no transactions"),
        (counts.duplicates, "duplicates"),
        (counts.late, "too late to be judged"),
        (counts.unlabelled, "without a label"),
    )
    for count, what in set_aside:
        if count:
            console.print(Text(f"  {count:,} {what}"))
    console.print(_scores(result, plan.budget))
    console.print(_scenarios(result, plan.budget))


def _scores(result: BacktestResult, budget: int) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    for name in ("AUC", "AP", "CP@100", f"P@{budget}", f"R@{budget}", "value", "alerts/day"):
        table.add_column(name, justify="right")
    table.add_row("fused", *_cells(result.fused))
    for name, each in result.models.items():
        table.add_row(name.replace("_", " "), *_cells(each))
    table.add_row("perfect ranking", *_cells(result.perfect))
    return table


def _cells(each: ModelFigures) -> list[str]:
    shares = (
        each.auc_roc,
        each.average_precision,
        each.card_precision_at_100,
        each.precision_at_budget,
        each.recall_at_budget,
        each.value_caught,
    )
    return [*map(_share, shares), f"{each.alerts_per_day:,.1f}"]


def _scenarios(result: BacktestResult, budget: int) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("scenario, by the fused score")
    for name in ("frauds", "AP", f"R@{budget}", "value"):
        table.add_column(name, justify="right")
    for each in result.scenarios:
        shares = map(_share, (each.average_precision, each.recall_at_budget, each.value_caught))
        table.add_row(Text(clean(each.scenario)), f"{each.frauds:,}", *shares)
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rounded(values: dict[str, float | str | None]) -> dict[str, float | str | None]:
    return {name: round(value, PLACES) if isinstance(value, float) else value for name, value in values.items()}
