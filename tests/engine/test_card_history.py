"""A card's amounts are measured against its own last fifty, from before the transaction."""

import sys
from math import isnan, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.card_history import AMOUNTS_KEPT, HISTORY_FEATURE_NAMES, UNUSUAL_KEPT, HistoryState
from engine.features import FEATURE_NAMES, Event
from engine.sealed import CheckpointError

DAY_US = 86_400_000_000
NEUTRAL = (0.0,) * len(FEATURE_NAMES)


def observe(state: HistoryState, day: float, amount: float, card: str = "c") -> dict[str, float]:
    return named(state.observe(Event(card, amount, round(day * DAY_US), None, None, True, "m", None), NEUTRAL))


def named(features: tuple[float, ...]) -> dict[str, float]:
    return dict(zip(HISTORY_FEATURE_NAMES, features, strict=True))


AMOUNTS = st.lists(st.integers(1, 1_000_000).map(lambda cents: cents / 100), min_size=6, max_size=120)


@settings(deadline=None)
@given(AMOUNTS)
def test_rank_and_ratios_equal_a_recount_of_all_amounts(amounts: list[float]) -> None:
    state = HistoryState()
    ratios: list[float] = []
    for day, amount in enumerate(amounts):
        seen = observe(state, day / 2, amount)
        before = sorted(amounts[:day][-AMOUNTS_KEPT:])
        ratio = amount / before[len(before) // 2] if day >= 5 else 1.0
        # What is unusual is kept up to a number, and its ratio to a thousandth and up to 2¹⁶.
        kept = [(n / 2, min(ratio, 65_536.0)) for n, ratio in enumerate(ratios) if ratio >= 2.0][-UNUSUAL_KEPT:]
        unusual = [(time, ratio) for time, ratio in kept if day / 2 - time <= 14]
        assert seen["unusual_14d"] == len(unusual)
        assert seen["far_14d"] == sum(ratio >= 3.0 for _, ratio in unusual)
        assert seen["ratio_max_14d"] == pytest.approx(log(max((ratio for _, ratio in unusual), default=1.0)), abs=1e-3)
        week = [ratio for time, ratio in unusual if day / 2 - time <= 7]
        assert seen["unusual_7d"] == len(week)
        assert seen["ratio_max_7d"] == pytest.approx(log(max(week, default=1.0)), abs=1e-3)
        if day >= 5:
            assert seen["amount_over_median"] == pytest.approx(max(-4.0, min(log(ratio), 4.0)), abs=0.5 / 30 + 1e-9)
            assert seen["amount_rank"] == pytest.approx(sum(other < amount for other in before) / len(before))
            assert seen["amount_over_highest"] == pytest.approx(log(amount / before[-1]))
        ratios.append(ratio)


def test_days_since_an_unusual_amount_outlast_the_windows() -> None:
    state = HistoryState()
    for day in range(10):
        observe(state, day, 10.0)
    observe(state, 10, 40.0)
    seen = observe(state, 40, 10.0)
    assert (seen["days_since_unusual"], seen["days_since_far"]) == (30.0, 30.0)
    assert (seen["unusual_14d"], seen["ratio_max_14d"]) == (0.0, 0.0)


def test_a_new_card_takes_its_ratio_from_the_engine_and_has_no_rank() -> None:
    features = list(NEUTRAL)
    features[FEATURE_NAMES.index("amount_over_mean")] = log(3.0)
    seen = named(HistoryState().observe(Event("new", 30.0, 0, None, None, True, None, None), features))
    assert seen["amount_over_median"] == pytest.approx(log(3.0), abs=0.5 / 30)
    assert isnan(seen["amount_rank"])
    assert isnan(seen["merchant_mean"])


def test_one_cards_amounts_say_nothing_of_anothers() -> None:
    alone, beside = HistoryState(), HistoryState()
    for day in range(30):
        observe(beside, day, 500.0, card="other")
        first, second = observe(alone, day, 10.0 + day), observe(beside, day, 10.0 + day)
        assert first | {"merchant_mean": 0.0} == pytest.approx(second | {"merchant_mean": 0.0}, nan_ok=True)


def test_amounts_and_ratios_have_fewer_values_than_a_histogram_has_bins() -> None:
    state = HistoryState()
    for day in range(10):
        observe(state, day, 10.0)
    steps: dict[str, set[float]] = {"amount_step": set(), "amount_over_median": set()}
    for amount in np.random.default_rng(0).lognormal(4, 3, 10_000):
        seen = observe(state, 11, float(amount))
        for name, values in steps.items():
            values.add(seen[name])
    assert all(100 < len(values) <= 255 for values in steps.values())


def test_a_step_is_within_half_a_step_of_what_it_stands_for() -> None:
    state = HistoryState()
    for day in range(10):
        observe(state, day, 10.0)
    seen = observe(state, 11, 123.0)
    assert seen["amount_step"] == pytest.approx(log(124.0), abs=0.5 / 24)
    assert seen["amount_over_median"] == pytest.approx(log(12.3), abs=0.5 / 30)


@settings(deadline=None)
@given(AMOUNTS, st.integers(0, 120))
def test_a_restored_history_gives_the_same_features_and_the_same_bytes(amounts: list[float], cut: int) -> None:
    whole, before = HistoryState(), HistoryState()
    for day, amount in enumerate(amounts):
        observe(whole, day, amount, card=f"c{day % 2}")
    for day, amount in enumerate(amounts[:cut]):
        observe(before, day, amount, card=f"c{day % 2}")
    after = HistoryState()
    after.load(before.dump())
    assert after.dump() == before.dump()
    for day, amount in enumerate(amounts[cut:], cut):
        seen = observe(after, day, amount, card=f"c{day % 2}")
        assert seen == pytest.approx(observe(before, day, amount, card=f"c{day % 2}"), nan_ok=True, abs=0.0)
    assert after.dump() == whole.dump()


def test_a_damaged_history_is_refused_and_changes_nothing() -> None:
    state = HistoryState()
    for day in range(60):
        observe(state, day, 10.0 * (1 + 4 * (day % 7 == 6)))
    sound = state.dump()
    for at in range(len(sound)):
        with pytest.raises(CheckpointError):
            state.load(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
    with pytest.raises(CheckpointError):
        state.load(sound[:-1])
    assert state.dump() == sound


def test_a_card_with_fifty_amounts_takes_less_than_300_bytes() -> None:
    state = HistoryState()
    for index in range(500):
        for day in range(AMOUNTS_KEPT + 10):
            observe(state, day, 10.0, card=f"card-{index}")
    cards = state._memory.cards
    assert max(map(sys.getsizeof, cards.values())) + sys.getsizeof(cards) / len(cards) < 300
