"""A labelled stream, and a database whose model has learnt from its first days."""

from pathlib import Path

import pytest

from ..card_stream import write_stream
from .processes import RECORDS, TAUGHT, as_json, chargebacks, copy_of, sentinel


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first days of a file that ``taught`` replays, and all of it afterwards: a file that has grown."""
    return write_stream(tmp_path_factory.mktemp("stream") / "stream.csv", RECORDS[:TAUGHT])


@pytest.fixture(scope="session")
def taught(stream: Path, model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose first days are scored and labelled, with a challenger that learnt from them."""
    folder = tmp_path_factory.mktemp("taught")
    database = folder / "taught.db"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MODEL_PATH", str(model_file))
        environment.setenv("XDG_DATA_HOME", str(folder / "data"))
        sentinel("replay", stream, "--preset", "handbook", "--database", database)
        sentinel("label", "-", "--database", database, stdin=chargebacks(RECORDS[:TAUGHT]))
        trained = as_json("model", "train", "--database", database)
    assert (trained["rows"], trained["untried"]) == (TAUGHT - trained["unknown"], None)
    write_stream(stream, RECORDS)
    return database


@pytest.fixture
def database(taught: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the taught database with its models, to go on from."""
    monkeypatch.setenv("MODEL_PATH", str(model_file))
    return copy_of(taught, tmp_path / "models.db")
