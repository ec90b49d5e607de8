"""The whole comparison, from a file to figures, and whether they are what was aimed at."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Final

from detection_figures import Bootstrap, Figures, bootstrap, figures_of, first_of_burst
from detection_rows import handbook_rows, replay
from detection_systems import DELAY_US, System, Week, all_scores, known_a_week_late, weeks

from data.timestamps import from_microseconds
from engine.backtest_prior import PriorDay, first_days
from engine.model import AnomalyModel
from engine.scoring import Thresholds

KNOWABLE: Final = 0.83
"""Average precision that labels a week late allow in the best week on this data; more would be a leak."""


def auc(figures: Figures) -> float:
    """Area under the ROC curve."""
    return figures.auc


def average_precision(figures: Figures) -> float:
    """Mean precision over the recall gained."""
    return figures.average_precision


def card_precision(figures: Figures) -> float:
    """Card precision@100."""
    return figures.card_precision


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was measured. ``figures`` has one entry for each run, in order."""

    file: str
    first_day: date
    days: int
    transactions: int
    frauds: int
    cards: int
    review_cost: float
    runs: tuple[Week, ...]
    figures: tuple[dict[System, Figures], ...]
    sampled: Bootstrap
    prior: tuple[PriorDay, ...]

    def of(self, system: System, measure: Callable[[Figures], float]) -> list[float]:
        """A measure of a system in each run."""
        return [measure(figures[system]) for figures in self.figures]

    def day(self, number: int) -> date:
        """The date of a day of the file."""
        return self.first_day + timedelta(days=number)


@dataclass(frozen=True, slots=True)
class Target:
    """What was aimed at, and what came of it."""

    aim: str
    at_least: float
    measured: float

    @property
    def reached(self) -> bool:
        """Whether the measured figure is enough."""
        return self.measured >= self.at_least


def targets(found: Comparison) -> tuple[Target, ...]:
    """The aims of the detection, on means of the runs."""
    precision = {system: mean(found.of(system, average_precision)) for system in System}
    # What is reviewed in the loop is known by midnight, so that the bound of labels a week late is not its own.
    bounded = set(System) - {System.PERFECT, System.LOOP}
    best = max(max(found.of(system, average_precision)) for system in bounded)
    return (
        Target("cold score, average precision", 0.22, precision[System.FUSED]),
        Target("ranker with 7 labelled days, average precision", 0.73, precision[System.RANKER_WEEK]),
        Target("ranker with 7 labelled days, AUC", 0.88, mean(found.of(System.RANKER_WEEK, auc))),
        Target("ranker with 7 labelled days, CP@100", 0.27, mean(found.of(System.RANKER_WEEK, card_precision))),
        Target("ranker with all labels, average precision", 0.75, precision[System.RANKER_ALL]),
        Target(
            "ranker with all labels, average precision over the forest's",
            0.0,
            precision[System.RANKER_ALL] - precision[System.PUBLISHED],
        ),
        Target(
            "loop, average precision over that with all labels",
            -0.02,
            precision[System.LOOP] - precision[System.RANKER_ALL],
        ),
        Target(
            f"room below {KNOWABLE:.2f}, the most that labels a week late allow, in the best week", 0.0, KNOWABLE - best
        ),
    )


def compare(file: Path, model: AnomalyModel, review_cost: float, now: datetime) -> Comparison:
    """Replay the file once and judge every system.

    Raises:
        SentinelError: the file cannot be read, is too short, or has too little fraud to learn from.
    """
    replayed = replay(file, model)
    rows = handbook_rows(replayed)
    runs = weeks(rows)
    known = known_a_week_late(rows)
    scores = all_scores(rows, runs, known, now)
    first = first_of_burst(rows)
    figures = []
    for run, of_run in zip(runs, scores, strict=True):
        test = run.tests(rows)
        figures.append(figures_of(rows.labelled(test), first[test], of_run, review_cost))
    return Comparison(
        file=file.name,
        first_day=from_microseconds(int(rows.payments.time[0])).date(),
        days=int(rows.day[-1]) + 1,
        transactions=len(rows),
        frauds=int(rows.fraud.sum()),
        cards=len(rows.cards),
        review_cost=review_cost,
        runs=runs,
        figures=tuple(figures),
        sampled=bootstrap(rows, runs, scores),
        prior=first_days(replayed, DELAY_US, Thresholds()),
    )
