"""A card's amounts are measured against its own last fifty, from before the transaction."""

from math import isnan, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.card_history import AMOUNTS_KEPT, HISTORY_FEATURE_NAMES, CardHistory, HistoryState
from engine.features import FEATURE_NAMES, Event

DAY_US = 86_400_000_000
NEUTRAL = (0.0,) * len(FEATURE_NAMES)


def observe(state: HistoryState, day: float, amount: float, card: str = "c") -> CardHistory:
    return state.observe(Event(card, amount, round(day * DAY_US), None, None, True, "m", None), NEUTRAL)


def named(history: CardHistory) -> dict[str, float]:
    return dict(zip(HISTORY_FEATURE_NAMES, history.features, strict=True))


AMOUNTS = st.lists(st.integers(1, 1_000_000).map(lambda cents: cents / 100), min_size=6, max_size=120)


@settings(deadline=None)
@given(AMOUNTS)
def test_rank_and_ratios_equal_a_recount_of_all_amounts(amounts: list[float]) -> None:
    state = HistoryState()
    ratios: list[float] = []
    for day, amount in enumerate(amounts):
        history = observe(state, day / 2, amount)
        before = sorted(amounts[:day][-AMOUNTS_KEPT:])
        seen = named(history)
        unusual = [
            (earlier / 2, ratio) for earlier, ratio in enumerate(ratios) if ratio >= 2.0 and (day - earlier) / 2 <= 14
        ]
        assert seen["unusual_14d"] == len(unusual)
        assert seen["far_14d"] == sum(ratio >= 3.0 for _, ratio in unusual)
        assert seen["ratio_max_14d"] == pytest.approx(log(max((ratio for _, ratio in unusual), default=1.0)))
        week = [ratio for time, ratio in unusual if day / 2 - time <= 7]
        assert seen["unusual_7d"] == len(week)
        assert seen["ratio_max_7d"] == pytest.approx(log(max(week, default=1.0)))
        if day >= 5:
            median = before[len(before) // 2]
            assert history.ratio == pytest.approx(amount / median)
            assert seen["amount_rank"] == pytest.approx(sum(other < amount for other in before) / len(before))
            assert seen["amount_over_highest"] == pytest.approx(log(amount / before[-1]))
        ratios.append(history.ratio)


def test_days_since_an_unusual_amount_outlast_the_windows() -> None:
    state = HistoryState()
    for day in range(10):
        observe(state, day, 10.0)
    observe(state, 10, 40.0)
    seen = named(observe(state, 40, 10.0))
    assert (seen["days_since_unusual"], seen["days_since_far"]) == (30.0, 30.0)
    assert (seen["unusual_14d"], seen["ratio_max_14d"]) == (0.0, 0.0)


def test_a_new_card_takes_its_ratio_from_the_engine_and_has_no_rank() -> None:
    features = list(NEUTRAL)
    features[FEATURE_NAMES.index("amount_over_mean")] = log(3.0)
    history = HistoryState().observe(Event("new", 30.0, 0, None, None, True, None, None), features)
    assert history.ratio == pytest.approx(3.0)
    assert isnan(named(history)["amount_rank"])
    assert isnan(named(history)["merchant_mean"])


def test_one_cards_amounts_say_nothing_of_anothers() -> None:
    alone, beside = HistoryState(), HistoryState()
    for day in range(30):
        observe(beside, day, 500.0, card="other")
        first, second = observe(alone, day, 10.0 + day), observe(beside, day, 10.0 + day)
        assert first.ratio == second.ratio
        assert first.features[:-1] == pytest.approx(second.features[:-1], nan_ok=True)


def test_amounts_and_ratios_have_fewer_values_than_a_histogram_has_bins() -> None:
    state = HistoryState()
    for day in range(10):
        observe(state, day, 10.0)
    steps: dict[str, set[float]] = {"amount_step": set(), "amount_over_median": set()}
    for amount in np.random.default_rng(0).lognormal(4, 3, 10_000):
        seen = named(observe(state, 11, float(amount)))
        for name, values in steps.items():
            values.add(seen[name])
    assert all(100 < len(values) <= 255 for values in steps.values())


def test_a_step_is_within_half_a_step_of_what_it_stands_for() -> None:
    state = HistoryState()
    for day in range(10):
        observe(state, day, 10.0)
    seen = named(observe(state, 11, 123.0))
    assert seen["amount_step"] == pytest.approx(log(124.0), abs=0.5 / 24)
    assert seen["amount_over_median"] == pytest.approx(log(12.3), abs=0.5 / 30)
