from collections.abc import Iterator
from pathlib import Path

import pytest

from data.store import Store

from .builders import World


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "sentinel.db")


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    world = World(store)
    yield world
    world.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated database to copy from."""
    path = tmp_path_factory.mktemp("template") / "sentinel.db"
    Store.open(path)
    return path
