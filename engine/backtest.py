"""A backtest: a file replayed in event time through the scorer that serves, and what its scores were worth."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.batches import ScoredTransaction
from data.errors import SettingError
from data.models import DeadLetterReason, RuleType
from data.timestamps import from_microseconds
from engine.backtest_figures import ModelFigures, ScenarioFigures, figures, scenario_figures
from engine.backtest_plan import BacktestPlan
from engine.backtest_rows import Lessons, TestedRows
from engine.decode import Decoded, Decoder, Rejection
from engine.features import Event, EventReader
from engine.label_features import KnownFraud, LabelState
from engine.ranker import Ranker, train_ranker
from engine.ranker_features import RankerFeatures, usual_ratio
from engine.records import Batch, Source
from engine.rules import RuleHit
from engine.scorer import Scorer
from engine.scoring import Thresholds, fuse
from engine.windows import ALLOWED_LATENESS_US

ANOMALY_MODEL: Final = "isolation_forest"
RANKER: Final = "gradient_boosting"
RANKER_SEED: Final = 20_180_401
LEARNT: Final = frozenset({RuleType.AMOUNT, RuleType.TIME, RuleType.MODEL})
"""Rules of these types look at what the ranker has among its features."""
UNNAMED_SCENARIO: Final = "fraud"


@dataclass(slots=True)
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
        thresholds: Thresholds,
        reader: EventReader,
        now: datetime,
        report: Callable[[float | None, int], None],
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._scorer = scorer
        self._plan = plan
        self._label = label
        self._thresholds = thresholds
        self._reader = reader
        self._now = now
        self._report = report
        self._seen: set[str] = set()
        self._cards: dict[str, int] = {}
        self._scenarios: dict[str, int] = {UNNAMED_SCENARIO: 0}
        self._known_cards: set[int] = set()
        self._labels = LabelState(plan.delay_us)
        self._ranker_features = RankerFeatures(self._labels)
        self._tested = TestedRows()
        self._lessons = Lessons()
        self._counts = Counts()
        self._first: int | None = None

    async def run(self) -> BacktestResult:
        """Replay the source up to the end of the test range, and judge.

        Raises:
            SourceError: the source cannot be read to its end.
            SettingError: the label column holds something else than 0 and 1, the test range has no transactions or no
                fraud, or the train range has too few of either to learn from.
        """
        end = None if self._plan.test is None else self._plan.test.end + ALLOWED_LATENESS_US
        async with aclosing(self._source.batches(0)) as batches:
            async for batch in batches:
                self._replay(batch)
                self._report(self._source.fraction_read, self._counts.records)
                if end is not None and self._scorer.state.watermark >= end:
                    break
        return self._judge()

    def _replay(self, batch: Batch) -> None:
        accepted = self._admit(batch)
        scored = self._scorer.score(accepted)
        features: list[list[float]] = scored.features.tolist()
        for decoded, row, own, hits in zip(accepted, scored.transactions, features, scored.hits, strict=True):
            self._record(decoded, row, own, hits)

    def _admit(self, batch: Batch) -> list[Decoded]:
        """The transactions to score: each id once, as where they are stored."""
        accepted: list[Decoded] = []
        self._counts.records += len(batch.records)
        for raw in batch.records:
            outcome = self._decoder.decode(raw)
            if isinstance(outcome, Rejection):
                self._refuse_other_labels(outcome)
                self._counts.dead_letters += 1
            elif outcome.transaction.transaction_id in self._seen:
                self._counts.duplicates += 1
            else:
                self._seen.add(outcome.transaction.transaction_id)
                accepted.append(outcome)
        return accepted

    def _refuse_other_labels(self, rejection: Rejection) -> None:
        if rejection.reason is DeadLetterReason.INVALID_FIELD and rejection.detail.startswith(f"{self._label} "):
            raise SettingError(f"--label {rejection.detail}: name the column of ground truth")

    def _record(
        self, decoded: Decoded, row: ScoredTransaction, own: Sequence[float], hits: tuple[RuleHit, ...]
    ) -> None:
        time, fraud = row.event_time, decoded.is_fraud
        if self._first is None:
            self._first = time
        if row.late:
            self._counts.late += 1
            return
        features = (
            () if self._plan.cold else self._observe(self._reader.of_transaction(decoded.transaction), own, fraud)
        )
        if fraud is None:
            self._counts.unlabelled += 1
            return
        card = self._cards.setdefault(row.card_id, len(self._cards))
        if fraud and self._plan.reveals(time):
            self._known_cards.add(card)
        if self._plan.trains(time):
            self._lessons.features.extend(features)
            self._lessons.fraud.append(fraud)
        if self._plan.tests(time):
            self._record_test(decoded, row, card, features, hits)

    def _observe(self, event: Event, own: Sequence[float], fraud: bool | None) -> tuple[float, ...]:
        features = self._ranker_features.observe(event, own)
        self._labels.observe(event)
        if fraud:
            known_at = event.time + self._plan.delay_us
            self._labels.tell(KnownFraud(known_at, event.time, event.card_id, event.merchant, usual_ratio(features)))
        return features

    def _record_test(
        self,
        decoded: Decoded,
        row: ScoredTransaction,
        card: int,
        features: tuple[float, ...],
        hits: tuple[RuleHit, ...],
    ) -> None:
        scenario = decoded.scenario or UNNAMED_SCENARIO
        rows = self._tested
        rows.time.append(row.event_time)
        rows.card.append(card)
        rows.amount.append(row.amount_minor / 100)
        rows.fraud.append(bool(decoded.is_fraud))
        rows.scenario.append(self._scenarios.setdefault(scenario, len(self._scenarios)))
        rows.fused.append(row.score)
        rows.anomaly.append(row.model_score)
        rows.velocity.append(row.velocity)
        rows.features.extend(features)
        rows.hits.append(hits)

    def _judge(self) -> BacktestResult:
        tested = self._tested
        if not len(tested):
            raise SettingError(self._nothing_to_test())
        if not self._plan.cold and not len(self._lessons):
            raise SettingError(f"--train {self._plan.train} has no labelled transactions: {self._what_was_read()}")
        labelled = tested.labelled()
        kept = ~np.isin(labelled.card, np.fromiter(self._known_cards, dtype=np.int64))
        rows = labelled.take(kept)
        if not rows.fraud.any():
            raise SettingError(self._no_fraud())
        anomaly = np.array(tested.anomaly)
        fused = np.array(tested.fused)
        models = {ANOMALY_MODEL: anomaly}
        if not self._plan.cold:
            # The source is read; how long the training takes is not known.
            self._report(None, self._counts.records)
            ranked = self._train().score(tested.matrix())
            models[RANKER] = ranked
            fused = _fuse_ranked(ranked, tested.hits, self._thresholds.low_score)
        budget, low_score = self._plan.budget, self._thresholds.low_score
        alerted = (fused >= low_score) | (np.array(tested.velocity) >= self._thresholds.low_velocity)
        scenario = np.array(tested.scenario, dtype=np.int64)[kept]
        return BacktestResult(
            fused=figures(rows, fused[kept], alerted[kept], budget),
            models={
                name: figures(rows, score[kept], score[kept] >= low_score, budget) for name, score in models.items()
            },
            perfect=figures(rows, rows.fraud * (1.0 + rows.amount), rows.fraud, budget),
            scenarios=scenario_figures(rows, fused[kept], scenario, tuple(self._scenarios), budget),
            train_rows=len(self._lessons),
            test_rows=len(rows),
            test_frauds=int(rows.fraud.sum()),
            cards_left_out=len(np.unique(labelled.card[~kept])),
            counts=replace(self._counts),
        )

    def _train(self) -> Ranker:
        train = self._plan.train
        if train is None:
            raise ValueError("a plan that is not cold has days to train on")
        try:
            return train_ranker(
                self._lessons.matrix(),
                np.frombuffer(self._lessons.fraud, dtype=np.bool_),
                seed=RANKER_SEED,
                trained_at=self._now,
                data_from=from_microseconds(train.start),
                data_to=from_microseconds(train.end - 1),
            )
        except ValueError as error:
            raise SettingError(f"--train {train}: {error}") from None

    def _nothing_to_test(self) -> str:
        if self._first is None:
            return "there is no transaction in the file: nothing can be tested"
        if self._plan.test is None or self._counts.unlabelled:
            return f"no transaction to test on has a 0 or 1 in {self._label!r}: name the column of ground truth"
        return f"--test {self._plan.test} has no transactions: {self._what_was_read()}"

    def _what_was_read(self) -> str:
        first, last = from_microseconds(self._first or 0), from_microseconds(self._scorer.state.watermark)
        return f"what was read of the file goes from {first:%Y-%m-%d} to {last:%Y-%m-%d}"

    def _no_fraud(self) -> str:
        tested = "the file" if self._plan.test is None else f"--test {self._plan.test}"
        return f"{tested} has no fraud on cards that are not known for it yet: there is nothing to find"


def _fuse_ranked(
    ranked: NDArray[np.float64], hits: Sequence[tuple[RuleHit, ...]], low_score: float
) -> NDArray[np.float64]:
    """The ranker's probability in the place of the anomaly model's score, with the rules that know what it does not.

    The ranker has learnt what an amount, an hour and the anomaly model's features are worth, so that a rule on one of
    them would count it twice.
    """
    fused = ranked.copy()
    for index, of_row in enumerate(hits):
        if of_row:
            fused[index] = fuse(ranked[index], (hit for hit in of_row if hit.rule.type not in LEARNT), low_score)
    return fused
