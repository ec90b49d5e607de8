"""Rings are read from the latest checkpoint, with the cards that were there and have had no fraud yet."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.batches import ScoredTransaction
from data.label_writes import GivenLabel, LabelWriter
from data.models import LabelSource
from data.store import Store
from data.timestamps import to_microseconds
from engine.card_visits import CardVisits
from engine.compromise import WORTH_SAYING
from engine.entity_graph import EntityGraph
from engine.features import Event
from engine.rings import MOST_EXPOSED, Missing, read_rings, rings_of

from ..data.builders import NOON, World, scored
from ..ring_world import NOW, TAKEN, breached_graph, save_checkpoint


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One transaction, of which nothing is known."""
    store = Store.open(tmp_path / "sentinel.db")
    row: ScoredTransaction = scored("t-1")
    with closing(World(store)) as world:
        world.add(row)
    return store


def label_as_fraud(store: Store) -> None:
    given = GivenLabel(1, "t-1", True, to_microseconds(NOON))
    list(LabelWriter(store, "bank").add([given], LabelSource.CHARGEBACK, NOON))


def test_the_likeliest_merchant_is_first_and_its_cards_without_fraud_are_listed() -> None:
    graph = breached_graph()
    rings = rings_of(graph, 50)
    assert [ring.merchant for ring in rings.rings] == ["M-000123", "Corner Shop [north]"]
    assert rings.fraud_cards == len(graph.frauds) == sum(TAKEN) * 2 // 3
    for ring, taken in zip(rings.rings, TAKEN, strict=True):
        assert ring.posterior >= WORTH_SAYING
        assert ring.cards <= taken
        assert ring.exposed_cards == len(ring.exposed) == ring.cards - ring.fraud_cards > 0
        for card in ring.exposed:
            assert card.card_id not in graph.frauds
            assert ring.first_visit <= card.last_there
            assert card.first_there <= ring.last_visit
        assert list(ring.exposed) == sorted(ring.exposed, key=lambda card: card.last_there, reverse=True)
    assert rings_of(graph, 1).rings == rings.rings[:1]


def test_a_card_that_was_there_before_or_after_is_not_exposed() -> None:
    graph = breached_graph()
    number = graph.entities["M-000123"].number
    before, after = to_microseconds(NOW) - 23 * 86_400_000_000, to_microseconds(NOW)
    graph.observe(Event("after", 1.0, after, None, None, True, "M-000123", None))
    slot = graph.cards.add("before", before // 60_000_000)
    graph.cards.visit(slot, number, before // 60_000_000)
    assert {card for card, _ in graph.cards.at(number)} > {"before", "after"}
    (ring, _) = rings_of(graph, 50).rings
    assert not {"before", "after"} & {card.card_id for card in ring.exposed}


def test_all_exposed_cards_are_counted_and_the_latest_of_them_listed() -> None:
    graph = breached_graph()
    number = graph.entities["M-000123"].number
    minute = to_microseconds(rings_of(graph, 1).rings[0].first_visit) // 60_000_000
    for card in range(MOST_EXPOSED):
        graph.cards.visit(graph.cards.add(f"more-{card}", minute), number, minute)
    (ring, *_) = rings_of(graph, 1).rings
    assert ring.exposed_cards > MOST_EXPOSED
    assert len(ring.exposed) == MOST_EXPOSED
    assert ring.exposed[0].last_there > ring.exposed[-1].last_there


def test_who_was_at_an_entity_is_what_each_card_remembers() -> None:
    visits = CardVisits(10)
    for card in range(8):
        slot = visits.add(f"c{card}", card)
        for entity in range(1, card + 1):
            visits.visit(slot, entity, 1_000 + card)
    for entity in range(1, 10):
        expected = [
            (name, visit)
            for slot, name in enumerate(visits.names)
            for visit in visits.of(slot)
            if visit.entity == entity
        ]
        assert visits.at(entity) == expected


def test_what_is_missing_is_told(store: Store) -> None:
    with closing(store.reader()) as reader:
        assert read_rings(reader).missing is Missing.FRAUD
        label_as_fraud(store)
        assert read_rings(reader).missing is Missing.CHECKPOINT
        save_checkpoint(store, None)
        assert read_rings(reader).missing is Missing.CHECKPOINT
        with closing(store.engine_writer()) as writer, store.transaction(writer):
            writer.execute("UPDATE engine_checkpoint SET state = x'00'")
        assert read_rings(reader).missing is Missing.READABLE_CHECKPOINT
        save_checkpoint(store, breached_graph())
        found = read_rings(reader)
    assert found == rings_of(breached_graph(), 50)
    assert found.missing is None
    assert found.as_of is not None
    assert found.as_of <= datetime(2026, 3, 14, 12, tzinfo=UTC)


def test_a_graph_without_fraud_has_no_rings(store: Store) -> None:
    label_as_fraud(store)
    save_checkpoint(store, EntityGraph())
    with closing(store.reader()) as reader:
        found = read_rings(reader)
    assert (found.missing, found.rings, found.fraud_cards) == (None, (), 0)
