import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.store import Store

from ..ring_world import breached_graph, save_checkpoint
from .drift_world import card, count_days, label_alerts
from .models_world import add_models
from .worlds import HOSTILE, World, fill, fill_with_hostile_text, fill_with_ranked_alerts


@pytest.fixture(autouse=True)
def _same_terminal_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the developer's terminal, time zone or Textual settings reaches a test."""
    for name in tuple(os.environ):
        if name.startswith("TEXTUAL") and name != "TEXTUAL_SNAPSHOT_TEMPDIR":
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    # How long the pilot sleeps between two looks at whether the app is idle; its 20 ms add up to half a minute.
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", 0.004)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(tmp_path_factory.mktemp("empty") / "sentinel.db")


@pytest.fixture(scope="session")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two weeks of traffic, to be read only."""
    world = World(tmp_path_factory.mktemp("filled") / "sentinel.db")
    fill(world)
    count_days(world.store, (95, 0, 70, 0, 85, 0, 0, 60))
    label_alerts(world.store, 57)
    world.execute("INSERT INTO review_sample SELECT seq FROM transactions WHERE level_rank = 0 AND seq % 60 = 0")
    save_checkpoint(world.store, breached_graph())
    world.close()
    return world.store


@pytest.fixture(scope="session")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Every hostile string in every text column, to be read only."""
    world = World(tmp_path_factory.mktemp("hostile") / "sentinel.db")
    fill_with_hostile_text(world)
    count_days(world.store, (40,) * len(HOSTILE), names=HOSTILE, serving=card(source=HOSTILE[2]))
    world.execute("INSERT INTO review_sample SELECT seq FROM transactions")
    label_alerts(world.store, 3)
    names = [text for text in HOSTILE if len(text) < 1_000]
    cards = [f"{names[number % len(names)]}{number}" for number in range(400)]
    save_checkpoint(world.store, breached_graph((HOSTILE[1], HOSTILE[4]), cards))
    world.close()
    return world.store


@pytest.fixture(scope="session")
def ranked_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Alerts that a ranker decided, to be read only."""
    world = World(tmp_path_factory.mktemp("ranked") / "sentinel.db")
    fill_with_ranked_alerts(world)
    world.close()
    return world.store


@pytest.fixture
def world(filled_store: Store, tmp_path: Path) -> Iterator[World]:
    """A copy of the filled store, to write to."""
    path = tmp_path / "sentinel.db"
    shutil.copyfile(filled_store.path, path)
    world = World(path)
    yield world
    world.close()


@pytest.fixture(scope="session")
def models_store(filled_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The filled store with models, labels and shadow scores, to be read only."""
    path = tmp_path_factory.mktemp("models") / "sentinel.db"
    shutil.copyfile(filled_store.path, path)
    world = World(path)
    add_models(world)
    world.close()
    return world.store


@pytest.fixture
def models_world(models_store: Store, tmp_path: Path) -> Iterator[World]:
    """A copy of the store with models, to write to."""
    path = tmp_path / "models.db"
    shutil.copyfile(models_store.path, path)
    world = World(path)
    yield world
    world.close()
