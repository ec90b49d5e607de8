from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.psi import (
    DriftLevel,
    binomial_interval,
    has_drifted,
    level_of,
    population_stability_index,
)

BINS = st.lists(st.integers(0, 10_000), min_size=2, max_size=12).filter(any)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    size = draw(st.integers(2, 12))
    counts = st.lists(st.integers(0, 10_000), min_size=size, max_size=size).filter(any)
    return draw(counts), draw(counts)


def test_the_index_is_the_sum_that_the_book_gives() -> None:
    expected = (0.4 - 0.2) * log(0.4 / 0.2) + (0.6 - 0.8) * log(0.6 / 0.8)
    assert population_stability_index([20, 80], [400, 600]) == pytest.approx(expected)


@given(pairs())
def test_the_index_is_never_negative_and_the_same_both_ways(pair: tuple[list[int], list[int]]) -> None:
    then, now = pair
    index = population_stability_index(then, now)
    assert index >= 0
    assert index == pytest.approx(population_stability_index(now, then))


@given(BINS, st.integers(1, 50))
def test_equal_shares_have_not_moved_however_many_transactions_they_are_of(counts: list[int], times: int) -> None:
    assert population_stability_index(counts, counts) == 0
    assert population_stability_index(counts, [times * count for count in counts]) == pytest.approx(0, abs=1e-12)


def test_a_bin_that_empties_is_drift_and_not_infinite() -> None:
    assert 0.25 < population_stability_index([10, 90], [0, 100]) < 1.0


def test_nothing_has_no_shares() -> None:
    with pytest.raises(ValueError, match="no transactions"):
        population_stability_index([1, 1], [0, 0])


@pytest.mark.parametrize(
    ("index", "transactions", "level"),
    [
        (0.099, 1_000, DriftLevel.STABLE),
        (0.1, 1_000, DriftLevel.SHIFTING),
        (0.249, 1_000, DriftLevel.SHIFTING),
        (0.25, 1_000, DriftLevel.DRIFTED),
        (9.0, 999, DriftLevel.UNKNOWN),
    ],
)
def test_levels_start_at_a_tenth_and_a_quarter_and_want_a_thousand_transactions(
    index: float, transactions: int, level: DriftLevel
) -> None:
    assert level_of(index, transactions) is level


def test_one_score_or_three_features_are_drift() -> None:
    stable, drifted = DriftLevel.STABLE, DriftLevel.DRIFTED
    assert has_drifted([stable] * 14, [stable, drifted])
    assert has_drifted([drifted] * 3 + [stable], [stable, stable])
    assert not has_drifted([drifted] * 2 + [DriftLevel.SHIFTING], [DriftLevel.SHIFTING, stable])


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 10, 0.0, 0.278), (1, 10, 0.018, 0.404), (50, 100, 0.404, 0.596)]
)
def test_the_interval_is_wilsons(hits: int, trials: int, low: float, high: float) -> None:
    assert binomial_interval(hits, trials) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(1, 10**6), st.data())
def test_the_interval_holds_the_rate_and_stays_a_share(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    low, high = binomial_interval(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1


def test_no_trials_say_nothing() -> None:
    assert binomial_interval(0, 0) == (0.0, 1.0)
