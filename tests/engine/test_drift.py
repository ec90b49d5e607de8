"""Drift in the running engine: what is counted does not depend on batches and restarts, and what is told is told."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.drift import Window
from data.engine_writes import EngineWriter
from data.queries import recovery
from data.store import Store
from engine import checkpoint, drift_watch
from engine.columns import ColumnMap
from engine.decode import JsonDecoder
from engine.drift import AlertRate, Drift, read_drift
from engine.features import EventReader, FeatureState
from engine.gazetteer import Gazetteer
from engine.generator import GeneratorConfig, GeneratorSource
from engine.messages import EngineSnapshot, SnapshotQueue
from engine.model import AnomalyModel
from engine.pipeline import Clocks, Pipeline, recover
from engine.psi import DriftLevel
from engine.records import Batch
from engine.rules import RuleSet
from engine.scorer import Scorer
from engine.scoring import Thresholds
from engine.training import warm_up

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
START = datetime(2026, 1, 5, tzinfo=UTC)
HONEST = GeneratorConfig(seed=4, cards=1_000, start=START, records=23_000, honest_only=True)
CHANGE = 14_000
"""How many come before the amounts double; five days and a half in all."""
FEW = GeneratorConfig(seed=9, cards=100, start=START, records=2_000, honest_only=True)


class _Records:
    name = "list"
    partition = "p0"
    fraction_read = None

    def __init__(self, records: list[bytes], size: int) -> None:
        self._records = records
        self._size = size

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        for first in range(start_offset, len(self._records), self._size):
            yield Batch(self.partition, first, tuple(self._records[first : first + self._size]), 0.0)


def drawn(config: GeneratorConfig) -> list[bytes]:
    return list(GeneratorSource(config).draw())


def doubled(raw: bytes) -> bytes:
    fields = orjson.loads(raw)
    return orjson.dumps(fields | {"amount": 2 * fields["amount"]})


class Site:
    """A store with an engine that may be started on it again and again."""

    def __init__(self, path: Path, model: AnomalyModel, gazetteer: Gazetteer, config: GeneratorConfig) -> None:
        self.store = Store.open(path)
        self._model = model
        self._reader = EventReader(gazetteer)
        self._config = config

    def run(self, records: list[bytes], size: int = 500, checkpoint_every: int = 50_000) -> EngineSnapshot:
        """Score on from where the store stands; what the engine last said of itself."""
        writer = EngineWriter(self.store)
        snapshots = SnapshotQueue()
        rules = RuleSet(recovery.rules(writer.connection))
        scorer = Scorer(FeatureState(60, 2.0, 600), self._reader, self._model, rules, Thresholds())
        if recovery.checkpoint(writer.connection) is None:
            warm_up(scorer.state, GeneratorSource(self._config), self._reader, lambda _: None)
            writer.save_checkpoint(0, checkpoint.dump(scorer.state), NOW)
        else:
            recover(scorer, writer)
        pipeline = Pipeline(
            _Records(records, size),
            JsonDecoder(ColumnMap()),
            scorer,
            writer,
            Clocks(lambda: NOW, lambda: 0.0),
            snapshots,
            checkpoint_every=checkpoint_every,
        )
        asyncio.run(pipeline.run())
        writer.close()
        last = snapshots.latest()
        assert last is not None
        return last

    def drift(self) -> Drift:
        with closing(self.store.reader()) as reader:
            drift = read_drift(reader)
        assert drift is not None
        return drift

    def counted(self) -> list[Any]:
        with closing(self.store.reader()) as reader:
            return [
                reader.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - fixed names
                for table in ("drift_references", "drift_days")
            ]


def test_honest_traffic_raises_no_alarm_and_doubled_amounts_do(
    tmp_path: Path, model: AnomalyModel, gazetteer: Gazetteer
) -> None:
    records = drawn(HONEST)
    site = Site(tmp_path / "sentinel.db", model, gazetteer, HONEST)
    notice = site.run(records[:CHANGE]).notice
    drift = site.drift()
    assert drift.is_decided
    assert drift.window is Window.TRAINING
    assert drift.alarm is None
    assert drift.level is not DriftLevel.UNKNOWN
    assert notice is None

    last = site.run(records[:CHANGE] + [doubled(raw) for raw in records[CHANGE:]])
    drift = site.drift()
    assert drift.level is DriftLevel.DRIFTED
    moved = {each.name: each for each in (*drift.scores, *drift.features) if each.level is DriftLevel.DRIFTED}
    assert {"amount", "amount_over_mean", "day_spend_excess", "score"} <= moved.keys()
    assert moved["amount"].direction == 1
    assert moved["amount"].now.median == pytest.approx(2 * moved["amount"].then.median, rel=0.1)
    assert last.notice is not None
    assert str(drift.alarm) in last.notice
    assert "delete the model file" in last.notice


@pytest.fixture(scope="module")
def few_records() -> list[bytes]:
    """Amounts are five times as high as where the model comes from, from the first on."""
    records = [orjson.loads(raw) for raw in drawn(FEW)]
    return [orjson.dumps(fields | {"amount": 5 * fields["amount"]}) for fields in records]


@pytest.fixture(scope="module")
def soon_decided() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift_watch, "SITE_ROWS", 1_100)
        yield


@pytest.fixture(scope="module")
def whole(
    soon_decided: None,
    tmp_path_factory: pytest.TempPathFactory,
    model: AnomalyModel,
    gazetteer: Gazetteer,
    few_records: list[bytes],
) -> list[Any]:
    site = Site(tmp_path_factory.mktemp("whole") / "sentinel.db", model, gazetteer, FEW)
    site.run(few_records, size=len(few_records))
    return site.counted()


def test_a_site_of_another_kind_is_compared_with_its_own_first_traffic(whole: list[Any]) -> None:
    references, days = whole
    assert [row[2] for row in references] == ["training", "site"]
    assert sum(row[2] for row in days if row[0] == references[0][0]) == 1_100
    compared = sum(row[2] for row in days if row[0] == references[1][0])
    assert compared > 500


@given(
    stops=st.lists(st.integers(1, 2_000), min_size=1, max_size=3),
    size=st.integers(1, 700),
    checkpoint_every=st.sampled_from([300, 50_000]),
    lost=st.booleans(),
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_do_not_depend_on_batches_nor_on_restarts(
    stops: list[int],
    size: int,
    checkpoint_every: int,
    lost: bool,
    soon_decided: None,
    whole: list[Any],
    tmp_path_factory: pytest.TempPathFactory,
    model: AnomalyModel,
    gazetteer: Gazetteer,
    few_records: list[bytes],
) -> None:
    site = Site(tmp_path_factory.mktemp("cut") / "sentinel.db", model, gazetteer, FEW)
    saved: tuple[int, bytes] | None = None
    for stop in (*sorted(stops), len(few_records)):
        site.run(few_records[:stop], size, checkpoint_every)
        with closing(sqlite3.connect(site.store.path)) as connection, connection:
            if saved is None:
                saved = connection.execute("SELECT seq, state FROM engine_checkpoint").fetchone()
            elif lost:
                # As after a crash: the state is older than what is stored, and is replayed.
                connection.execute("UPDATE engine_checkpoint SET seq = ?, state = ?", saved)
    assert site.counted() == whole


@pytest.mark.parametrize(
    ("alerts", "transactions", "level"),
    [
        (40, 999, DriftLevel.UNKNOWN),
        (5, 1_000, DriftLevel.STABLE),
        (9, 1_000, DriftLevel.STABLE),
        (80, 10_000, DriftLevel.SHIFTING),
        (20, 1_000, DriftLevel.SHIFTING),
        (40, 1_000, DriftLevel.DRIFTED),
        (0, 700, DriftLevel.UNKNOWN),
        (0, 1_000, DriftLevel.SHIFTING),
        (0, 10_000, DriftLevel.DRIFTED),
    ],
)
def test_few_transactions_do_not_make_an_alert_rate_an_alarm(alerts: int, transactions: int, level: DriftLevel) -> None:
    assert AlertRate(alerts, transactions, score=0.5, target=0.005).level is level
