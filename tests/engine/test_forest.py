"""The flattened forest gives scikit-learn's scores, whatever the forest and whatever the rows."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from engine.forest import FlattenedForest, average_path_length

TOLERANCE = 1e-12


def fitted(rows: NDArray[np.float64], **parameters: Any) -> IsolationForest:
    return IsolationForest(random_state=0, **parameters).fit(rows)


def normal_rows(rows: int, features: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(rows, features))


def assert_same_scores(forest: IsolationForest, rows: NDArray[np.float64]) -> None:
    with np.errstate(over="ignore"):
        expected = forest.score_samples(rows)
    np.testing.assert_allclose(
        FlattenedForest.from_sklearn(forest).score_samples(rows), expected, rtol=0, atol=TOLERANCE
    )


def around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value, its neighbours among the doubles, and its neighbours among the singles."""
    single = values.astype(np.float32)
    return np.concatenate(
        [
            values,
            np.nextafter(values, -np.inf),
            np.nextafter(values, np.inf),
            single,
            np.nextafter(single, np.float32(-np.inf)),
            np.nextafter(single, np.float32(np.inf)),
        ]
    ).astype(np.float64)


@st.composite
def training_rows(draw: st.DrawFn) -> NDArray[np.float64]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, features = draw(st.integers(2, 150)), draw(st.integers(1, 8))
    data = rng.normal(size=(rows, features)) * 10.0 ** draw(st.integers(-30, 30))
    if draw(st.booleans()):
        data = data[rng.integers(rows, size=rows)]
    if draw(st.booleans()):
        data = np.round(data)
    data[:, rng.random(features) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = draw(st.floats(-1e6, 1e6, width=32))
    return data


@st.composite
def forests_and_rows(draw: st.DrawFn) -> tuple[IsolationForest, NDArray[np.float64]]:
    """A fitted forest, and rows on and around every threshold beside those it was fitted on."""
    data = draw(training_rows())
    forest = fitted(
        data,
        n_estimators=draw(st.integers(1, 12)),
        max_samples=max(1, int(draw(st.floats(0.01, 1.0)) * len(data))),
        max_features=draw(st.floats(0.1, 1.0)),
        bootstrap=draw(st.booleans()),
    )
    thresholds = np.concatenate([tree.tree_.threshold for tree in forest.estimators_])
    candidates = np.concatenate([around(thresholds), data.ravel(), [0.0, -0.0, 3.5e38, -3.5e38, 1e300, -1e300, 5e-324]])
    chosen = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).choice(candidates, size=(200, data.shape[1]))
    return forest, np.concatenate([data, chosen])


@settings(max_examples=60, deadline=None)
@given(forests_and_rows())
def test_scores_equal_scikit_learn_on_and_around_every_threshold(
    forest_and_rows: tuple[IsolationForest, NDArray[np.float64]],
) -> None:
    assert_same_scores(*forest_and_rows)


@settings(max_examples=60, deadline=None)
@given(forests_and_rows())
def test_contributions_and_the_base_add_up_to_the_raw_anomaly(
    forest_and_rows: tuple[IsolationForest, NDArray[np.float64]],
) -> None:
    forest, rows = forest_and_rows
    flat = FlattenedForest.from_sklearn(forest)
    parts = flat.attribute(rows)

    assert parts.scores.tolist() == (-flat.score_samples(rows)).tolist()
    np.testing.assert_allclose(parts.base + parts.contributions.sum(axis=1), parts.scores, rtol=0, atol=1e-9)


def expected_path_length(tree: Any, node: int, depth: int) -> float:
    """The mean path length of the training rows below a node, leaf by leaf."""
    left, right = tree.children_left[node], tree.children_right[node]
    if left < 0:
        return depth + float(average_path_length(tree.n_node_samples[node : node + 1])[0])
    weights = tree.n_node_samples[[left, right]]
    means = [expected_path_length(tree, child, depth + 1) for child in (left, right)]
    return float(np.average(means, weights=weights))


def path_length_changes(forest: IsolationForest, row: NDArray[np.float64]) -> NDArray[np.float64]:
    """By feature, the change of the expected path length at each of its splits, summed over scikit-learn's trees."""
    changes = np.zeros(len(row))
    for estimator, columns in zip(forest.estimators_, forest.estimators_features_, strict=True):
        tree = estimator.tree_
        on_path = estimator.decision_path(row[np.newaxis, columns]).indices
        lengths = [expected_path_length(tree, node, depth) for depth, node in enumerate(on_path)]
        for node, here, after in zip(on_path, lengths, lengths[1:], strict=False):
            changes[columns[tree.feature[node]]] += after - here
    return changes


def test_a_feature_contributes_what_its_splits_change_of_the_expected_path_length() -> None:
    rows = normal_rows(300, 5)
    forest = fitted(rows, n_estimators=12, max_samples=64, max_features=0.7)
    for row in (rows[0], rows[1] * 4, np.zeros(5)):
        changes = path_length_changes(forest, row)
        logarithms = changes / changes.sum()
        parts = FlattenedForest.from_sklearn(forest).attribute(row[np.newaxis])
        of_difference = parts.contributions[0] / (parts.scores[0] - parts.base)

        np.testing.assert_allclose(of_difference, logarithms, rtol=1e-9, atol=1e-12)


def test_contributions_of_a_row_are_the_same_to_the_last_bit_in_any_batch() -> None:
    flat = FlattenedForest.from_sklearn(fitted(normal_rows(2_000, 5), n_estimators=100, max_samples=256))
    rows = normal_rows(600, 5, seed=1)
    together = flat.attribute(rows).contributions

    assert np.concatenate([flat.attribute(row[np.newaxis]).contributions for row in rows]).tobytes() == (
        together.tobytes()
    )
    assert flat.attribute(rows[:0]).contributions.shape == (0, 5)


def test_a_forest_without_paths_attributes_nothing() -> None:
    parts = FlattenedForest.from_sklearn(fitted(normal_rows(30, 2), n_estimators=3, max_samples=1)).attribute(
        normal_rows(4, 2)
    )

    assert (parts.base, parts.scores.tolist(), parts.contributions.any()) == (0.5, [0.5] * 4, False)


def test_a_node_that_expects_what_no_mean_of_its_children_is_is_refused(sound: FlattenedForest) -> None:
    below = sound.expected[sound.left_child[0] : sound.left_child[0] + 2]
    for expectation in (below.max() + 1e-6, below.min() - 1e-6):
        with pytest.raises(ValueError, match="its children do not"):
            rebuilt(sound, expected=changed(sound.expected, 0, expectation))


def test_a_value_on_a_threshold_goes_left_and_its_single_precision_successor_goes_right() -> None:
    forest = fitted(normal_rows(50, 1), n_estimators=1, max_samples=50)
    thresholds = forest.estimators_[0].tree_.threshold[forest.estimators_[0].tree_.feature >= 0]
    on_it = np.floor(thresholds.astype(np.float32).astype(np.float64) * 2**20) / 2**20

    assert_same_scores(forest, around(np.concatenate([thresholds, on_it]))[:, np.newaxis])


@pytest.mark.parametrize("samples", [1, 2, 3, 64, 1_000, 4_096])
def test_any_number_of_samples_per_tree(samples: int) -> None:
    rows = normal_rows(4_096, 6)

    assert_same_scores(fitted(rows, n_estimators=5, max_samples=samples), rows[:500] * 3)


def test_trees_of_a_single_leaf() -> None:
    rows = np.full((40, 3), 7.0)
    forest = fitted(rows, n_estimators=4, max_samples=32)

    assert all(tree.tree_.node_count == 1 for tree in forest.estimators_)
    assert_same_scores(forest, np.concatenate([rows, normal_rows(40, 3)]))


def test_trees_that_each_see_other_features() -> None:
    rows = normal_rows(300, 9) * np.arange(1, 10)

    assert_same_scores(fitted(rows, n_estimators=30, max_features=0.3), rows)


def test_a_row_scores_the_same_to_the_last_bit_in_any_batch() -> None:
    flat = FlattenedForest.from_sklearn(fitted(normal_rows(2_000, 5), n_estimators=100, max_samples=512))
    rows = normal_rows(1_024, 5, seed=1)
    together = flat.score_samples(rows)

    for size in (1, 2, 3, 7, 64, 255, 256, 257):
        apart = np.concatenate([flat.score_samples(rows[at : at + size]) for at in range(0, len(rows), size)])
        assert apart.tobytes() == together.tobytes()


@pytest.mark.parametrize("trees", [1, 2, 8, 9, 129, 300])
def test_a_row_scores_the_same_alone_for_any_number_of_trees(trees: int) -> None:
    flat = FlattenedForest.from_sklearn(fitted(normal_rows(300, 4), n_estimators=trees, max_samples=64))
    rows = normal_rows(700, 4, seed=2)

    alone = np.concatenate([flat.score_samples(row[np.newaxis]) for row in rows])

    assert alone.tobytes() == flat.score_samples(rows).tobytes()


def test_rows_laid_out_by_column_or_with_gaps_score_the_same() -> None:
    flat = FlattenedForest.from_sklearn(fitted(normal_rows(300, 4), n_estimators=10))
    rows = normal_rows(50, 4, seed=3)
    expected = flat.score_samples(rows).tobytes()

    assert flat.score_samples(np.asfortranarray(rows)).tobytes() == expected
    assert flat.score_samples(np.repeat(rows, 2, axis=0)[::2]).tobytes() == expected


def test_no_rows_have_no_scores() -> None:
    flat = FlattenedForest.from_sklearn(fitted(normal_rows(30, 4), n_estimators=3))

    assert flat.score_samples(np.empty((0, 4))).shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    flat = FlattenedForest.from_sklearn(fitted(normal_rows(30, 4), n_estimators=3))
    rows = normal_rows(10, 4)
    rows[6, 2] = value

    with pytest.raises(ValueError, match="NaN or infinite"):
        flat.score_samples(rows)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (3, 3), (2, 2, 4), (0, 3)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    flat = FlattenedForest.from_sklearn(fitted(normal_rows(30, 4), n_estimators=3))

    with pytest.raises(ValueError, match="4 features"):
        flat.score_samples(np.zeros(shape))


def test_a_forest_cannot_be_changed_nor_follows_the_arrays_it_was_made_of() -> None:
    expected = np.array([1.0])
    flat = one_leaf(expected=expected)
    before = flat.score_samples(np.zeros((1, 1)))
    expected[0] = 0.5

    assert flat.score_samples(np.zeros((1, 1))) == before
    with pytest.raises(ValueError, match="read-only"):
        flat.expected[0] = 0.5
    with pytest.raises(FrozenInstanceError):
        flat.samples_per_tree = 7  # type: ignore[misc]  # the assignment is what is tested


def test_average_path_length_is_that_of_the_paper() -> None:
    harmonic = sum(1 / k for k in range(1, 10_000))

    path_lengths = average_path_length(np.array([1, 2, 10_000]))

    assert path_lengths[:2].tolist() == [0.0, 1.0]
    assert path_lengths[2] == pytest.approx(2 * harmonic - 2 * 9_999 / 10_000, abs=2e-4)


def one_leaf(**changes: Any) -> FlattenedForest:
    arrays: dict[str, Any] = {
        "feature": np.array([0]),
        "threshold": np.array([np.inf], dtype=np.float32),
        "left_child": np.array([0]),
        "expected": np.array([1.0]),
        "roots": np.array([0]),
        "features": 1,
        "samples_per_tree": 2,
    }
    return FlattenedForest(**{**arrays, **changes})


@pytest.fixture(scope="module")
def sound() -> FlattenedForest:
    return FlattenedForest.from_sklearn(fitted(normal_rows(64, 3), n_estimators=3, max_samples=32))


def changed(array: NDArray[Any], at: int, value: float) -> NDArray[Any]:
    copy = array.copy()
    copy[at] = value
    return copy


def rebuilt(forest: FlattenedForest, **changes: Any) -> FlattenedForest:
    return replace(forest, **changes)


@pytest.mark.parametrize("child", [-1, -(2**31), 10**9, 2**62])
def test_a_child_outside_the_arrays_is_refused(sound: FlattenedForest, child: int) -> None:
    with pytest.raises(ValueError, match="outside the arrays"):
        rebuilt(sound, left_child=changed(sound.left_child, 0, child))


def test_a_last_node_without_a_right_sibling_is_refused(sound: FlattenedForest) -> None:
    with pytest.raises(ValueError, match="outside the arrays"):
        rebuilt(sound, left_child=changed(sound.left_child, 0, len(sound.left_child) - 1))


def test_a_cycle_is_refused(sound: FlattenedForest) -> None:
    with pytest.raises(ValueError, match=r"deeper than 5|two parents|more than one"):
        rebuilt(sound, left_child=changed(sound.left_child, 1, 0))


def test_a_tree_that_shares_nodes_with_another_is_refused(sound: FlattenedForest) -> None:
    with pytest.raises(ValueError, match=r"more than one|two parents"):
        rebuilt(sound, left_child=changed(sound.left_child, int(sound.roots[1]), 1))


def test_nodes_of_no_tree_are_refused(sound: FlattenedForest) -> None:
    with pytest.raises(ValueError, match="no tree"):
        rebuilt(sound, roots=sound.roots[:-1])


@pytest.mark.parametrize("root", [-1, 10**6])
def test_a_root_outside_the_arrays_is_refused(sound: FlattenedForest, root: int) -> None:
    with pytest.raises(ValueError, match="outside the arrays"):
        rebuilt(sound, roots=changed(sound.roots, 1, root))


@pytest.mark.parametrize("feature", [-1, 3, 2**40])
def test_a_feature_that_does_not_exist_is_refused(sound: FlattenedForest, feature: int) -> None:
    with pytest.raises(ValueError, match="feature that does not exist"):
        rebuilt(sound, feature=changed(sound.feature, 0, feature))


def test_a_threshold_that_is_not_a_number_is_refused(sound: FlattenedForest) -> None:
    with pytest.raises(ValueError, match="not a number"):
        rebuilt(sound, threshold=changed(sound.threshold, 0, np.nan))


def test_a_leaf_with_a_threshold_is_refused(sound: FlattenedForest) -> None:
    with pytest.raises(ValueError, match="leaf has a threshold"):
        rebuilt(sound, threshold=changed(sound.threshold, -1, 0.0))


@pytest.mark.parametrize("length", [-1.0, np.nan, np.inf, 1e308, 13.0])
def test_an_impossible_path_length_is_refused(sound: FlattenedForest, length: float) -> None:
    with pytest.raises(ValueError, match="path"):
        rebuilt(sound, expected=changed(sound.expected, -1, length))


def test_a_tree_deeper_than_its_samples_allow_is_refused() -> None:
    # Each left child is a leaf, each right child but the last goes on.
    chain = {
        "feature": np.zeros(7, dtype=np.int64),
        "threshold": np.array([0, np.inf, 1, np.inf, 2, np.inf, np.inf], dtype=np.float32),
        "left_child": np.array([1, 1, 3, 3, 5, 5, 6]),
        "expected": np.ones(7),
    }

    assert one_leaf(**chain, samples_per_tree=5).depth == 3
    with pytest.raises(ValueError, match="deeper than 2"):
        one_leaf(**chain, samples_per_tree=4)


def test_a_tree_that_grows_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(ValueError, match="two parents"):
        one_leaf(
            feature=np.zeros(3, dtype=np.int64),
            threshold=np.zeros(3, dtype=np.float32),
            left_child=np.array([1, 0, 1]),
            expected=np.ones(3),
            samples_per_tree=2**31,
        )


def test_arrays_of_another_type_shape_or_length_are_refused(sound: FlattenedForest) -> None:
    for unusable in (
        {"feature": sound.feature.astype(np.float64)},
        {"threshold": sound.threshold.astype(np.float64)},
        {"left_child": sound.left_child.astype(object)},
        {"roots": sound.roots.astype(np.complex128)},
        {"expected": sound.expected[np.newaxis]},
        {"expected": sound.expected[:-1]},
        {"roots": sound.roots[:0]},
        {"features": 0},
        {"samples_per_tree": 0},
    ):
        with pytest.raises(ValueError, match=r"array of|differ in length|no feature"):
            rebuilt(sound, **unusable)


def test_a_forest_without_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the arrays"):
        one_leaf(
            feature=np.zeros(0, dtype=np.int64),
            threshold=np.zeros(0, dtype=np.float32),
            left_child=np.zeros(0, dtype=np.int64),
            expected=np.zeros(0),
        )
