"""A card's visits are remembered from the first to the last, as many as there is room for."""

from hypothesis import given
from hypothesis import strategies as st

from engine.card_visits import (
    DAY_MIN,
    EXPOSURE_MIN,
    MEMORY_MIN,
    NEVER,
    PROBES,
    VISITS_KEPT,
    CardVisits,
    Visit,
    exposure,
)

START = 29_000_000


@given(st.lists(st.tuples(st.integers(1, VISITS_KEPT), st.integers(0, 10 * DAY_MIN)), max_size=80))
def test_first_and_last_visits_equal_a_recount(steps: list[tuple[int, int]]) -> None:
    cards = CardVisits(10)
    slot = cards.add("c", START)
    minute, custom = START, dict[int, tuple[int, int]]()
    for entity, wait in steps:
        minute += wait
        before = cards.visit(slot, entity, minute)
        assert before == (custom[entity][1] if entity in custom else NEVER)
        first, last = custom.get(entity, (minute, minute))
        if minute - last > EXPOSURE_MIN:
            first = minute
        custom[entity] = (max(first, minute - MEMORY_MIN - 120), minute)
    seen = {visit.entity: visit for visit in cards.of(slot)}
    assert seen.keys() == custom.keys()
    for entity, (first, last) in custom.items():
        assert seen[entity].last == last
        assert min(first, last) <= seen[entity].first + 120
        assert seen[entity].first <= max(first + 179, last)
        assert seen[entity].first <= last


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200))
def test_the_longest_unvisited_goes_first(entities: list[int]) -> None:
    cards = CardVisits(10)
    slot = cards.add("c", START)
    for step, entity in enumerate(entities):
        cards.visit(slot, entity, START + step)
    kept = {visit.entity for visit in cards.of(slot)}
    assert kept == set(list(dict.fromkeys(reversed(entities)))[:VISITS_KEPT])


def test_cards_are_bounded_and_a_card_that_took_a_slot_inherits_nothing() -> None:
    cards = CardVisits(20)
    for number in range(500):
        slot = cards.add(f"c{number}", START + number)
        cards.visit(slot, number + 1, START + number)
    assert len(cards) == 20
    assert len(cards.entities) == 20 * VISITS_KEPT
    for card, slot in cards.slots.items():
        assert [visit.entity for visit in cards.of(slot)] == [int(card[1:]) + 1]


def test_a_card_out_of_memory_leaves_its_slot_while_there_is_room() -> None:
    cards = CardVisits(1_000)
    for number in range(PROBES):
        cards.visit(cards.add(f"old{number}", START), 1, START)
    for number in range(PROBES):
        later = START + MEMORY_MIN + 1
        cards.visit(cards.add(f"new{number}", later), 1, later)
    assert sorted(cards.slots) == [f"new{number}" for number in range(PROBES)]


def test_only_visits_of_the_month_before_the_fraud_expose() -> None:
    fraud = START
    assert exposure(Visit(1, fraud - 100, fraud - 50), fraud) == fraud - 50
    assert exposure(Visit(1, fraud, fraud), fraud) is None
    assert exposure(Visit(1, fraud + 5, fraud + 9), fraud) is None
    assert exposure(Visit(1, fraud - EXPOSURE_MIN - 9, fraud - EXPOSURE_MIN - 1), fraud) is None
    assert exposure(Visit(1, fraud - 90 * DAY_MIN, fraud + 100), fraud) == fraud - DAY_MIN
    assert exposure(Visit(1, fraud - 100, fraud + 100), fraud) == fraud - 100
