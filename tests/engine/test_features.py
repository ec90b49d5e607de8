from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import profiles
from engine.checkpoint import dump, load
from engine.features import FEATURE_NAMES, Event, FeatureState
from engine.sealed import CheckpointError
from engine.windows import ALLOWED_LATENESS_US

SECOND = 1_000_000
HOUR = 3_600 * SECOND
START = 1_772_400_000 * SECOND
CHICAGO = (41.88, -87.63)
DENVER = (39.74, -104.99)


def new_state() -> FeatureState:
    return FeatureState(velocity_window_s=60, small_amount=2.0, small_amount_window_s=600)


def event(
    time: int,
    amount: float = 20.0,
    card: str = "card",
    place: tuple[float, float] | None = None,
    merchant: str | None = "shop",
    category: str | None = "grocery",
) -> Event:
    latitude, longitude = place if place is not None else (None, None)
    return Event(card, amount, time, latitude, longitude, category != "online", merchant, category)


def feature(state: FeatureState, name: str, of: Event) -> float:
    return state.observe(of).features[FEATURE_NAMES.index(name)]


def regular_card(state: FeatureState, days: int = 20, amount: float = 20.0) -> int:
    """A card that spends the same each noon, at home in Chicago; the time of the next noon."""
    for day in range(days):
        state.observe(event(START + day * 24 * HOUR, amount=amount, place=CHICAGO))
    return START + days * 24 * HOUR


events = st.lists(
    st.builds(
        event,
        time=st.integers(START, START + 30 * 24 * HOUR),
        amount=st.floats(0, 1e12),
        card=st.sampled_from(["a", "b", "c"]),
        place=st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
        merchant=st.none() | st.sampled_from(["m", "n"]),
        category=st.none() | st.sampled_from(["grocery", "online"]),
    ),
    max_size=60,
)


@given(events)
def test_every_feature_is_finite_and_never_below_its_ordinary_value_of_zero(sequence: list[Event]) -> None:
    state = new_state()
    for each in sequence:
        features = state.observe(each).features
        assert len(features) == len(FEATURE_NAMES)
        assert all(isfinite(value) and value >= 0.0 for value in features)


@given(events, events)
@settings(max_examples=50)
def test_a_restored_checkpoint_answers_bit_for_bit_as_the_original(before: list[Event], after: list[Event]) -> None:
    original = new_state()
    for each in before:
        original.observe(each)
    restored = new_state()
    load(dump(original), restored)
    for each in after:
        assert restored.observe(each) == original.observe(each)
    assert dump(restored) == dump(original)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_checkpoint_are_refused_and_change_nothing(data: bytes) -> None:
    state = new_state()
    with pytest.raises(CheckpointError):
        load(data, state)
    assert dump(state) == dump(new_state())


@given(st.integers(1, 400))
@settings(max_examples=30)
def test_a_checkpoint_cut_short_is_refused(length: int) -> None:
    state = new_state()
    regular_card(state)
    data = dump(state)
    with pytest.raises(CheckpointError):
        load(data[: -min(length, len(data) - 1)], new_state())


def test_a_checkpoint_taken_with_another_window_is_refused() -> None:
    with pytest.raises(CheckpointError, match="other windows"):
        load(dump(new_state()), FeatureState(30, 2.0, 600))


def test_a_burst_of_fraud_does_not_become_the_cards_normal() -> None:
    state = new_state()
    noon = regular_card(state)
    first = feature(state, "amount_over_mean", event(noon, amount=2000.0))
    for number in range(1, 6):
        last = feature(state, "amount_over_mean", event(noon + number * HOUR, amount=2000.0))
    assert last > 0.85 * first


def test_an_amount_below_the_cards_mean_is_ordinary() -> None:
    state = new_state()
    noon = regular_card(state)
    observation = state.observe(event(noon, amount=1.0, place=CHICAGO))
    for name in ("amount_over_mean", "amount_deviation", "day_spend_excess", "home_distance", "travel_speed"):
        assert observation.features[FEATURE_NAMES.index(name)] == 0.0, name


def test_the_highest_ratio_is_remembered_for_one_to_two_weeks() -> None:
    state = new_state()
    noon = regular_card(state)
    state.observe(event(noon, amount=400.0))
    soon = feature(state, "recent_ratio_max", event(noon + 24 * HOUR))
    assert soon > 2.0
    assert feature(state, "recent_ratio_max", event(noon + 15 * 24 * HOUR)) < soon


def test_travel_speed_is_distance_over_time_less_the_accuracy_of_places() -> None:
    state = new_state()
    noon = regular_card(state)
    state.observe(event(noon, place=CHICAGO))
    observation = state.observe(event(noon + HOUR, place=DENVER))
    assert observation.travel_s == 3600.0
    assert observation.travel_km == pytest.approx(1475 - 25, abs=10)
    assert observation.speed_kmh == pytest.approx(observation.travel_km)


def test_an_online_purchase_moves_no_card() -> None:
    state = new_state()
    noon = regular_card(state)
    state.observe(event(noon, place=CHICAGO))
    assert state.observe(event(noon + SECOND, place=DENVER, category="online")).speed_kmh == 0.0
    assert state.observe(event(noon + HOUR, place=CHICAGO)).speed_kmh == 0.0


def test_places_that_no_card_can_travel_between_are_left_out_of_scoring() -> None:
    state = new_state()
    for number in range(200):
        state.observe(event(START + number * 60 * SECOND, place=(CHICAGO, DENVER)[number % 2]))
    assert state.places_unreliable
    observation = state.observe(event(START + 200 * 60 * SECOND, place=CHICAGO))
    assert observation.speed_kmh == 0.0
    assert observation.features[FEATURE_NAMES.index("home_distance")] == 0.0


def test_a_late_event_is_answered_but_changes_nothing() -> None:
    state = new_state()
    noon = regular_card(state)
    before = dump(state)
    watermark = noon - 24 * HOUR
    late = state.observe(event(watermark - ALLOWED_LATENESS_US - 1, amount=9_000.0, place=DENVER))
    assert late.late
    assert late.velocity == 1
    assert dump(state) == before
    assert not state.observe(event(watermark - ALLOWED_LATENESS_US)).late


def test_the_profile_of_an_observation_is_the_one_before_it() -> None:
    state = new_state()
    noon = regular_card(state)
    observation = state.observe(event(noon, amount=500.0))
    assert observation.memory.card[profiles.COUNT] == 20.0
    assert observation.memory.card[profiles.MEAN] == pytest.approx(20.0)


def test_memory_of_a_card_is_of_fixed_size() -> None:
    state = new_state()
    for number in range(500):
        state.observe(event(START + number * HOUR, merchant=f"shop-{number}", place=CHICAGO))
    assert len(state.cards["card"]) == profiles.CARD_FIELDS
    assert len(state.velocity) == 1


def test_categories_are_bounded_whatever_a_source_sends() -> None:
    state = new_state()
    for number in range(2_000):
        state.observe(event(START + number, category=f"category {number}"))
    assert len(state.categories) == 256
