"""A model is trained beside the engine when enough labels have come, by a process that never outlives its app."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.errors import StoreLockedError
from data.label_writes import write_label
from data.models import LabelSource
from data.store import Store
from engine.messages import TrainingSnapshot, TrainingState
from engine.pipeline import Clocks
from sentinel_tui.training_process import TrainingFailedError, TrainingProcess
from sentinel_tui.training_watch import LOOK_EVERY_S, TrainingWatch

from ..data.builders import World, scored
from .processes import PATIENCE_S, rows, sentinel


class Time:
    """Stands still until it is moved, and knows how often it was looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return self.seconds

    def pass_a_minute(self) -> None:
        """A minute goes by, and the watch has seen that it has."""
        self.seconds += LOOK_EVERY_S
        before = self.looks
        until(lambda: self.looks > before + 4)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


def watch(store: Store, time: Time, *, automatic: bool = True) -> TrainingWatch:
    clocks = Clocks(lambda: datetime.now(UTC), time.monotonic)
    return TrainingWatch(store, clocks, {"LOG_LEVEL": "INFO"}, automatic=automatic)


def state(watched: TrainingWatch) -> TrainingState | None:
    return None if watched.latest is None else watched.latest.state


def versions(database: Path) -> list[str]:
    return [version for (version,) in rows(database, "SELECT version FROM models ORDER BY id")]


def label(store: Store, first: int, last: int, *, fraud: bool) -> None:
    """Label some transactions, a moment ago."""
    with closing(store.analyst_writer()) as connection, store.transaction(connection):
        for seq in range(first, last + 1):
            write_label(connection, seq, fraud, LabelSource.REVIEW, "ana", datetime.now(UTC))


@pytest.fixture
def untaught(database: Path) -> Store:
    """A scored and labelled store in which no model has been trained."""
    store = Store.open(database)
    with closing(store.analyst_writer()) as connection, store.transaction(connection):
        for table in ("model_roles", "models"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the two names above
    return store


@pytest.fixture
def unteachable(tmp_path: Path) -> Store:
    """A store with sixty known frauds, and nothing known to be honest."""
    store = Store.open(tmp_path / "unteachable.db")
    world = World(store)
    at = datetime(2026, 1, 5, tzinfo=UTC)
    world.add(*(scored(f"t{n}", f"c{n % 9}", at + timedelta(hours=n)) for n in range(200)))
    world.close()
    label(store, 1, 60, fraud=True)
    return store


def test_a_training_that_is_due_gives_a_challenger_once(untaught: Store) -> None:
    time = Time()
    with watch(untaught, time) as watched:
        until(lambda: time.looks > 3)
        assert watched.latest is None, "not before a minute has passed"
        time.pass_a_minute()
        until(lambda: state(watched) is TrainingState.FINISHED)
        (version,) = versions(untaught.path)
        assert watched.latest is not None
        assert watched.latest.notice.startswith(f"A challenger competes: {version}, average precision ")
        for _ in range(2):
            time.pass_a_minute()
        assert state(watched) is TrainingState.FINISHED
    assert versions(untaught.path) == [version]
    roles = "SELECT r.role, m.version FROM model_roles r JOIN models m ON m.id = r.model_id"
    assert rows(untaught.path, roles) == [("challenger", version)]


def test_where_it_is_turned_off_nothing_is_trained_but_what_is_asked_for(unteachable: Store) -> None:
    time = Time()
    with watch(unteachable, time, automatic=False) as watched:
        time.seconds += 3 * LOOK_EVERY_S
        assert watched.train_now()
        until(lambda: state(watched) is TrainingState.FAILED)
        assert time.looks == 1, "it has no eye on the clock"
        assert watched.latest is not None
        assert "it is tried again" not in watched.latest.notice


def test_a_training_that_fails_is_told_once_and_tried_again_after_a_fifth_more_labels(unteachable: Store) -> None:
    time = Time()
    told: list[TrainingSnapshot] = []
    with watch(unteachable, time) as watched:
        time.pass_a_minute()
        until(lambda: state(watched) is TrainingState.FAILED)
        assert watched.latest is not None
        told.append(watched.latest)
        assert "60 frauds among 60 transactions are too few to learn from" in told[0].notice
        assert told[0].notice.endswith("it is tried again when there are more labels")
        label(unteachable, 61, 71, fraud=True)
        time.pass_a_minute()
        assert watched.latest is told[0], "eleven are less than a fifth of sixty"
        label(unteachable, 72, 72, fraud=True)
        time.pass_a_minute()
        until(lambda: watched.latest is not told[0] and state(watched) is TrainingState.FAILED)
        assert "72 frauds" in watched.latest.notice


def test_two_processes_never_train_at_once(untaught: Store) -> None:
    time = Time()
    with untaught.training_lock(), watch(untaught, time) as watched:
        assert "being trained" in sentinel("model", "train", "--database", untaught.path, code=2)
        time.pass_a_minute()
        assert watched.latest is None
        assert watched.train_now()
        until(lambda: state(watched) is TrainingState.FAILED)
        assert watched.latest is not None
        assert "wait until that training has ended" in watched.latest.notice
    assert versions(untaught.path) == []


def locked(store: Store) -> bool:
    try:
        store.training_lock().release()
    except StoreLockedError:
        return True
    return False


def test_leaving_ends_a_training_and_leaves_nothing_behind(untaught: Store) -> None:
    watched = watch(untaught, Time())
    with watched:
        assert watched.train_now()
        assert not watched.train_now(), "one at a time"
        until(lambda: locked(untaught))
    assert not watched._thread.is_alive()
    until(lambda: not locked(untaught))
    assert versions(untaught.path) == []


def test_a_training_ends_with_an_app_that_is_killed(untaught: Store) -> None:
    app = (
        "import sys; from pathlib import Path; from sentinel_tui.training_process import TrainingProcess;"
        "TrainingProcess(Path(sys.argv[1]), {}).wait(lambda _: None)"
    )
    with subprocess.Popen([sys.executable, "-c", app, str(untaught.path)]) as process:
        until(lambda: locked(untaught))
        process.send_signal(signal.SIGKILL)
    until(lambda: not locked(untaught))
    assert versions(untaught.path) == []


def test_the_progress_is_told_and_settings_are_handed_on_unseen(untaught: Store) -> None:
    shares: list[float] = []
    TrainingProcess(untaught.path, {}).wait(shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 2
    with pytest.raises(TrainingFailedError, match="VELOCITY_THRESHOLD from the environment is 'many'"):
        TrainingProcess(untaught.path, {"VELOCITY_THRESHOLD": "many"}).wait(shares.append)


def test_a_training_that_is_killed_says_by_what(untaught: Store) -> None:
    process = TrainingProcess(untaught.path, {})
    process.stop()
    with pytest.raises(TrainingFailedError, match="ended by signal 9"):
        process.wait(lambda _: None)
