"""The engine connects cards from the first known fraud on, says what an alert's card shares, and survives a restart."""

import random
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from data.batches import BatchResult
from data.engine_writes import EngineWriter
from data.label_writes import GivenLabel, LabelWriter
from data.models import Alert, LabelSource, NeighbourKind
from data.queries import recovery
from data.store import Store
from data.timestamps import to_microseconds
from engine import memory
from engine.entity_graph import EntityGraph
from engine.features import FeatureState
from engine.gazetteer import Gazetteer
from engine.learning import Learning
from engine.model import AnomalyModel
from engine.sealed import CheckpointError, seal, unseal

from .alerted import alerts_of
from .test_following import NOW, Engine
from .test_pipeline import decisions

START = datetime(2026, 1, 1, tzinfo=UTC)
BREACHED = "breached"
DAYS, FIRST_WAVE, SECOND_WAVE = 22, 15, 20
NewEngine = Callable[[str], Engine]


def breach() -> list[bytes]:
    """Three weeks of 150 cards; of those that were at one merchant in the second week, half are struck in either wave.

    A fraud is a large amount in a shop of its own.
    """
    dice = random.Random(5)
    cards = [f"card-{number}" for number in range(150)]
    victims = dice.sample(cards, 40)
    purchases: list[tuple[int, str, str, float, int]] = []
    for day in range(DAYS):
        for card in cards:
            second = 86_400 * day + dice.randrange(86_400)
            purchases.append((second, card, f"m{dice.randrange(60)}", dice.uniform(20, 40), 0))
    for number, card in enumerate(victims):
        purchases.append((86_400 * dice.randrange(7, 11) + dice.randrange(86_400), card, BREACHED, 25.0, 0))
        day = (FIRST_WAVE, SECOND_WAVE)[number % 2]
        purchases.append((86_400 * day + dice.randrange(86_400), card, f"shop-{number}", 4_000.0, 1))
    return [
        orjson.dumps(
            {
                "transaction_id": f"t{number}",
                "card_id": card,
                "amount": round(amount, 2),
                "timestamp": (START + timedelta(seconds=second)).isoformat(),
                "merchant_id": merchant,
                "location": "Denver, CO",
                "is_fraud": fraud,
            }
        )
        for number, (second, card, merchant, amount, fraud) in enumerate(sorted(purchases))
    ]


RECORDS = breach()
LABELLED = next(n for n, raw in enumerate(RECORDS) if orjson.loads(raw)["timestamp"] >= f"{START:%Y-%m}-18")


@pytest.fixture
def new_engine(tmp_path: Path, model: AnomalyModel, gazetteer: Gazetteer) -> NewEngine:
    """Makes engines of their own on the same stream, by name."""

    def make(name: str, records: list[bytes] = RECORDS) -> Engine:
        (tmp_path / name).mkdir()
        return Engine(tmp_path / name, records, model, gazetteer)

    return make


def graph_of(dumped: bytes) -> EntityGraph | None:
    return memory.load_graph(dumped)


def spoil_checkpoint(store: Store, state: bytes | None) -> None:
    """Put another checkpoint in the place of the stored one, or none."""
    with closing(store.engine_writer()) as connection, store.transaction(connection):
        if state is None:
            connection.execute("DELETE FROM engine_checkpoint")
        else:
            connection.execute("UPDATE engine_checkpoint SET state = ?", (state,))


def sharing(store: Store) -> list[Alert]:
    return [alert for alert in alerts_of(store) if alert.shared]


def test_without_a_known_fraud_nothing_is_connected_and_nothing_is_said(new_engine: NewEngine) -> None:
    engine = new_engine("whole")
    assert graph_of(engine.run(len(RECORDS))) is None
    assert not sharing(engine.store)


def test_an_alert_says_where_its_card_was_with_cards_that_had_fraud_later(new_engine: NewEngine) -> None:
    engine = new_engine("whole")
    engine.run(LABELLED)
    engine.label()
    engine.run(len(RECORDS))
    second_wave = {record["card_id"] for raw in RECORDS[LABELLED:] if (record := orjson.loads(raw))["is_fraud"]}
    found = sharing(engine.store)
    assert len({alert.card_id for alert in found} & second_wave) > len(second_wave) // 2
    for alert in found:
        assert alert.event_time >= datetime(2026, 1, 18, tzinfo=UTC)
    of_victims = [alert.shared[0] for alert in found if alert.card_id in second_wave]
    assert {(each.kind, each.name) for each in of_victims} == {(NeighbourKind.MERCHANT, BREACHED)}
    for each in of_victims:
        assert 3 <= each.fraud_cards <= 20
        assert each.fraud_cards <= each.cards_seen <= 40
        assert each.expected < each.fraud_cards / 4
        assert each.posterior > 0.5
        assert each.since < each.last_visit < datetime(2026, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("batch", [1, 37, 5_000])
def test_what_is_said_does_not_depend_on_how_records_are_cut_into_batches(new_engine: NewEngine, batch: int) -> None:
    results = []
    for name, size in (("usual", 500), ("other", batch)):
        engine = new_engine(name)
        engine.run(LABELLED)
        engine.label()
        results.append((engine.run(len(RECORDS), batch=size), decisions(engine.store)))
        assert sharing(engine.store)
    assert results[0] == results[1]


OLD_CHECKPOINT = seal(b"sentinel memory 1" + bytes(24), b"")


@pytest.mark.parametrize("checkpoint", ["kept", None, OLD_CHECKPOINT], ids=["kept", "lost", "of another version"])
@pytest.mark.parametrize("checkpoint_every", [300, 50_000])
def test_a_restart_knows_what_one_run_knows(
    new_engine: NewEngine, checkpoint: str | bytes | None, checkpoint_every: int
) -> None:
    results = []
    for name, stops in (("whole", (len(RECORDS),)), ("parts", (LABELLED + 1, LABELLED + 450, len(RECORDS)))):
        engine = new_engine(name)
        engine.run(LABELLED)
        engine.label()
        remembered = b""
        for until in stops:
            if not isinstance(checkpoint, str):
                spoil_checkpoint(engine.store, checkpoint)
            remembered = engine.run(until, checkpoint_every=checkpoint_every)
        results.append((remembered, decisions(engine.store)))
    assert results[0] == results[1]
    graph = graph_of(results[0][0])
    assert graph is not None
    assert graph.frauds


def test_labels_that_come_while_nothing_but_repetitions_arrives_are_taken_in_once(
    new_engine: NewEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeated = [*RECORDS[:LABELLED], *RECORDS[:50], *RECORDS[LABELLED:]]
    engines: list[Engine] = []
    commit = EngineWriter.commit

    def labelled_meanwhile(self: EngineWriter, batch: BatchResult, now: datetime) -> object:
        done = commit(self, batch, now)
        if batch.first_offset < LABELLED <= batch.next_offset:
            engines[-1].label()
        return done

    monkeypatch.setattr(EngineWriter, "commit", labelled_meanwhile)
    results = []
    for name, stops in (("whole", (len(repeated),)), ("parts", (LABELLED + 50, len(repeated)))):
        engines.append(new_engine(name, repeated))
        for until in stops:
            remembered = engines[-1].run(until, batch=10)
        results.append((remembered, decisions(engines[-1].store)))
    assert results[0] == results[1]


def test_a_graph_knows_the_frauds_of_all_labels_however_they_came(new_engine: NewEngine) -> None:
    """The first label begins the graph, the others come when it is there."""
    at_once, one_by_one = new_engine("at once"), new_engine("one by one")
    at_once.run(LABELLED)
    at_once.label()
    one_by_one.run(LABELLED)
    frauds = [record["transaction_id"] for raw in RECORDS[:LABELLED] if (record := orjson.loads(raw))["is_fraud"]]
    for number, transaction in enumerate(frauds):
        known_at = to_microseconds(START + timedelta(days=18))
        given = GivenLabel(1, transaction, True, known_at)
        list(LabelWriter(one_by_one.store, "bank").add([given], LabelSource.CHARGEBACK, NOW))
        one_by_one.run(LABELLED + number + 1)
    graphs = [graph_of(engine.run(len(RECORDS))) for engine in (at_once, one_by_one)]
    known = [graph and {card: fraud.minute for card, fraud in graph.frauds.items()} for graph in graphs]
    assert known[0] == known[1]
    assert len(known[0] or ()) == len(frauds)


def test_a_fraud_that_is_taken_back_is_in_no_graph(new_engine: NewEngine) -> None:
    engine = new_engine("whole")
    engine.run(LABELLED)
    engine.label()
    engine.run(LABELLED + 10)
    engine.label(taken_back=True)
    remembered = engine.run(LABELLED + 20)
    for checkpoint in ("kept", None):
        if checkpoint is None:
            spoil_checkpoint(engine.store, None)
            remembered = engine.run(LABELLED + 30)
        graph = graph_of(remembered)
        assert graph is not None
        assert not graph.frauds
        assert not graph.pending
        assert not any(entity.cases or entity.defrauded for entity in graph.entities.values())
    engine.run(len(RECORDS))
    assert not sharing(engine.store)


def test_a_damaged_graph_is_refused_with_all_of_its_checkpoint(new_engine: NewEngine) -> None:
    engine = new_engine("whole")
    engine.run(LABELLED)
    engine.label()
    engine.run(LABELLED + 10)
    with closing(engine.store.reader()) as reader:
        saved = recovery.checkpoint(reader)
    assert saved is not None
    state, learning = FeatureState(60, 2.0, 600), Learning()
    header, body = unseal(saved[1])
    with pytest.raises(CheckpointError, match="damaged"):
        memory.load(seal(header, body[:-1] + bytes([body[-1] ^ 1])), state, learning)
    assert not state.cards
    assert not learning.labels.holds_fraud
    memory.load(saved[1], state, learning)
    assert memory.dump(state, learning) == saved[1]
