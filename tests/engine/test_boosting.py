"""The flattened ensemble gives scikit-learn's probabilities, whatever the ensemble and whatever the rows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from engine.boosting import FlattenedBoosting

TOLERANCE = 1e-12


def fitted(rows: NDArray[np.float64], labels: NDArray[np.bool_], **parameters: Any) -> HistGradientBoostingClassifier:
    with threadpool_limits(1):
        return HistGradientBoostingClassifier(random_state=0, early_stopping=False, **parameters).fit(rows, labels)


def assert_same_probabilities(model: HistGradientBoostingClassifier, rows: NDArray[np.float64]) -> None:
    with threadpool_limits(1):
        expected = model.predict_proba(rows)[:, 1]
    served = FlattenedBoosting.from_sklearn(model).probability(rows)
    np.testing.assert_allclose(served, expected, rtol=0, atol=TOLERANCE)


def around_thresholds(model: HistGradientBoostingClassifier, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rows of thresholds, their neighbours among the doubles, infinities, zeros and missing values."""
    nodes = np.concatenate([predictor.nodes for (predictor,) in model._predictors])
    thresholds = nodes["num_threshold"][nodes["is_leaf"] == 0]
    values = np.concatenate(
        [
            thresholds,
            np.nextafter(thresholds, -np.inf),
            np.nextafter(thresholds, np.inf),
            [np.nan, np.inf, -np.inf, 0.0, -0.0],
        ]
    )
    return rng.choice(values, size=(300, model.n_features_in_))


@st.composite
def training_data(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, features = draw(st.integers(4, 200)), draw(st.integers(1, 6))
    data = rng.normal(size=(rows, features)) * 10.0 ** draw(st.integers(-20, 20))
    if draw(st.booleans()):
        data = np.round(data)
    data[rng.random(data.shape) < draw(st.sampled_from([0.0, 0.1, 0.6]))] = np.nan
    # scikit-learn fits no column without a number.
    data[rng.integers(rows), :] = 1.0
    if draw(st.booleans()):
        data[rng.random(data.shape) < 0.05] = np.inf
    # Missing values that tell of the class make splits of their own.
    labels = (np.isnan(data[:, 0]) ^ (rng.random(rows) < 0.2)) if draw(st.booleans()) else rng.random(rows) < 0.3
    labels[:2] = (True, False)
    return data, labels


@settings(max_examples=60, deadline=None)
@given(
    data=training_data(),
    trees=st.integers(1, 12),
    leaves=st.integers(2, 31),
    smallest_leaf=st.integers(1, 30),
    learning_rate=st.floats(0.01, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_probabilities_equal_scikit_learn_on_and_around_every_threshold(
    data: tuple[NDArray[np.float64], NDArray[np.bool_]],
    trees: int,
    leaves: int,
    smallest_leaf: int,
    learning_rate: float,
    seed: int,
) -> None:
    rows, labels = data
    model = fitted(
        rows,
        labels,
        max_iter=trees,
        max_leaf_nodes=leaves,
        min_samples_leaf=smallest_leaf,
        learning_rate=learning_rate,
    )
    assert_same_probabilities(model, rows)
    assert_same_probabilities(model, around_thresholds(model, np.random.default_rng(seed)))


@pytest.fixture(scope="module")
def model() -> HistGradientBoostingClassifier:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3_000, 5))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = (np.nan_to_num(rows[:, 0]) + np.isnan(rows[:, 1]) + rng.normal(size=3_000)) > 1.0
    return fitted(rows, labels, max_iter=60, max_leaf_nodes=15)


def test_a_row_has_the_same_probability_alone_and_among_thousands(model: HistGradientBoostingClassifier) -> None:
    served = FlattenedBoosting.from_sklearn(model)
    rows = np.random.default_rng(1).normal(size=(2_000, 5))
    together = served.probability(rows)
    assert [float(served.probability(row[np.newaxis])[0]) for row in rows[::50]] == together[::50].tolist()
    assert_same_probabilities(model, rows)
    assert served.probability(rows[:0]).shape == (0,)


@pytest.mark.parametrize("shape", [(5,), (2, 4), (2, 6), (1, 2, 5)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...], model: HistGradientBoostingClassifier) -> None:
    with pytest.raises(ValueError, match="5 features"):
        FlattenedBoosting.from_sklearn(model).probability(np.zeros(shape))


def test_classes_and_categories_that_it_cannot_serve_are_refused() -> None:
    rows = np.tile(np.arange(4.0)[:, np.newaxis], (20, 1))
    three = fitted(rows, np.tile([0, 1, 2, 2], 20), max_iter=1)
    with pytest.raises(ValueError, match="3 classes"):
        FlattenedBoosting.from_sklearn(three)
    categories = fitted(rows, np.tile([False, True, False, True], 20), max_iter=1, categorical_features=[0])
    with pytest.raises(ValueError, match="categories"):
        FlattenedBoosting.from_sklearn(categories)


def test_arrays_that_are_no_ensemble_are_refused(model: HistGradientBoostingClassifier) -> None:
    served = FlattenedBoosting.from_sklearn(model)

    def changed(name: str, at: int, value: float) -> NDArray[Any]:
        array = getattr(served, name).copy()
        array[at] = value
        return array

    leaf = int(np.flatnonzero(served.left_child == np.arange(len(served.left_child)))[0])
    broken: list[dict[str, Any]] = [
        {"column": changed("column", 0, 15)},
        {"column": changed("column", 0, -1)},
        {"column": served.column.astype(np.float64)},
        {"threshold": changed("threshold", 0, np.nan)},
        {"threshold": changed("threshold", leaf, 0.0)},
        {"threshold": served.threshold[:-1]},
        {"left_child": changed("left_child", 0, len(served.column))},
        {"left_child": changed("left_child", 0, len(served.column) - 1)},
        {"left_child": changed("left_child", 0, -1)},
        {"left_child": changed("left_child", leaf, 0)},
        {"value": changed("value", leaf, np.inf)},
        {"roots": served.roots[:0]},
        {"roots": served.roots[:-1]},
        {"roots": changed("roots", 1, 0)},
        {"features": 0},
        {"baseline": np.nan},
    ]
    for change in broken:
        with pytest.raises(ValueError, match=r".+"):
            replace(served, **change)


def test_arrays_cannot_be_written_to(model: HistGradientBoostingClassifier) -> None:
    served = FlattenedBoosting.from_sklearn(model)
    with pytest.raises(ValueError, match="read-only"):
        served.value[0] = 1.0
