"""What tests of several folders share: an isolated environment, a small trained model, and generated traffic."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.features import FeatureState
from engine.gazetteer import Gazetteer
from engine.generator import GeneratorConfig, GeneratorSource
from engine.model import AnomalyModel
from engine.training import train_on_simulated_traffic
from sentinel_tui.settings import Settings

from .card_stream import card_stream, write_stream

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's settings, data or terminal reaches a test, nor a test's anything of theirs."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TEXTUAL_THEME", "TEXTUAL_FPS", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg-data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture(scope="session")
def gazetteer() -> Gazetteer:
    return Gazetteer()


@pytest.fixture(scope="session")
def model(gazetteer: Gazetteer) -> AnomalyModel:
    """A model of the real features, trained on less traffic than the product uses."""
    state = FeatureState(60, 2.0, 600)
    return train_on_simulated_traffic(state, gazetteer, NOW, lambda _: None, records=20_000)


@pytest.fixture(scope="session")
def model_file(model: AnomalyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.npz"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 generated records as NDJSON, fraud and malformed ones included, labelled in ``is_fraud``."""
    source = GeneratorSource(
        GeneratorConfig(seed=11, cards=2_000, start=datetime(2026, 1, 5, tzinfo=UTC), records=20_000)
    )
    path = tmp_path_factory.mktemp("traffic") / "traffic.ndjson"
    path.write_bytes(b"".join(raw + b"\n" for raw in source.draw()))
    return path


@pytest.fixture(scope="session")
def labelled_stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 days of labelled card transactions from 2026-01-01 on, as CSV in the handbook's columns."""
    return write_stream(tmp_path_factory.mktemp("stream") / "stream.csv", card_stream(30))
