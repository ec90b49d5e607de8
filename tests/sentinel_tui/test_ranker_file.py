"""The ranker that decided on an alert is found by its version, or it is said what is missing."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from data.errors import ModelError
from data.model_registry import ModelRegistry
from data.store import Store
from engine.ranker import Ranker, train_ranker
from engine.ranker_features import RANKER_FEATURE_NAMES
from sentinel_tui.runtime import load_ranker, models_folder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "sentinel.db")


@pytest.fixture
def ranker(store: Store) -> Ranker:
    """Registered under its version, its file in the models folder."""
    rows = np.random.default_rng(0).normal(size=(100, len(RANKER_FEATURE_NAMES)))
    fraud = rows[:, 0] > 0.5
    ranker = train_ranker(rows, fraud, seed=1, trained_at=NOW, data_from=NOW, data_to=NOW, trees=2)
    ranker.save(models_folder(store.path) / "one.npz")
    ModelRegistry(store, "ana").register(ranker.card.version, "one.npz", "{}", "{}", (0, b""), NOW)
    return ranker


def test_a_registered_ranker_is_loaded_by_its_version_whatever_role_it_has(store: Store, ranker: Ranker) -> None:
    assert load_ranker(store, ranker.card.version).card == ranker.card


def test_a_ranker_of_another_database_is_not_among_the_models(store: Store) -> None:
    with pytest.raises(ModelError, match=r"not among the models of this database, which `sentinel-tui model list`"):
        load_ranker(store, "boosting-000000000000")


def test_a_file_that_is_missing_or_damaged_is_named(store: Store, ranker: Ranker) -> None:
    path = models_folder(store.path) / "one.npz"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=str(path)):
        load_ranker(store, ranker.card.version)
    path.unlink()
    with pytest.raises(ModelError, match=f"There is no file '{path}': put it back"):
        load_ranker(store, ranker.card.version)
