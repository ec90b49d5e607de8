"""The pipeline on a real store: what is committed, in whatever batches it came, and what a restart remembers."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.batches import BatchResult, Commit
from data.engine_writes import EngineWriter
from data.errors import SourceError, StoreError
from data.queries import recovery
from data.store import Store
from engine.columns import ColumnMap
from engine.decode import JsonDecoder
from engine.features import EventReader, FeatureState
from engine.gazetteer import Gazetteer
from engine.messages import EngineState, SnapshotQueue
from engine.model import AnomalyModel
from engine.pipeline import Clocks, Pipeline, RunTotals, recover
from engine.records import Batch
from engine.rules import RuleSet
from engine.scorer import Scorer
from engine.scoring import Thresholds

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


class ListSource:
    """Records from memory, cut into batches of the given sizes, the last size repeated."""

    name = "list"
    partition = "p0"
    fraction_read = None

    def __init__(self, records: list[bytes], sizes: list[int], fails_at: int | None = None) -> None:
        self._records = records
        self._sizes = sizes
        self._fails_at = fails_at

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        offset = start_offset
        sizes: Iterator[int] = iter(self._sizes)
        size = 1
        while offset < len(self._records):
            size = next(sizes, size)
            if self._fails_at is not None and offset >= self._fails_at:
                raise SourceError("the source broke: mend it")
            yield Batch(self.partition, offset, tuple(self._records[offset : offset + size]), 0.0)
            offset += size


class SilentSource:
    """A live source on which nothing arrives."""

    name = "silent"
    partition = "p0"
    fraction_read = None

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        await asyncio.Event().wait()
        yield Batch(self.partition, start_offset, (), 0.0)


def new_scorer(model: AnomalyModel, gazetteer: Gazetteer, writer: EngineWriter) -> Scorer:
    state = FeatureState(60, 2.0, 600)
    rules = RuleSet(recovery.rules(writer.connection))
    return Scorer(state, EventReader(gazetteer), model, rules, Thresholds())


Run = Callable[..., RunTotals]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "sentinel.db")


@pytest.fixture
def run(model: AnomalyModel, gazetteer: Gazetteer) -> Run:
    """Run a source into a store from what the store remembers, as one process would."""

    def run_once(store: Store, source: ListSource, *, checkpoint_every: int = 50_000, now: datetime = NOW) -> RunTotals:
        writer = EngineWriter(store)
        try:
            scorer = new_scorer(model, gazetteer, writer)
            recover(scorer, writer)
            pipeline = Pipeline(
                source,
                JsonDecoder(ColumnMap(label="is_fraud", scenario="scenario")),
                scorer,
                writer,
                Clocks(lambda: now, lambda: 0.0),
                SnapshotQueue(),
                review_share=0.1,
                checkpoint_every=checkpoint_every,
            )
            return asyncio.run(pipeline.run())
        finally:
            writer.close()

    return run_once


def some_records(traffic: Path) -> list[bytes]:
    return traffic.read_bytes().splitlines()[:1_500]


def decisions(store: Store) -> list[tuple[object, ...]]:
    with closing(store.reader()) as reader:
        rows = reader.execute(
            "SELECT t.seq, t.transaction_id, t.score, t.model_score, t.velocity, t.level_rank, t.late, a.reasons, "
            "a.evidence, c.number FROM transactions t LEFT JOIN alerts a ON a.transaction_seq = t.seq "
            "LEFT JOIN cases c ON c.id = a.case_id ORDER BY t.seq"
        ).fetchall()
        rows += reader.execute('SELECT "offset", reason, detail, raw FROM dead_letters ORDER BY "offset"').fetchall()
        rows += reader.execute("SELECT * FROM customers ORDER BY card_id").fetchall()
        rows += reader.execute("SELECT * FROM review_sample ORDER BY transaction_seq").fetchall()
    return rows


def record(number: int, **changes: object) -> bytes:
    fields: dict[str, object] = {
        "transaction_id": f"t{number}",
        "card_id": "card",
        "amount": 10.0 + number,
        "timestamp": f"2026-03-02T08:{number % 60:02d}:00Z",
    }
    return orjson.dumps(fields | changes)


@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_decisions_do_not_depend_on_how_records_are_cut_into_batches(
    sizes: list[int], traffic: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    records = some_records(traffic)
    folder = tmp_path_factory.mktemp("batches")
    one, other = Store.open(folder / "one.db"), Store.open(folder / "other.db")
    run(one, ListSource(records, [len(records)]))
    run(other, ListSource(records, sizes))
    assert decisions(one) == decisions(other)


@given(
    stops=st.lists(st.integers(0, 1_500), min_size=1, max_size=4),
    checkpoint_every=st.sampled_from([1, 100, 50_000]),
    lost_checkpoint=st.booleans(),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_restarted_engine_decides_as_one_that_never_stopped(
    stops: list[int],
    checkpoint_every: int,
    lost_checkpoint: bool,
    traffic: Path,
    run: Run,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    records = some_records(traffic)
    folder = tmp_path_factory.mktemp("restarts")
    whole, restarted = Store.open(folder / "whole.db"), Store.open(folder / "restarted.db")
    run(whole, ListSource(records, [97]))
    for stop in sorted(stops):
        run(restarted, ListSource(records[:stop], [61]), checkpoint_every=checkpoint_every)
        if lost_checkpoint:
            with closing(sqlite3.connect(restarted.path)) as connection, connection:
                connection.execute("UPDATE engine_checkpoint SET state = x'00'")
    run(restarted, ListSource(records, [83]))
    assert decisions(restarted) == decisions(whole)


def test_same_transaction_twice_changes_nothing(store: Store, run: Run) -> None:
    once = [record(1), record(2), record(3)]
    run(store, ListSource([once[0], *once, once[1], *once], [2]))
    with closing(store.reader()) as reader:
        assert [row[0] for row in reader.execute("SELECT transaction_id FROM transactions")] == ["t1", "t2", "t3"]
        assert reader.execute("SELECT transactions, spent_minor FROM customers").fetchall() == [(3, 3600)]
        assert reader.execute("SELECT duplicates FROM source_positions").fetchall() == [(5,)]


@pytest.mark.parametrize("sizes", [[1], [10]])
def test_an_id_with_other_values_is_set_aside_and_the_first_stays(store: Store, run: Run, sizes: list[int]) -> None:
    run(store, ListSource([record(1), record(1, amount=99.0), record(1, card_id="other"), record(2)], sizes))
    with closing(store.reader()) as reader:
        assert reader.execute("SELECT transaction_id, amount_minor FROM transactions").fetchall() == [
            ("t1", 1100),
            ("t2", 1200),
        ]
        letters = reader.execute('SELECT "offset", reason FROM dead_letters').fetchall()
    assert letters == [(1, "id_conflict"), (2, "id_conflict")]


def test_a_record_from_the_future_is_set_aside_and_moves_no_watermark(store: Store, run: Run) -> None:
    future = record(2, timestamp="2026-03-02T09:05:01Z")
    run(store, ListSource([record(1), future, record(3), record(4, timestamp="2026-03-02T09:05:00Z")], [1]))
    with closing(store.reader()) as reader:
        letters = reader.execute('SELECT "offset", reason, raw FROM dead_letters').fetchall()
        late = reader.execute("SELECT sum(late) FROM transactions").fetchone()
    assert letters == [(1, "future_dated", future)]
    assert late == (0,)


def test_every_alert_names_its_reasons_and_its_cards_baseline(store: Store, run: Run) -> None:
    burst = [record(20 + n, timestamp=f"2026-03-02T08:30:{n:02d}Z") for n in range(12)]
    run(store, ListSource([*(record(n) for n in range(20)), *burst], [7]))
    with closing(store.reader()) as reader:
        rows = reader.execute(
            "SELECT t.velocity, a.level_rank, a.reasons, a.evidence FROM alerts a "
            "JOIN transactions t ON t.seq = a.transaction_seq ORDER BY a.id"
        ).fetchall()
    by_velocity = {velocity: rank for velocity, rank, *_ in rows if velocity >= 3}
    assert set(by_velocity) == set(range(3, 13))
    for velocity, rank in by_velocity.items():
        assert rank >= (1 if velocity < 6 else 2 if velocity < 8 else 3 if velocity < 10 else 4)
    for velocity, _, reasons, evidence in rows:
        codes = [reason["code"] for reason in orjson.loads(reasons)]
        assert codes
        assert ("velocity" in codes) == (velocity >= 3)
        assert orjson.loads(evidence)["baseline"]["transactions"] >= 3


def test_what_is_drawn_for_review_raised_no_alert_and_did_not_come_late(traffic: Path, store: Store, run: Run) -> None:
    run(store, ListSource(some_records(traffic), [90]))
    with closing(store.reader()) as reader:
        drawn = reader.execute(
            "SELECT t.level_rank, t.late FROM review_sample s JOIN transactions t ON t.seq = s.transaction_seq"
        ).fetchall()
        (stored,) = reader.execute("SELECT count(*) FROM transactions WHERE level_rank = 0 AND NOT late").fetchone()
    assert set(drawn) == {(0, 0)}
    assert len(drawn) == pytest.approx(0.1 * stored, rel=0.25)


def test_what_came_before_a_broken_source_is_stored(store: Store, run: Run) -> None:
    with pytest.raises(SourceError, match="broke"):
        run(store, ListSource([record(n) for n in range(10)], [2], fails_at=6))
    with closing(store.reader()) as reader:
        assert recovery.next_offset(reader, "list", "p0") == 6
        assert recovery.last_seq(reader) == 6
        saved = recovery.checkpoint(reader)
    assert saved is not None
    assert saved[0] == 6


def test_a_stop_ends_a_silent_source_soon(store: Store, model: AnomalyModel, gazetteer: Gazetteer) -> None:
    writer = EngineWriter(store)
    scorer = new_scorer(model, gazetteer, writer)
    snapshots = SnapshotQueue()
    pipeline = Pipeline(
        SilentSource(), JsonDecoder(ColumnMap()), scorer, writer, Clocks(lambda: NOW, lambda: 0.0), snapshots
    )
    thread = threading.Thread(target=lambda: asyncio.run(pipeline.run()))
    thread.start()
    pipeline.stop()
    thread.join(10)
    assert not thread.is_alive()
    last = snapshots.latest()
    assert last is not None
    assert last.state is EngineState.FINISHED
    writer.close()


class FullDiskWriter(EngineWriter):
    """A writer whose disk is full for its first commits."""

    refusals = 2

    def commit(self, batch: BatchResult, now: datetime) -> Commit:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("the disk is full")
        return super().commit(batch, now)


def test_a_full_disk_holds_the_engine_and_loses_nothing(
    store: Store, model: AnomalyModel, gazetteer: Gazetteer
) -> None:
    writer = FullDiskWriter(store)
    scorer = new_scorer(model, gazetteer, writer)
    snapshots = SnapshotQueue()
    notices: list[str | None] = []
    put = snapshots.put
    snapshots.put = lambda snapshot: (notices.append(snapshot.notice), put(snapshot))[1]  # type: ignore[method-assign]
    pipeline = Pipeline(
        ListSource([record(n) for n in range(6)], [3]),
        JsonDecoder(ColumnMap()),
        scorer,
        writer,
        Clocks(lambda: NOW, lambda: 0.0),
        snapshots,
    )
    totals = asyncio.run(pipeline.run())
    assert totals.transactions == 6
    assert sum("the disk is full" in (notice or "") for notice in notices) == 2
    assert notices[-1] is None
    assert recovery.last_seq(writer.connection) == 6
    writer.close()


class _RefusingWriter(EngineWriter):
    """A writer whose second commit finds the database locked, just when a stop was asked for."""

    pipeline: Pipeline | None = None
    commits = 0

    def commit(self, batch: BatchResult, now: datetime) -> Commit:
        self.commits += 1
        if self.commits == 2 and self.pipeline is not None:
            self.pipeline.stop()
            raise StoreError("locked: try again")
        return super().commit(batch, now)


def test_what_could_not_be_stored_is_in_no_checkpoint(store: Store, model: AnomalyModel, gazetteer: Gazetteer) -> None:
    writer = _RefusingWriter(store)
    writer.pipeline = Pipeline(
        ListSource([record(n) for n in range(20)], [10]),
        JsonDecoder(ColumnMap()),
        new_scorer(model, gazetteer, writer),
        writer,
        Clocks(lambda: NOW, lambda: 0.0),
        SnapshotQueue(),
    )
    with pytest.raises(StoreError, match="locked"):
        asyncio.run(writer.pipeline.run())
    assert recovery.last_seq(writer.connection) == 10
    assert recovery.checkpoint(writer.connection) is None
    writer.close()
