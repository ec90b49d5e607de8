"""Opens the app: starts the engine on its own thread, or shows a store that another engine, or none, writes."""

import getpass
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

from data.analyst_writes import AnalystWriter
from data.errors import SentinelError, StoreLockedError
from data.model_registry import ModelRegistry
from data.queries import recovery
from data.store import Store
from engine.columns import ColumnMap
from engine.decode import JsonDecoder
from engine.generator import LIVE, GeneratorConfig, GeneratorSource
from engine.messages import SnapshotQueue
from engine.shadow import compare_in_shadow
from screens.workbench import ModelDesk, Standing
from sentinel_tui.app import SentinelApp
from sentinel_tui.runtime import SYSTEM_CLOCKS, EngineRun, Job, load_detectors, thresholds_of
from sentinel_tui.settings import LoadedSettings, Settings
from sentinel_tui.training_watch import TrainingWatch

CARDS_PER_RATE = 2_000
"""Cards for each transaction a second, so that honest cards are as idle between purchases as people are."""
FEWEST_CARDS = 20_000
MOST_CARDS = 500_000
HISTORY_PER_CARD = 3
STOP_TIMEOUT_S = 5.0


def open_workbench(store: Store, loaded: LoadedSettings, seed: int, rate: float) -> None:
    """Show the app until it is quit, by key or by signal; engine and training have stopped when this returns.

    The generator only ever writes into a store that holds nothing but its own real-time streams: simulated traffic
    must not mix with a file's.
    """
    settings = loaded.values
    analyst = AnalystWriter(store, getpass.getuser())
    analyst.sign_in(SYSTEM_CLOCKS.now())
    standing = _standing(store)
    automatic = standing is Standing.OWNER and settings.TRAIN_AUTOMATICALLY
    with TrainingWatch(store, SYSTEM_CLOCKS, loaded.flags, automatic=automatic) as training:
        desk = ModelDesk(
            partial(compare_in_shadow, store, thresholds_of(settings)),
            ModelRegistry(store, analyst.analyst),
            training.train_now,
            lambda: training.latest,
        )
        detectors = partial(load_detectors, store, settings)

        def app(snapshots: SnapshotQueue | None) -> SentinelApp:
            return SentinelApp(store, snapshots, SYSTEM_CLOCKS.now, standing, analyst, detectors, desk)

        if standing is not Standing.OWNER:
            _run_until_quit(app(None))
            return
        snapshots = SnapshotQueue()
        run = EngineRun(store, settings, SYSTEM_CLOCKS, snapshots)
        with _running(run, _generator_job(settings, seed, rate)):
            _run_until_quit(app(snapshots))


@contextmanager
def _running(run: EngineRun, job: Job) -> Iterator[None]:
    thread = threading.Thread(target=_work(run, job), name="engine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        run.stop()
        thread.join(STOP_TIMEOUT_S)


def _standing(store: Store) -> Standing:
    try:
        store.engine_lock().release()
    except StoreLockedError:
        return Standing.ATTACHED
    with closing(store.reader()) as reader:
        only_live = all(partition.startswith(LIVE) for _, partition in recovery.partitions(reader))
    return Standing.OWNER if only_live else Standing.VIEWING


def _work(run: EngineRun, job: Job) -> Callable[[], None]:
    def work() -> None:
        # The run has already told the app, through its last snapshot.
        with suppress(SentinelError):
            run.run(job)

    return work


def _generator_job(settings: Settings, seed: int, rate: float) -> Job:
    config = GeneratorConfig(
        seed=seed,
        cards=min(max(FEWEST_CARDS, int(rate * CARDS_PER_RATE)), MOST_CARDS),
        start=SYSTEM_CLOCKS.now(),
        rate=rate,
        fraud_probability=settings.FRAUD_PROBABILITY,
        velocity_attack_probability=settings.VELOCITY_ATTACK_PROBABILITY,
        history_per_card=HISTORY_PER_CARD,
    )
    source = GeneratorSource(config, SYSTEM_CLOCKS.now, SYSTEM_CLOCKS.monotonic)
    return Job(source, JsonDecoder(ColumnMap(label="is_fraud", scenario="scenario")), simulated_time=False)


def _run_until_quit(app: SentinelApp) -> None:
    """Textual handles neither SIGTERM nor SIGHUP: turn both into an orderly exit that restores the terminal."""
    previous: dict[signal.Signals, Any] = {}

    def handle(_number: int, _frame: FrameType | None) -> None:
        app.call_from_signal()

    for number in (signal.SIGTERM, signal.SIGHUP):
        previous[number] = signal.signal(number, handle)
    try:
        app.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
