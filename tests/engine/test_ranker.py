"""A ranker is the same for the same rows, is read back as it was written, and is refused when it cannot serve."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ModelError
from engine import model_file
from engine.model import AnomalyModel
from engine.model_card import content_digest
from engine.model_file import ModelFile
from engine.ranker import Ranker, train_ranker

NAMES = ("amount", "ratio", "never_known")
WHEN = {
    "trained_at": datetime(2026, 3, 1, tzinfo=UTC),
    "data_from": datetime(2026, 2, 1, tzinfo=UTC),
    "data_to": datetime(2026, 2, 28, tzinfo=UTC),
}


def rows(seed: int = 0, count: int = 2_000) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 3))
    features[rng.random(count) < 0.2, 1] = np.nan
    features[:, 2] = np.nan
    return features, features[:, 0] > 1.5


def trained(seed: int = 1) -> Ranker:
    return train_ranker(*rows(), NAMES, seed=seed, trees=20, **WHEN)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return trained()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ranker.npz"


def test_it_ranks_what_it_was_taught_above_the_rest(ranker: Ranker) -> None:
    features, fraud = rows(seed=5)
    scores = ranker.score(features)
    assert scores[fraud].min() > scores[~fraud & (features[:, 0] < 1.3)].max()


def test_contributions_add_up_to_the_log_odds_and_name_what_it_was_taught(ranker: Ranker, path: Path) -> None:
    features, fraud = rows(seed=5)
    parts = ranker.explain(features)
    probability = ranker.score(features)
    log_odds = np.log(probability / (1 - probability))
    np.testing.assert_allclose(parts.base + parts.contributions.sum(axis=1), log_odds, rtol=0, atol=1e-9)
    assert set(parts.contributions[fraud].argmax(axis=1)) == {0}
    assert not parts.contributions[:, 2].any()
    ranker.save(path)
    assert Ranker.load(path, NAMES).explain(features).contributions.tobytes() == parts.contributions.tobytes()


def test_a_column_that_was_never_known_in_training_changes_no_score(ranker: Ranker) -> None:
    features, _ = rows(seed=5)
    known = features.copy()
    known[:, 2] = 7.0
    assert ranker.score(known).tolist() == ranker.score(features).tolist()


def test_the_same_rows_give_the_same_file_and_another_seed_another(ranker: Ranker, tmp_path: Path) -> None:
    files = []
    for index, each in enumerate((ranker, trained(), trained(seed=2))):
        each.save(tmp_path / str(index))
        files.append((tmp_path / str(index)).read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_saved_ranker_scores_as_before_to_the_last_bit(ranker: Ranker, path: Path) -> None:
    ranker.save(path)
    read = Ranker.load(path, NAMES)
    features, _ = rows(seed=9)
    assert read.score(features).tolist() == ranker.score(features).tolist()
    assert read.card == ranker.card
    assert read.card.version.startswith("boosting-")
    assert (read.card.training_rows, read.card.training_frauds) == (2_000, int(rows()[1].sum()))


def test_a_ranker_of_other_features_or_of_another_order_is_refused(ranker: Ranker, path: Path) -> None:
    ranker.save(path)
    for names in (NAMES[:2], NAMES[::-1], (*NAMES[:2], "other")):
        with pytest.raises(ModelError, match="other features"):
            Ranker.load(path, names)


def test_an_anomaly_model_is_no_ranker_and_a_ranker_no_anomaly_model(
    ranker: Ranker, model_file: Path, path: Path
) -> None:
    with pytest.raises(ModelError, match="not a ranker"):
        Ranker.load(model_file, NAMES)
    ranker.save(path)
    with pytest.raises(ModelError):
        AnomalyModel.load(path, NAMES)


def test_any_damaged_byte_is_found(ranker: Ranker, path: Path) -> None:
    ranker.save(path)
    sound = path.read_bytes()
    for at in range(0, len(sound), max(1, len(sound) // 40)):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(ModelError):
            Ranker.load(path, NAMES)


def sealed_again(ranker: Ranker, path: Path, card_changes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """A file whose seal and digest are right, and whose contents are not."""
    ranker.save(path)
    contents = model_file.read(path)
    card = json.loads(contents.card) | card_changes
    changed = dict(contents.arrays) | arrays
    card["content_sha256"] = content_digest(card, changed)
    model_file.write(path, ModelFile(json.dumps(card).encode(), changed))


def test_a_file_that_is_sealed_again_is_still_checked(ranker: Ranker, path: Path) -> None:
    roots = ranker.boosting.roots.astype(np.int32)
    cases: list[tuple[dict[str, Any], dict[str, NDArray[Any]]]] = [
        ({"format_version": 99}, {}),
        ({"format_version": 1}, {}),
        ({"trees": 3}, {}),
        ({"baseline": None}, {}),
        ({"data_from": "2027-01-01T00:00:00Z"}, {}),
        ({"features_sha256": "0" * 64}, {}),
        ({}, {"roots": roots[::-1] + 1}),
        ({}, {"roots": roots.astype(np.int64)}),
        ({}, {"extra": roots}),
        ({}, {"expected": np.full(len(ranker.boosting.expected), np.nan)}),
        ({}, {"expected": -ranker.boosting.expected[::-1]}),
    ]
    for card_changes, arrays in cases:
        sealed_again(ranker, path, card_changes, arrays)
        with pytest.raises(ModelError):
            Ranker.load(path, NAMES)
    sealed_again(ranker, path, {}, {})
    Ranker.load(path, NAMES)


def test_too_few_frauds_and_columns_of_another_number_are_refused() -> None:
    features, fraud = rows()
    few = np.zeros(len(fraud), dtype=np.bool_)
    few[:9] = True
    for labels in (few, ~few):
        with pytest.raises(ValueError, match="too few"):
            train_ranker(features, labels, NAMES, seed=1, **WHEN)
    with pytest.raises(ValueError, match="shape"):
        train_ranker(features[:, :2], fraud, NAMES, seed=1, **WHEN)
