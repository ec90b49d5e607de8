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


@st.composite
def models_and_rows(draw: st.DrawFn) -> tuple[HistGradientBoostingClassifier, NDArray[np.float64]]:
    """A fitted classifier, and rows on and around every threshold beside those it was fitted on."""
    rows, labels = draw(training_data())
    model = fitted(
        rows,
        labels,
        max_iter=draw(st.integers(1, 12)),
        max_leaf_nodes=draw(st.integers(2, 31)),
        min_samples_leaf=draw(st.integers(1, 30)),
        learning_rate=draw(st.floats(0.01, 1.0)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return model, np.concatenate([rows, around_thresholds(model, rng)])


@settings(max_examples=60, deadline=None)
@given(models_and_rows())
def test_probabilities_equal_scikit_learn_on_and_around_every_threshold(
    model_and_rows: tuple[HistGradientBoostingClassifier, NDArray[np.float64]],
) -> None:
    assert_same_probabilities(*model_and_rows)


@settings(max_examples=60, deadline=None)
@given(models_and_rows())
def test_contributions_and_the_base_add_up_to_the_log_odds(
    model_and_rows: tuple[HistGradientBoostingClassifier, NDArray[np.float64]],
) -> None:
    model, rows = model_and_rows
    served = FlattenedBoosting.from_sklearn(model)
    parts = served.attribute(rows)

    assert parts.scores.tolist() == served.log_odds(rows).tolist()
    np.testing.assert_allclose(parts.base + parts.contributions.sum(axis=1), parts.scores, rtol=1e-9, atol=1e-9)


def test_the_base_is_the_mean_of_the_training_rows_and_contributions_average_out(
    model: HistGradientBoostingClassifier,
) -> None:
    rows, _ = training_rows()
    parts = FlattenedBoosting.from_sklearn(model).attribute(rows)

    assert parts.base == pytest.approx(parts.scores.mean(), abs=1e-9)
    assert np.abs(parts.contributions.mean(axis=0)).max() < 1e-9


def test_a_feature_that_no_tree_asks_contributes_nothing_and_a_missing_one_what_its_absence_tells(
    model: HistGradientBoostingClassifier,
) -> None:
    row = np.array([[0.0, np.nan, 0.0, 0.0, 0.0]])
    told = FlattenedBoosting.from_sklearn(model).attribute(row).contributions[0]
    assert told.argmax() == 1

    rows, labels = training_rows()
    rows[:, 3] = 1.0
    blind = FlattenedBoosting.from_sklearn(fitted(rows, labels, max_iter=20))
    assert blind.attribute(rows).contributions[:, 3].tolist() == [0.0] * len(rows)


def test_contributions_of_a_row_are_the_same_to_the_last_bit_in_any_batch(
    model: HistGradientBoostingClassifier,
) -> None:
    served = FlattenedBoosting.from_sklearn(model)
    rows, _ = training_rows()
    together = served.attribute(rows[:1_000]).contributions

    assert np.concatenate([served.attribute(row[np.newaxis]).contributions for row in rows[:1_000]]).tobytes() == (
        together.tobytes()
    )


def training_rows() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3_000, 5))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    return rows, (np.nan_to_num(rows[:, 0]) + np.isnan(rows[:, 1]) + rng.normal(size=3_000)) > 1.0


@pytest.fixture(scope="module")
def model() -> HistGradientBoostingClassifier:
    return fitted(*training_rows(), max_iter=60, max_leaf_nodes=15)


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
        {"expected": changed("expected", leaf, np.inf)},
        {"expected": changed("expected", 0, 99.0)},
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
        served.expected[0] = 1.0
