from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from engine.drift_reference import BINS, Reference

AMOUNTS = arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 100).map(lambda value: round(value, 1)))


def column(zeros: int, rest: int) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(zeros), np.random.default_rng(1).exponential(size=rest) + 0.01])


def test_ordinary_values_fall_into_deciles() -> None:
    reference = Reference.fit([column(0, 10_000)])
    assert reference.counts.tolist() == [[1_000] * BINS]


def test_zeros_have_a_bin_of_their_own_and_the_rest_quantiles() -> None:
    reference = Reference.fit([column(7_000, 3_000)])
    assert reference.counts.tolist() == [[7_000, 1_000, 1_000, 1_000, 0, 0, 0, 0, 0, 0]]
    assert reference.count(np.array([[0.0], [1e-300]])).tolist() == [[1, 1, *[0] * 8]]


def test_rare_values_are_still_told_apart() -> None:
    reference = Reference.fit([column(9_900, 100)])
    assert reference.counts[0, :4].tolist() == [9_900, 50, 50, 0]


def test_a_signal_that_was_always_0_has_a_bin_for_what_it_never_was() -> None:
    reference = Reference.fit([np.zeros(50)])
    assert reference.flat(reference.count(np.array([[0.0], [3.0], [4.0]]))) == [1, 2]


@given(values=AMOUNTS, others=AMOUNTS)
def test_every_value_is_in_one_bin_between_its_edges(values: NDArray[np.float64], others: NDArray[np.float64]) -> None:
    reference = Reference.fit([values])
    (signal,) = reference.bins(("amount",))
    bounds = [-np.inf, *signal.edges, np.inf]
    expected = [int(((others > low) & (others <= high)).sum()) for low, high in pairwise(bounds)]
    assert reference.flat(reference.count(others[:, np.newaxis])) == expected
    assert sum(signal.counts) == len(values)


@given(values=AMOUNTS, cuts=st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=50)
def test_counts_of_parts_add_up_to_those_of_the_whole(values: NDArray[np.float64], cuts: list[int]) -> None:
    rows = np.column_stack([values, values * 2])
    reference = Reference.fit(list(rows.T + 0.1))
    parts = np.split(rows, sorted(cut for cut in cuts if cut <= len(rows)))
    total = sum((reference.count(part) for part in parts), start=np.zeros((2, BINS), dtype=np.int64))
    assert (total == reference.count(rows)).all()


@given(values=AMOUNTS)
def test_a_reference_is_read_back_as_it_was_stored(values: NDArray[np.float64]) -> None:
    reference = Reference.fit([values, values + 1])
    restored = Reference.of_bins(reference.bins(("a", "b")))
    assert restored.edges.tobytes() == reference.edges.tobytes()
    assert restored.counts.tobytes() == reference.counts.tobytes()


def test_no_values_have_no_bins() -> None:
    with pytest.raises(ValueError, match="without values"):
        Reference.fit([np.zeros(3), np.zeros(0)])
