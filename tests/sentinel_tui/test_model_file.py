"""The model file that a run starts from: found, trained, trained anew after an update, or refused."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.errors import ModelError, ModelOutdatedError
from engine import model_file
from engine.features import FEATURE_NAMES
from engine.gazetteer import Gazetteer
from engine.model import AnomalyModel
from engine.model_card import FORMAT_VERSION, content_digest, features_digest
from engine.model_file import ModelFile
from sentinel_tui import runtime
from sentinel_tui.runtime import load_or_train
from sentinel_tui.settings import Settings

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
Load = Callable[[Path, Settings], AnomalyModel]


@pytest.fixture
def outdated(model_file_path: Path) -> Path:
    """A sound file of the earlier format version."""
    contents = model_file.read(model_file_path)
    card = json.loads(contents.card) | {"format_version": FORMAT_VERSION - 1}
    card["content_sha256"] = content_digest(card, contents.arrays)
    model_file.write(model_file_path, ModelFile(json.dumps(card).encode(), contents.arrays))
    return model_file_path


@pytest.fixture
def model_file_path(model: AnomalyModel, tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    model.save(path)
    return path


@pytest.fixture
def load(model: AnomalyModel, gazetteer: Gazetteer, monkeypatch: pytest.MonkeyPatch) -> Load:
    """``load_or_train``, with the model of all tests for what a training takes half a minute to make."""
    monkeypatch.setattr(runtime, "train_on_simulated_traffic", lambda *_: model)
    return lambda path, settings: load_or_train(path, settings, (), gazetteer, NOW, lambda _: None)


def test_a_model_of_an_earlier_format_at_the_default_place_is_trained_anew_and_the_log_says_so(
    outdated: Path, load: Load, model: AnomalyModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert load(outdated, Settings()).card == model.card
    assert f"{outdated} was trained by an earlier version of this program; it is trained anew" in caplog.text
    assert AnomalyModel.load(outdated, FEATURE_NAMES).card == model.card


@pytest.fixture
def of_other_features(model: AnomalyModel, tmp_path: Path) -> Path:
    """A sound file of a program that had one feature by another name."""
    path = tmp_path / "model.npz"
    model.save(path)
    contents = model_file.read(path)
    names = ["retired", *FEATURE_NAMES[1:]]
    card = json.loads(contents.card) | {"features": names, "features_sha256": features_digest(names)}
    card["content_sha256"] = content_digest(card, contents.arrays)
    model_file.write(path, ModelFile(json.dumps(card).encode(), contents.arrays))
    return path


def test_a_model_of_other_features_is_trained_anew_at_the_default_place_and_refused_where_it_was_named(
    of_other_features: Path, load: Load, model: AnomalyModel
) -> None:
    with pytest.raises(ModelError, match="was trained on other features"):
        load(of_other_features, Settings(MODEL_PATH=of_other_features))
    assert load(of_other_features, Settings()).card == model.card


def test_a_model_of_an_earlier_format_that_model_path_names_is_refused_and_left_alone(
    outdated: Path, load: Load
) -> None:
    before = outdated.read_bytes()
    with pytest.raises(ModelOutdatedError, match=f"format version {FORMAT_VERSION - 1}"):
        load(outdated, Settings(MODEL_PATH=outdated))
    assert outdated.read_bytes() == before


def test_a_damaged_model_at_the_default_place_is_refused_and_left_alone(model_file_path: Path, load: Load) -> None:
    model_file_path.write_bytes(model_file_path.read_bytes()[:-1])
    before = model_file_path.read_bytes()
    with pytest.raises(ModelError, match="damaged"):
        load(model_file_path, Settings())
    assert model_file_path.read_bytes() == before
