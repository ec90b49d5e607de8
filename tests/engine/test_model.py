"""A model is trained the same way twice, explains itself, and says what it is."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.model import AnomalyModel, train
from engine.model_card import features_digest

NAMES = ("amount", "gap", "distance", "constant")
ROWS = 9_000


def honest_rows(rows: int = ROWS, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.lognormal(3, 1, rows), rng.exponential(60, rows), np.maximum(0, rng.normal(size=rows)), np.ones(rows)]
    )


def trained(rows: NDArray[np.float64] | None = None, **changes: Any) -> AnomalyModel:
    arguments: dict[str, Any] = {
        "names": NAMES,
        "seed": 11,
        "trained_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "data_from": datetime(2026, 2, 1, tzinfo=UTC),
        "data_to": datetime(2026, 2, 28, tzinfo=UTC),
        "source": "generator",
        "trees": 20,
        "samples_per_tree": 128,
        "calibration_share": 0.6,
        **changes,
    }
    return train(honest_rows() if rows is None else rows, **arguments)


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    return trained()


def test_loading_the_module_does_not_load_scikit_learn() -> None:
    program = "import sys, engine.model; sys.exit(any(name.split('.')[0] == 'sklearn' for name in sys.modules))"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_same_arguments_give_the_same_file_to_the_byte(model: AnomalyModel, tmp_path: Path) -> None:
    model.save(tmp_path / "first.npz")
    trained().save(tmp_path / "second.npz")

    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 12},
        {"trees": 19},
        {"samples_per_tree": 127},
        {"source": "another"},
        {"rows": honest_rows(seed=1)},
        {"trained_at": datetime(2026, 3, 1, 13, tzinfo=UTC)},
    ],
)
def test_another_training_is_another_version(model: AnomalyModel, changes: dict[str, Any]) -> None:
    assert trained(**changes).card.version != model.card.version


def test_the_card_records_the_training(model: AnomalyModel) -> None:
    card = model.card

    assert (card.training_rows, card.calibration_rows, card.rows) == (3_600, 5_400, 9_000)
    assert (card.seed, card.trees, card.samples_per_tree, card.source) == (11, 20, 128, "generator")
    assert (card.features, card.features_sha256) == (NAMES, features_digest(NAMES))
    assert card.data_to == datetime(2026, 2, 28, tzinfo=UTC)
    assert card.numpy == np.__version__
    assert card.version == f"iforest-{card.content_sha256[:12]}"


def test_the_card_states_and_measures_the_share_at_each_threshold(model: AnomalyModel) -> None:
    held_out = model.score(honest_rows()[3_600:]).calibrated

    assert {share.score for share in model.card.alert_shares} >= {0.50, 0.55, 0.70, 0.85}
    for share in model.card.alert_shares:
        assert share.stated == model.calibration.alert_rate(share.score)
        assert share.measured == np.mean(held_out >= share.score)
        assert share.measured == pytest.approx(share.stated, abs=1 / len(held_out))


def test_the_earlier_rows_are_fitted_and_the_later_ones_calibrate() -> None:
    earlier, later = honest_rows(4_000), honest_rows(5_000, seed=1) * 1.5
    model = trained(np.concatenate([earlier, later]), calibration_share=5 / 9)

    assert model.usual.tolist() == np.median(earlier, axis=0).tolist()
    assert np.mean(model.score(later).calibrated >= 0.02) == pytest.approx(0.5, abs=0.01)


def test_a_training_of_fewer_rows_than_samples_uses_all_of_them() -> None:
    model = trained(honest_rows(5_100), samples_per_tree=1_024, calibration_share=5_000 / 5_100)

    assert model.card.samples_per_tree == model.forest.samples_per_tree == 100


def test_an_outlier_is_critical_and_an_ordinary_row_is_not(model: AnomalyModel) -> None:
    scores = model.score(np.array([[9e4, 9e3, 50.0, 1.0], model.usual]))

    assert scores.calibrated[0] >= 0.85
    assert scores.calibrated[1] < 0.25
    assert scores.raw[0] > scores.raw[1] > 0


def test_a_row_scores_the_same_to_the_last_bit_in_any_batch(model: AnomalyModel) -> None:
    rows = honest_rows(1_024, seed=5)
    together = model.score(rows)
    alone = [model.score(row[np.newaxis]) for row in rows]

    assert np.concatenate([each.raw for each in alone]).tobytes() == together.raw.tobytes()
    assert np.concatenate([each.calibrated for each in alone]).tobytes() == together.calibrated.tobytes()


def test_the_feature_that_deviates_contributes_most_and_a_constant_nothing(model: AnomalyModel) -> None:
    row = model.usual.copy()
    row[2] = 40.0
    parts = model.explain(row[np.newaxis])
    contributions = parts.contributions[0]

    assert contributions.argmax() == 2
    assert contributions[2] > 0.05
    assert contributions[3] == 0.0
    assert parts.base + contributions.sum() == pytest.approx(model.score(row[np.newaxis]).raw[0], abs=1e-9)


def test_an_ordinary_row_is_below_the_base(model: AnomalyModel) -> None:
    parts = model.explain(model.usual[np.newaxis])

    assert parts.scores[0] < parts.base
    assert parts.contributions.min() < 0.0


def test_contributions_of_other_features_are_refused(model: AnomalyModel) -> None:
    for rows in (np.zeros((1, 5)), np.zeros(4)):
        with pytest.raises(ValueError, match="4 features"):
            model.explain(rows)


def test_usual_values_cannot_be_changed(model: AnomalyModel) -> None:
    with pytest.raises(ValueError, match="read-only"):
        model.usual[0] = 0.0


def test_times_are_kept_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))

    assert trained(trained_at=datetime(2026, 3, 1, 21, tzinfo=tokyo)).card == trained().card


def test_too_few_rows_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match=r"8,000 rows are too few .* share of 60% must hold at least 5,000"):
        trained(honest_rows(8_000))


def test_a_value_that_is_not_finite_is_refused_by_name() -> None:
    rows = honest_rows()
    rows[8_000, 1] = np.nan

    with pytest.raises(ValueError, match="feature gap is NaN or infinite"):
        trained(rows)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"names": ("a", "b", "c")}, "one column for each of 3"),
        ({"names": ("a", "b", "c", "a")}, "one column for each"),
        ({"rows": np.ones(9_000)}, "one column for each"),
        ({"trees": 0}, "too few"),
        ({"samples_per_tree": 1}, "too few"),
        ({"trees": 10_000, "samples_per_tree": 10_000}, "too many to keep"),
        ({"calibration_share": 0.0}, "outside 0 to 1"),
        ({"calibration_share": 1.0}, "outside 0 to 1"),
        ({"trained_at": datetime(2026, 3, 1)}, "timezone"),  # noqa: DTZ001 - a time without a zone is the test
        ({"data_from": datetime(2026, 3, 1, tzinfo=UTC)}, "end before they start"),
    ],
)
def test_arguments_that_make_no_model_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        trained(**changes)
