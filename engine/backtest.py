"""A backtest: a file replayed in event time through the scorer that serves, and what its scores were worth."""

from array import array
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.engine_writes import ScoredTransaction
from data.errors import SettingError
from data.models import DeadLetterReason
from data.timestamps import from_microseconds
from engine.backtest_plan import BacktestPlan
from engine.decode import Decoded, Decoder, Rejection
from engine.metrics import LabelledRows, at_daily_budget, auc_roc, average_precision, card_precision
from engine.records import Batch, Source
from engine.scorer import Scorer
from engine.windows import ALLOWED_LATENESS_US

CARDS_A_DAY: Final = 100
"""The k of card precision@k, as in the published tables."""
DAY_US: Final = 86_400_000_000
UNNAMED_SCENARIO: Final = "fraud"


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


@dataclass(frozen=True, slots=True)
class Counts:
    """What the replay read. ``late`` and ``unlabelled`` rows took part in it, but are neither trained nor tested on."""

    records: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    late: int = 0
    unlabelled: int = 0


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


@dataclass(slots=True)
class Recorded:
    """Columns of labelled transactions, in order of arrival."""

    time: "array[int]" = field(default_factory=lambda: array("q"))
    card: "array[int]" = field(default_factory=lambda: array("q"))
    amount: "array[float]" = field(default_factory=lambda: array("d"))
    fraud: bytearray = field(default_factory=bytearray)
    scenario: "array[int]" = field(default_factory=lambda: array("q"))
    fused: "array[float]" = field(default_factory=lambda: array("d"))
    anomaly: "array[float]" = field(default_factory=lambda: array("d"))
    alerted: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.time)


class Backtest:
    """Replays a source through a scorer, and judges the scores. Belongs to one thread and one event loop.

    ``scorer`` must be fresh, and is used up. ``label`` is the name of the column of ground truth, for messages.
    ``report`` is told, after each batch, the share of the source read where it has an end, and the records read; what
    it raises ends the run.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        scorer: Scorer,
        plan: BacktestPlan,
        label: str,
        alert_threshold: float,
        report: Callable[[float | None, int], None],
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._scorer = scorer
        self._plan = plan
        self._label = label
        self._alert_threshold = alert_threshold
        self._report = report
        self._seen: set[str] = set()
        self._cards: dict[str, int] = {}
        self._scenarios: dict[str, int] = {UNNAMED_SCENARIO: 0}
        self._known_cards: set[int] = set()
        self._tested = Recorded()
        self._counts = dict.fromkeys(("records", "dead_letters", "duplicates", "late", "unlabelled"), 0)
        self._first: int | None = None

    async def run(self) -> BacktestResult:
        """Replay the source up to the end of the test range, and judge.

        Raises:
            SourceError: the source cannot be read to its end.
            SettingError: the label column holds something else than 0 and 1, or the test range has no transactions or
                no fraud.
        """
        end = None if self._plan.test is None else self._plan.test.end + ALLOWED_LATENESS_US
        async with aclosing(self._source.batches(0)) as batches:
            async for batch in batches:
                self._replay(batch)
                self._report(self._source.fraction_read, self._counts["records"])
                if end is not None and self._scorer.state.watermark >= end:
                    break
        return self._judge()

    def _replay(self, batch: Batch) -> None:
        accepted = self._admit(batch)
        scored = self._scorer.score(accepted)
        for decoded, row in zip(accepted, scored.transactions, strict=True):
            self._record(decoded, row)

    def _admit(self, batch: Batch) -> list[Decoded]:
        """The transactions to score: each id once, as where they are stored."""
        accepted: list[Decoded] = []
        self._counts["records"] += len(batch.records)
        for raw in batch.records:
            outcome = self._decoder.decode(raw)
            if isinstance(outcome, Rejection):
                self._refuse_other_labels(outcome)
                self._counts["dead_letters"] += 1
            elif outcome.transaction.transaction_id in self._seen:
                self._counts["duplicates"] += 1
            else:
                self._seen.add(outcome.transaction.transaction_id)
                accepted.append(outcome)
        return accepted

    def _refuse_other_labels(self, rejection: Rejection) -> None:
        if rejection.reason is DeadLetterReason.INVALID_FIELD and rejection.detail.startswith(f"{self._label} "):
            raise SettingError(f"--label {rejection.detail}: name the column of ground truth")

    def _record(self, decoded: Decoded, row: ScoredTransaction) -> None:
        time = row.event_time
        if self._first is None:
            self._first = time
        if row.late:
            self._counts["late"] += 1
            return
        if decoded.is_fraud is None:
            self._counts["unlabelled"] += 1
            return
        card = self._cards.setdefault(row.card_id, len(self._cards))
        if decoded.is_fraud and self._plan.reveals(time):
            self._known_cards.add(card)
        if not self._plan.tests(time):
            return
        scenario = decoded.scenario or UNNAMED_SCENARIO
        rows = self._tested
        rows.time.append(time)
        rows.card.append(card)
        rows.amount.append(row.amount_minor / 100)
        rows.fraud.append(decoded.is_fraud)
        rows.scenario.append(self._scenarios.setdefault(scenario, len(self._scenarios)))
        rows.fused.append(row.score)
        rows.anomaly.append(row.model_score)
        rows.alerted.append(row.level_rank > 0)

    def _judge(self) -> BacktestResult:
        rows = self._tested
        if not len(rows):
            raise SettingError(self._nothing_to_test())
        card = np.array(rows.card, dtype=np.int64)
        kept = ~np.isin(card, np.fromiter(self._known_cards, dtype=np.int64))
        labelled = LabelledRows(
            np.frombuffer(rows.fraud, dtype=np.bool_),
            np.array(rows.amount),
            np.array(rows.time, dtype=np.int64) // DAY_US,
            card,
        ).take(kept)
        if not labelled.fraud.any():
            raise SettingError(self._no_fraud())
        budget = self._plan.budget
        fused, anomaly = np.array(rows.fused)[kept], np.array(rows.anomaly)[kept]
        alerted = np.frombuffer(rows.alerted, dtype=np.bool_)[kept]
        return BacktestResult(
            fused=figures(labelled, fused, alerted, budget),
            models={"isolation_forest": figures(labelled, anomaly, anomaly >= self._alert_threshold, budget)},
            perfect=figures(labelled, labelled.fraud * (1.0 + labelled.amount), labelled.fraud, budget),
            scenarios=scenario_figures(
                labelled, fused, np.array(rows.scenario, dtype=np.int64)[kept], tuple(self._scenarios), budget
            ),
            train_rows=0,
            test_rows=len(labelled),
            test_frauds=int(labelled.fraud.sum()),
            cards_left_out=len(np.unique(card[~kept])),
            counts=Counts(**self._counts),
        )

    def _nothing_to_test(self) -> str:
        if self._first is None:
            return "there is no transaction in the file: nothing can be tested"
        if self._plan.test is None or self._counts["unlabelled"]:
            return f"no transaction to test on has a 0 or 1 in {self._label!r}: name the column of ground truth"
        first, last = from_microseconds(self._first), from_microseconds(self._scorer.state.watermark)
        return (
            f"--test {self._plan.test} has no transactions: what was read of the file goes from {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}"
        )

    def _no_fraud(self) -> str:
        tested = "the file" if self._plan.test is None else f"--test {self._plan.test}"
        return f"{tested} has no fraud on cards that are not known for it yet: there is nothing to find"


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
