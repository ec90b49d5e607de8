"""``sentinel-tui bench``: what a transaction costs, measured in one process and one run.

Machines differ and are shared, so the figures that carry over are the ratios: each is taken between measurements made
in turn.
"""

import asyncio
import resource
import statistics
import sys
import tempfile
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data.batches import BatchResult, Commit
from data.engine_writes import EngineWriter
from data.queries import recovery
from data.store import Store
from data.timestamps import to_microseconds
from engine import checkpoint
from engine.columns import ColumnMap
from engine.decode import Decoded, JsonDecoder
from engine.entity_graph import EntityGraph
from engine.features import FEATURE_NAMES, Event, EventReader, FeatureState
from engine.forest import FlattenedForest
from engine.gazetteer import Gazetteer
from engine.generator import GeneratorConfig, GeneratorSource
from engine.learning import Learning
from engine.messages import SnapshotQueue
from engine.model import AnomalyModel
from engine.pipeline import Pipeline, RunTotals
from engine.records import Batch
from engine.rules import RuleSet
from engine.scorer import Scorer
from engine.scoring import Thresholds
from engine.training import SAMPLES_PER_TREE, TREES, train_on_simulated_traffic, warm_up
from sentinel_tui.runtime import SYSTEM_CLOCKS, settle_garbage_collector

START = datetime(2026, 1, 5, tzinfo=UTC)
SEED = 7
BATCH = 512
ROUNDS = 3
LATENCY_RATE = 500.0
FOREST_BATCH = 1_024
FEW_CARDS = 10_000
REMEMBERED_CARDS = 2_000
FULL_HISTORY = 51
"""Transactions of a card after which it takes no more memory."""
MICRO = 1e6
_NEUTRAL = (0.0,) * len(FEATURE_NAMES)


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)

    def rounded(self) -> dict[str, object]:
        """For printing: three places, which is more than a shared machine can tell."""
        return {name: value.rounded() if isinstance(value, _Figures) else round(value, 3) for name, value in iter(self)}


class ForestFigures(_Figures):
    """Microseconds a row, at the median: scikit-learn and the flattened arrays, for one row and for 1,024."""

    sklearn_row_us: float
    served_row_us: float
    sklearn_batch_us: float
    served_batch_us: float


class LatencyFigures(_Figures):
    """Milliseconds from a record being due at the source to its result committed, at 500 records a second."""

    p50: float
    p99: float


class BenchFigures(_Figures):
    """The floor decodes, and commits the same rows to the same schema, without scoring.

    ``bytes_per_card`` is of cards with a full history; with labels, it also has what the ranker and the rings remember.
    ``cost_of_many_cards`` is the features' cost per transaction with many cards in memory over that with 10,000.
    """

    pipeline_per_s: float
    floor_per_s: float
    pipeline_over_floor: float
    score_us_per_tx: float
    decode_us_per_tx: float
    commit_us_per_tx: float
    forest: ForestFigures
    latency_ms: LatencyFigures
    bytes_per_card: float
    bytes_per_card_with_labels: float
    cost_of_many_cards: float
    peak_rss_mb: float


@dataclass(frozen=True, slots=True)
class BenchSize:
    """How much to measure: records through the pipeline, cards in memory, seconds at the steady rate."""

    transactions: int
    cards: int
    latency_seconds: float


def run_bench(size: BenchSize, progress: Callable[[str], None]) -> BenchFigures:
    """Measure everything in temporary folders; ``progress`` is told what comes next."""
    progress("training a model, reading the cards' history")
    gazetteer = Gazetteer()
    model = train_on_simulated_traffic(_new_state(), gazetteer, START, lambda _: None)
    subject = _Subject(gazetteer, model, size.transactions)
    settle_garbage_collector()
    progress("pipeline and floor, in turn")
    rates = [(subject.pipeline_rate(), subject.floor_rate()) for _ in range(ROUNDS)]
    progress("decoding, scoring and committing, alone")
    decode_us, score_us, commit_us = subject.stages()
    progress("the forest, against scikit-learn")
    forest = forest_figures(subject.rows)
    progress(f"latency at {LATENCY_RATE:.0f} records a second")
    latency = subject.latency(size.latency_seconds)
    progress(f"{size.cards:,} cards in memory")
    cost_of_many_cards = cost_of_cards(size.cards)
    progress("the memory of a card")
    bytes_per_card, with_labels = card_bytes()
    return BenchFigures(
        pipeline_per_s=statistics.median(pipeline for pipeline, _ in rates),
        floor_per_s=statistics.median(floor for _, floor in rates),
        pipeline_over_floor=statistics.median(pipeline / floor for pipeline, floor in rates),
        score_us_per_tx=score_us,
        decode_us_per_tx=decode_us,
        commit_us_per_tx=commit_us,
        forest=forest,
        latency_ms=latency,
        bytes_per_card=bytes_per_card,
        bytes_per_card_with_labels=with_labels,
        cost_of_many_cards=cost_of_many_cards,
        peak_rss_mb=_peak_rss_mb(),
    )


def forest_figures(rows: NDArray[np.float64]) -> ForestFigures:
    """Time both servers of one forest on rows of real features, (rows, features)."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - loaded only to be measured against

    forest = IsolationForest(
        n_estimators=TREES, max_samples=min(SAMPLES_PER_TREE, len(rows)), random_state=SEED, n_jobs=1
    )
    forest.fit(rows)
    served = FlattenedForest.from_sklearn(forest)
    batch = np.resize(rows, (FOREST_BATCH, rows.shape[1]))
    one = batch[:1]
    return ForestFigures(
        sklearn_row_us=_median_us(lambda: forest.score_samples(one), 15),
        served_row_us=_median_us(lambda: served.score_samples(one), 300),
        sklearn_batch_us=_median_us(lambda: forest.score_samples(batch), 7) / FOREST_BATCH,
        served_batch_us=_median_us(lambda: served.score_samples(batch), 15) / FOREST_BATCH,
    )


def cost_of_cards(cards: int) -> float:
    """The cost of a transaction with ``cards`` in memory over that with 10,000, in turn."""
    few, many = _state_of(FEW_CARDS), _state_of(cards)
    ratios = []
    for round_ in range(ROUNDS):
        cost_of_many = _cost_of_events(many, cards, round_)
        ratios.append(cost_of_many / _cost_of_events(few, FEW_CARDS, round_))
    return statistics.median(ratios)


def card_bytes() -> tuple[float, float]:
    """Bytes of state for each card with a full history, without labels and with them; merchants are part of it.

    It is what many cards take more than one, so that what is allocated once counts for no card.
    """
    one, many = _memory_of(1), _memory_of(REMEMBERED_CARDS)
    without, with_labels = (more - less for less, more in zip(one, many, strict=True))
    return without / REMEMBERED_CARDS, with_labels / REMEMBERED_CARDS


def _memory_of(cards: int) -> tuple[int, int]:
    """Bytes that an engine's memory takes, without labels and with them."""
    state, learning = _new_state(), Learning()
    learning.begin_history(None)
    learning.graph = EntityGraph()
    tracemalloc.start()
    for event in _full_history(cards):
        state.observe(event)
    without, _ = tracemalloc.get_traced_memory()
    # One text for each card, as in an engine, where the same event goes to every memory.
    texts = {card: card for card in state.cards}
    before, _ = tracemalloc.get_traced_memory()
    for event in _full_history(cards):
        known = event._replace(card_id=texts[event.card_id])
        learning.observe(known, _NEUTRAL, late=False)
        learning.connect([known], [False])
    further = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return without, without + further


def _full_history(cards: int) -> Iterator[Event]:
    return (event for day in range(FULL_HISTORY) for event in _events(cards, range(cards), day))


class _MemorySource:
    """Records that are there already: in full batches, or each when it is due at a steady rate."""

    name = "bench"
    partition = "memory"
    fraction_read = None

    def __init__(self, records: Sequence[bytes], rate: float | None = None) -> None:
        self._records = records
        self._rate = rate

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        began = SYSTEM_CLOCKS.monotonic()
        step = BATCH if self._rate is None else 1
        for first in range(start_offset, len(self._records), step):
            due = SYSTEM_CLOCKS.monotonic()
            if self._rate is not None:
                due = began + (first - start_offset) / self._rate
                # A loop's own timers go by whole milliseconds, which a record that arrives does not wait for.
                await asyncio.to_thread(sleep, max(0.0, due - SYSTEM_CLOCKS.monotonic()))
            yield Batch(self.partition, first, tuple(self._records[first : first + step]), due)


class _KeptResults(EngineWriter):
    """A writer that also keeps what it commits, to commit the same again without scoring."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.results: list[BatchResult] = []

    def commit(self, batch: BatchResult, now: datetime) -> Commit:
        self.results.append(batch)
        return super().commit(batch, now)


class _Subject:
    """One stream of records, the model, and what the pipeline makes of them."""

    def __init__(self, gazetteer: Gazetteer, model: AnomalyModel, transactions: int) -> None:
        self._reader = EventReader(gazetteer)
        self._model = model
        self._decoder = JsonDecoder(ColumnMap())
        self._source = GeneratorSource(GeneratorConfig(seed=SEED, start=START, records=transactions))
        self._records = list(self._source.draw())
        state = _new_state()
        warm_up(state, self._source, self._reader, lambda _: None)
        self._memory = checkpoint.dump(state)
        outcomes = [self._decoder.decode(raw) for raw in self._records]
        self._decoded = [each for each in outcomes if isinstance(each, Decoded)]
        self.rows = np.array(
            [state.observe(self._reader.of_transaction(each.transaction)).features for each in self._decoded]
        )
        with _database() as store:
            writer = _KeptResults(store)
            self._run(writer, self._records)
            writer.close()
        self._results = writer.results

    def pipeline_rate(self) -> float:
        """Records a second, decoded, scored and committed."""
        with _database() as store:
            writer = EngineWriter(store)
            totals = self._run(writer, self._records)
            writer.close()
        return totals.records / totals.seconds

    def floor_rate(self) -> float:
        """Records a second, decoded and committed."""
        with _database() as store:
            writer = EngineWriter(store)
            began = perf_counter()
            for result in self._results:
                for raw in self._records[result.first_offset : result.next_offset]:
                    self._decoder.decode(raw)
                writer.commit(result, START)
            elapsed = perf_counter() - began
            writer.close()
        return len(self._records) / elapsed

    def stages(self) -> tuple[float, float, float]:
        """Microseconds a transaction to decode, to score and to commit, each alone."""
        chunks = [self._decoded[first : first + BATCH] for first in range(0, len(self._decoded), BATCH)]
        decode_us = _microseconds(lambda: [self._decoder.decode(raw) for raw in self._records])
        with _database() as store:
            writer = EngineWriter(store)
            scorer = self._scorer(writer)
            score_us = _microseconds(lambda: [scorer.score(chunk) for chunk in chunks])
            commit_us = _microseconds(lambda: [writer.commit(result, START) for result in self._results])
            writer.close()
        return decode_us / len(self._records), score_us / len(self._decoded), commit_us / len(self._decoded)

    def latency(self, seconds: float) -> LatencyFigures:
        """At a steady rate, a transaction at a time."""
        with _database() as store:
            writer = EngineWriter(store)
            totals = self._run(writer, self._records[: int(LATENCY_RATE * seconds)], LATENCY_RATE)
            writer.close()
        p50, _, p99 = totals.latency_ms
        return LatencyFigures(p50=p50 or 0.0, p99=p99 or 0.0)

    def _run(self, writer: EngineWriter, records: Sequence[bytes], rate: float | None = None) -> RunTotals:
        pipeline = Pipeline(
            _MemorySource(records, rate),
            self._decoder,
            self._scorer(writer),
            writer,
            SYSTEM_CLOCKS,
            SnapshotQueue(),
            refuse_future=False,
        )
        return asyncio.run(pipeline.run())

    def _scorer(self, writer: EngineWriter) -> Scorer:
        rules = RuleSet(recovery.rules(writer.connection))
        return Scorer(self._warm_state(), self._reader, self._model, rules, Thresholds())

    def _warm_state(self) -> FeatureState:
        state = _new_state()
        checkpoint.load(self._memory, state)
        return state


def _new_state() -> FeatureState:
    return FeatureState(velocity_window_s=60, small_amount=2.0, small_amount_window_s=600)


def _state_of(cards: int) -> FeatureState:
    """A memory in which each card has been seen once, at one of a merchant for every 100 cards."""
    state = _new_state()
    for event in _events(cards, range(cards), 0):
        state.observe(event)
    return state


def _cost_of_events(state: FeatureState, cards: int, round_: int) -> float:
    """Seconds for a fixed number of events on cards all over the memory."""
    events = list(_events(cards, ((n * 7_919) % cards for n in range(FEW_CARDS)), round_ + 1))
    began = perf_counter()
    for event in events:
        state.observe(event)
    return perf_counter() - began


def _events(cards: int, numbers: Sequence[int] | Iterator[int], day: int) -> Iterator[Event]:
    start = to_microseconds(START) + day * 86_400_000_000
    for place, number in enumerate(numbers):
        amount = 5.0 + number % 97
        time = start + place * 86_400_000_000 // max(cards, FEW_CARDS)
        yield Event(f"CARD-{number:07d}", amount, time, 41.9, -87.6, True, f"M-{number // 100:06d}", "grocery")


@contextmanager
def _database() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        yield Store.open(Path(folder) / "bench.db")


def _microseconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * MICRO


def _median_us(work: Callable[[], object], times: int) -> float:
    work()
    return statistics.median(_microseconds(work) for _ in range(times))


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
