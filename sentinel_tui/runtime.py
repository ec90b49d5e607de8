"""Wiring: a store, a model, a scorer and a source become one engine run, on the thread that calls it."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from data import model_registry
from data.engine_writes import EngineWriter
from data.errors import ModelError, ModelOutdatedError, SentinelError
from data.models import Rule, RuleType
from data.queries import recovery
from data.store import Store
from engine import checkpoint
from engine.decode import Decoder
from engine.features import FEATURE_NAMES, EventReader, FeatureState
from engine.following import Follower
from engine.gazetteer import Gazetteer
from engine.generator import GeneratorSource
from engine.messages import EngineSnapshot, EngineState, SnapshotQueue
from engine.model import AnomalyModel
from engine.pipeline import Clocks, Pipeline, RunTotals, recover
from engine.ranker import Ranker
from engine.records import Source
from engine.rescoring import Detectors
from engine.rules import RuleSet
from engine.scorer import Scorer
from engine.scoring import Thresholds
from engine.training import train_on_simulated_traffic, warm_up
from sentinel_tui.settings import Settings

log = logging.getLogger(__name__)

SYSTEM_CLOCKS = Clocks(now=lambda: datetime.now(UTC), monotonic=time.monotonic)
YOUNG_OBJECTS = 50_000
"""Allocations between two looks of the garbage collector at young objects; a batch alone makes thousands."""
DEFAULT_SMALL_AMOUNT = 2.0
DEFAULT_SMALL_AMOUNT_WINDOW_S = 600


@dataclass(frozen=True, slots=True)
class Job:
    """What a run reads, and how."""

    source: Source
    decoder: Decoder
    simulated_time: bool
    """Event time is the source's own, so that no record can be from the future."""


def settle_garbage_collector() -> None:
    """Keep the collector off the engine's memory, which lives as long as the process, and off each single batch.

    Both together cost a tenth to a fifth of the throughput that ``sentinel-tui bench`` measures.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)


class StoppedError(Exception):
    """A stop was asked for before the first record."""


class EngineRun:
    """One run of the engine on a store. ``run`` blocks its thread; ``stop`` may come from any other."""

    def __init__(self, store: Store, settings: Settings, clocks: Clocks, snapshots: SnapshotQueue) -> None:
        self._store = store
        self._settings = settings
        self._clocks = clocks
        self._snapshots = snapshots
        self._stopping = threading.Event()
        self._pipeline: Pipeline | None = None

    def stop(self) -> None:
        """Ask the run to end after the batch at hand."""
        self._stopping.set()
        if self._pipeline is not None:
            self._pipeline.stop()

    def run(self, job: Job) -> RunTotals | None:
        """Take the engine lock, prepare the model and the memory, and score until the source ends.

        Returns:
            What was done, or None when a stop came before the first record.

        Raises:
            SentinelError: what went wrong and what to do; everything before it is stored.
        """
        try:
            with self._store.engine_lock():
                writer = EngineWriter(self._store)
                try:
                    return self._score(job, writer)
                finally:
                    writer.close()
        except StoppedError:
            return None
        except SentinelError as error:
            log.error("the engine stopped: %s", error)
            self._snapshots.put(EngineSnapshot(EngineState.FAILED, job.source.name, error=str(error)))
            raise

    def _score(self, job: Job, writer: EngineWriter) -> RunTotals:
        rules = recovery.rules(writer.connection)
        gazetteer = Gazetteer()
        path = model_path(self._settings, self._store.path)
        model = load_or_train(
            path, self._settings, rules, gazetteer, self._clocks.now(), self._progress(job, EngineState.TRAINING)
        )
        reader = EventReader(gazetteer)
        scorer = new_scorer(self._settings, rules, reader, model)
        self._restore(job, scorer, reader, writer)
        pipeline = Pipeline(
            job.source,
            job.decoder,
            scorer,
            writer,
            self._clocks,
            self._snapshots,
            follower=self._follower(scorer, reader, writer),
            refuse_future=not job.simulated_time,
            review_share=self._settings.REVIEW_SAMPLE_SHARE,
        )
        self._pipeline = pipeline
        if self._stopping.is_set():
            raise StoppedError
        log.info("scoring %s %s with model %s", job.source.name, job.source.partition, model.card.version)
        settle_garbage_collector()
        return asyncio.run(pipeline.run())

    def _restore(self, job: Job, scorer: Scorer, reader: EventReader, writer: EngineWriter) -> None:
        """Bring the memory to where the store stands; the generator's cards start with their history."""
        if isinstance(job.source, GeneratorSource) and not recovery.last_seq(writer.connection):
            warm_up(scorer.state, job.source, reader, self._progress(job, EngineState.WARMING_UP))
            writer.save_origin(checkpoint.dump(scorer.state))
            return
        self._snapshots.put(EngineSnapshot(EngineState.STARTING, job.source.name))
        replayed = recover(scorer, writer, self._progress(job, EngineState.RECOVERING))
        log.info("recovered; %d stored transactions were read again", replayed)

    def _follower(self, scorer: Scorer, reader: EventReader, writer: EngineWriter) -> Follower:
        folder = models_folder(self._store.path)
        follower = Follower(writer, scorer.learning, reader, lambda model: Ranker.load(folder / model.file))
        follower.resume()
        return follower

    def _progress(self, job: Job, state: EngineState) -> Callable[[float], None]:
        def report(share: float) -> None:
            if self._stopping.is_set():
                raise StoppedError
            self._snapshots.put(EngineSnapshot(state, job.source.name, fraction_done=share))

        return report


def model_path(settings: Settings, database: Path) -> Path:
    """The model file: MODEL_PATH, or model.npz beside the database."""
    return settings.MODEL_PATH or database.parent / "model.npz"


def models_folder(database: Path) -> Path:
    """Where the models are kept that learnt from a database's labels: beside it, under its name."""
    return database.with_name(f"{database.name}.models")


def load_or_train(
    path: Path,
    settings: Settings,
    rules: tuple[Rule, ...],
    gazetteer: Gazetteer,
    now: datetime,
    progress: Callable[[float], None],
) -> AnomalyModel:
    """The model of a file; where there is none, or an earlier version of this program trained it, one is trained.

    Raises:
        ModelError: the file cannot serve, or cannot be written; one that ``MODEL_PATH`` names is never replaced.
    """
    model = _load(path, settings)
    if model is not None:
        return model
    log.info("training a model into %s", path)
    model = train_on_simulated_traffic(new_state(settings, rules), gazetteer, now, progress)
    model.save(path)
    return model


def _load(path: Path, settings: Settings) -> AnomalyModel | None:
    try:
        return AnomalyModel.load_if_present(path, FEATURE_NAMES)
    except ModelOutdatedError:
        if settings.MODEL_PATH is not None:
            raise
        log.warning("%s was trained by an earlier version of this program; it is trained anew", path)
        return None


def new_scorer(settings: Settings, rules: tuple[Rule, ...], reader: EventReader, model: AnomalyModel) -> Scorer:
    """The detectors as the settings and the rules want them, around an empty memory."""
    return Scorer(new_state(settings, rules), reader, model, RuleSet(rules), thresholds_of(settings))


def load_detectors(store: Store, settings: Settings) -> Detectors:
    """What judges the transactions of a store now: its rules, the settings, and its models, never trained here.

    Raises:
        ModelError: there is no model, or it cannot serve.
        StoreError: the store cannot be read.
    """
    with closing(store.reader()) as reader:
        rules = recovery.rules(reader)
    path = model_path(settings, store.path)
    model = AnomalyModel.load_if_present(path, FEATURE_NAMES)
    if model is None:
        raise ModelError(
            f"There is no model file {str(path)!r}: set MODEL_PATH to the one that scored here, and start again"
        )
    return Detectors(
        model, RuleSet(rules), thresholds_of(settings), partial(new_state, settings, rules), partial(load_ranker, store)
    )


def load_ranker(store: Store, version: str) -> Ranker:
    """A ranker that learnt from a store's labels, by its version, whether or not it holds a role.

    Raises:
        ModelError: there is none of this version, or its file is missing or cannot serve.
        StoreError: the store cannot be read.
    """
    with closing(store.reader()) as reader:
        registered = model_registry.model(reader, version)
    if registered is None:
        raise ModelError("It is not among the models of this database, which `sentinel-tui model list` shows")
    path = models_folder(store.path) / registered.file
    try:
        return Ranker.load(path)
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {str(path)!r}: put it back, or look at another alert") from error


def thresholds_of(settings: Settings) -> Thresholds:
    """Where the settings want alerts to start."""
    return Thresholds(settings.FRAUD_SCORE_THRESHOLD, settings.VELOCITY_THRESHOLD, settings.VELOCITY_WINDOW_SECONDS)


def new_state(settings: Settings, rules: tuple[Rule, ...]) -> FeatureState:
    testing = next((rule for rule in rules if rule.type is RuleType.CARD_TESTING), None)
    small_amount = DEFAULT_SMALL_AMOUNT if testing is None else float(testing.parameter or DEFAULT_SMALL_AMOUNT)
    window_s = DEFAULT_SMALL_AMOUNT_WINDOW_S if testing is None else testing.window_seconds
    return FeatureState(settings.VELOCITY_WINDOW_SECONDS, small_amount, window_s or DEFAULT_SMALL_AMOUNT_WINDOW_S)
