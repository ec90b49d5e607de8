"""The engine follows labels and models while it runs, and a restart knows what it knew, and when."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from data.batches import BatchResult
from data.engine_writes import EngineWriter
from data.label_writes import GivenLabel, LabelWriter
from data.model_registry import ModelRegistry
from data.models import LabelSource
from data.queries import alerts, recovery
from data.store import Store
from data.timestamps import to_microseconds
from engine import memory
from engine.columns import ColumnMap
from engine.decode import JsonDecoder
from engine.evidence import _shortened
from engine.features import EventReader, FeatureState
from engine.following import Follower
from engine.gazetteer import Gazetteer
from engine.learning import LABEL_DELAY_US, Learning
from engine.lessons import StoredLessons, read_lessons
from engine.messages import SnapshotQueue
from engine.model import AnomalyModel
from engine.pipeline import Clocks, Pipeline, recover
from engine.ranker import Ranker
from engine.ranker_titles import RANKER_FEATURES
from engine.ranker_training import train_on_lessons
from engine.rules import RuleSet
from engine.scorer import Scorer
from engine.scoring import RANKED_CODE, Thresholds

from .test_pipeline import ListSource, decisions

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TAUGHT, SCORED = 6_000, 9_000


class Engine:
    """One store, one stream, one model folder; each ``run`` is what a process would do from start to end."""

    def __init__(self, folder: Path, records: list[bytes], model: AnomalyModel, gazetteer: Gazetteer) -> None:
        self.store = Store.open(folder / "sentinel.db")
        self._folder = folder
        self._records = records
        self._model = model
        self._gazetteer = gazetteer

    def run(self, until: int, batch: int = 500, checkpoint_every: int = 50_000) -> bytes:
        """Score up to a record; what the engine remembers at the end."""
        writer = EngineWriter(self.store)
        reader = EventReader(self._gazetteer)
        rules = RuleSet(recovery.rules(writer.connection))
        scorer = Scorer(FeatureState(60, 2.0, 600), reader, self._model, rules, Thresholds(), Learning())
        try:
            recover(scorer, writer)
            follower = Follower(writer, scorer.learning, reader, lambda each: Ranker.load(self._folder / each.file))
            follower.resume()
            pipeline = Pipeline(
                ListSource(self._records[:until], [batch]),
                JsonDecoder(ColumnMap(label="is_fraud", scenario="scenario")),
                scorer,
                writer,
                Clocks(lambda: NOW, lambda: 0.0),
                SnapshotQueue(),
                follower=follower,
                checkpoint_every=checkpoint_every,
            )
            asyncio.run(pipeline.run())
        finally:
            writer.close()
        return memory.dump(scorer.state, scorer.learning)

    def label(self, *, taken_back: bool = False, known_at: datetime | None = None) -> None:
        """Import the truth about everything that is stored, known an hour later; or that there was no fraud at all."""
        with closing(self.store.reader()) as connection:
            rows = connection.execute("SELECT transaction_id, event_time, is_fraud FROM transactions").fetchall()
        hour = timedelta(hours=1) // timedelta(microseconds=1)
        given = (
            GivenLabel(
                n,
                transaction,
                bool(fraud) and not taken_back,
                time + hour if known_at is None else to_microseconds(known_at),
            )
            for n, (transaction, time, fraud) in enumerate(rows)
        )
        list(LabelWriter(self.store, "bank").add(given, LabelSource.CHARGEBACK, NOW, correct=taken_back))

    def lessons(self) -> StoredLessons:
        with closing(self.store.reader()) as connection:
            state = FeatureState(60, 2.0, 600)
            return read_lessons(connection, state, EventReader(self._gazetteer), LABEL_DELAY_US, lambda _: None)

    def train(self) -> str:
        lessons = self.lessons()
        ranker = train_on_lessons(lessons, NOW, 0.5).ranker
        ranker.save(self._folder / "ranker.npz")
        version = ranker.card.version
        ModelRegistry(self.store, "ana").register(
            version, "ranker.npz", ranker.card.model_dump_json(), "{}", (lessons.seq, lessons.memory), NOW
        )
        return version


@pytest.fixture(scope="module")
def records(traffic: Path) -> list[bytes]:
    return traffic.read_bytes().splitlines()[:SCORED]


@pytest.fixture
def engine(tmp_path: Path, records: list[bytes], model: AnomalyModel, gazetteer: Gazetteer) -> Engine:
    return Engine(tmp_path, records, model, gazetteer)


def ranked_alerts(store: Store) -> list[tuple[int, dict[str, float | None]]]:
    with closing(store.reader()) as reader:
        found = reader.execute("SELECT id, transaction_seq, evidence FROM alerts ORDER BY id").fetchall()
    return [
        (seq, {each["feature"]: each["value"] for each in orjson.loads(evidence)["ranked"]["contributions"]})
        for _, seq, evidence in found
        if orjson.loads(evidence)["ranked"] is not None
    ]


def test_a_challenger_scores_in_shadow_and_decides_only_once_promoted(engine: Engine) -> None:
    engine.run(TAUGHT)
    engine.label()
    version = engine.train()
    engine.run(TAUGHT + 1_000)
    with closing(engine.store.reader()) as reader:
        shadow = reader.execute("SELECT count(*), min(seq) FROM transactions WHERE challenger_score IS NOT NULL")
        scored, first = shadow.fetchone()
    assert scored > 900
    assert first > TAUGHT - 100
    assert ranked_alerts(engine.store) == []
    ModelRegistry(engine.store, "ana").promote(None, NOW)
    engine.run(SCORED)
    assert ranked_alerts(engine.store)
    with closing(engine.store.reader()) as reader:
        (alert_id,) = reader.execute(
            "SELECT id FROM alerts WHERE reason_codes LIKE ? ORDER BY id DESC", (f"%{RANKED_CODE}%",)
        ).fetchone()
        alert = alerts.alert(reader, alert_id)
    assert alert is not None
    assert alert.ranked is not None
    assert alert.ranked.model == version
    total = alert.ranked.base + sum(each.share for each in alert.ranked.contributions)
    assert total == pytest.approx(alert.ranked.log_odds, abs=1e-9)


def test_the_rows_that_were_served_are_the_rows_that_a_training_reads(engine: Engine) -> None:
    engine.run(TAUGHT)
    engine.label()
    engine.train()
    ModelRegistry(engine.store, "ana").promote(None, NOW)
    engine.run(SCORED)
    engine.label(known_at=NOW)
    lessons = engine.lessons()
    rows = dict(zip(lessons.seqs, lessons.matrix().tolist(), strict=True))
    compared = 0
    for seq, served in ranked_alerts(engine.store):
        if seq not in rows:
            continue
        read = {
            feature.name: None if value != value else _shortened(feature.natural(value))  # noqa: PLR0124 - NaN
            for feature, value in zip(RANKER_FEATURES, rows[seq], strict=True)
        }
        assert read == served
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("checkpoint_every", [700, 50_000])
def test_a_restart_at_any_time_remembers_and_decides_what_one_run_does(
    tmp_path: Path, records: list[bytes], model: AnomalyModel, gazetteer: Gazetteer, checkpoint_every: int
) -> None:
    results = []
    for name, stops in (("whole", (SCORED,)), ("parts", (TAUGHT + 300, TAUGHT + 1_500, TAUGHT + 1_501, SCORED))):
        (tmp_path / name).mkdir()
        engine = Engine(tmp_path / name, records, model, gazetteer)
        engine.run(TAUGHT)
        engine.label()
        engine.train()
        ModelRegistry(engine.store, "ana").promote(None, NOW)
        remembered = b""
        for until in stops:
            remembered = engine.run(until, checkpoint_every=checkpoint_every)
        results.append((remembered, decisions(engine.store)))
    assert results[0][0] == results[1][0]
    assert results[0][1] == results[1][1]


def test_a_fraud_that_is_taken_back_leaves_no_trace(engine: Engine) -> None:
    engine.run(TAUGHT)
    before = Learning(LABEL_DELAY_US).labels.has_labels
    engine.label()
    engine.run(TAUGHT + 10)
    engine.label(taken_back=True)
    engine.run(TAUGHT + 20)
    writer = EngineWriter(engine.store)
    scorer_memory = recovery.checkpoint(writer.connection)
    writer.close()
    assert scorer_memory is not None
    learning = Learning()
    memory.load(scorer_memory[1], FeatureState(60, 2.0, 600), learning)
    assert learning.labels.has_labels is before is False


def test_a_model_that_cannot_be_read_leaves_the_decision_to_the_anomaly_model_and_says_so(
    engine: Engine, tmp_path: Path
) -> None:
    engine.run(TAUGHT)
    engine.label()
    engine.train()
    ModelRegistry(engine.store, "ana").promote(None, NOW)
    (tmp_path / "ranker.npz").write_bytes(b"not a model")
    engine.run(SCORED)
    assert ranked_alerts(engine.store) == []
    with closing(engine.store.reader()) as reader:
        assert recovery.last_seq(reader) > SCORED - 100


def test_nothing_is_taken_in_when_nobody_wrote(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    commit = EngineWriter.commit

    def watched(self: EngineWriter, batch: BatchResult, now: datetime) -> object:
        taken.append(batch.taken_in)
        return commit(self, batch, now)

    monkeypatch.setattr(EngineWriter, "commit", watched)
    engine.run(2_000)
    assert [each is None for each in taken] == [False, True, True, True]
