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


def shopper(state: FeatureState, per_merchant: int, purchases: int = 60, card: str = "card") -> int:
    """A card that goes to each merchant that many times in a row, four times a day; the time of the next purchase."""
    for number in range(purchases):
        state.observe(event(START + number * 6 * HOUR, card=card, merchant=f"shop-{number // per_merchant}"))
    return START + purchases * 6 * HOUR


def test_one_new_merchant_after_the_other_stands_out_and_a_known_one_does_not() -> None:
    state = new_state()
    now = shopper(state, per_merchant=15)
    runs = [feature(state, "novelty_run", event(now + n * 60 * SECOND, merchant=f"new-{n}")) for n in range(4)]
    assert runs[0] == pytest.approx(0.0, abs=0.05)
    assert runs == sorted(set(runs))
    again = state.observe(event(now + 300 * SECOND, merchant="new-1")).features
    names = ("new_merchant", "novelty_run", "new_merchant_spend")
    assert [again[FEATURE_NAMES.index(name)] for name in names] == [0.0, 0.0, 0.0]


def test_a_new_merchant_says_little_where_most_purchases_are_at_one() -> None:
    loyal, roaming = new_state(), new_state()
    now = shopper(loyal, per_merchant=15, purchases=400)
    shopper(roaming, per_merchant=1, purchases=400)
    for state, is_rare in ((loyal, True), (roaming, False)):
        assert feature(state, "new_merchant", event(now, merchant="new-1")) == is_rare
        run = feature(state, "novelty_run", event(now + 60 * SECOND, merchant="new-2"))
        assert (run > 1.2) == is_rare


def test_spend_at_new_merchants_adds_up_over_hours() -> None:
    state = new_state()
    now = shopper(state, per_merchant=15)
    spend = [
        feature(state, "new_merchant_spend", event(now + n * HOUR, amount=80.0, merchant=f"new-{n}")) for n in range(4)
    ]
    assert spend == sorted(set(spend))
    assert spend[-1] > spend[0] + 0.9


def test_small_amounts_within_minutes_are_seen_from_the_large_one_that_follows() -> None:
    state = new_state()
    now = regular_card(state)
    tests = [feature(state, "small_amounts", event(now + n * 60 * SECOND, amount=1.0)) for n in range(3)]
    large = feature(state, "small_amounts", event(now + 240 * SECOND, amount=500.0))
    assert tests[0] == 0.0
    assert [*tests, large] == sorted({*tests, large})
    assert feature(state, "small_amounts", event(now + 2 * HOUR, amount=500.0)) == 0.0


def test_what_is_usual_in_a_dear_category_is_not_unusual_for_the_card() -> None:
    state = new_state()
    for number in range(200):
        when = START + number * HOUR
        state.observe(event(when, amount=160.0, card=f"c{number}", category="travel"))
        for other in range(20):
            state.observe(event(when, amount=20.0, card=f"c{number}-{other}", category="grocery"))
    now = START + 300 * HOUR
    for number in range(20):
        state.observe(event(now + number * 6 * HOUR, amount=20.0))
    later = now + 200 * HOUR
    assert feature(state, "amount_over_mean", event(later, amount=160.0, category="travel")) < 0.5
    assert feature(state, "amount_over_mean", event(later, amount=160.0, category="grocery")) > 1.5


def test_the_owner_is_not_taken_to_be_where_nobody_can_have_got_to() -> None:
    state = new_state()
    now = regular_card(state)
    state.observe(event(now, place=CHICAGO))
    thief = state.observe(event(now + 600 * SECOND, place=DENVER))
    owner = state.observe(event(now + 1_200 * SECOND, place=CHICAGO))
    thief_again = state.observe(event(now + 1_800 * SECOND, place=DENVER))
    assert thief.speed_kmh > 1_000
    assert owner.speed_kmh == 0.0
    assert thief_again.speed_kmh > 1_000
    # Who is still there a day later has moved.
    state.observe(event(now + 24 * HOUR, place=DENVER))
    assert state.observe(event(now + 25 * HOUR, place=DENVER)).travel_km == 0.0
