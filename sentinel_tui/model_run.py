"""A model is trained on what the store knows, and entered as challenger."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from data.model_registry import ModelRegistry
from data.queries import recovery
from data.store import Store
from engine.comparison import NO_TRIAL
from engine.features import EventReader
from engine.gazetteer import Gazetteer
from engine.learning import LABEL_DELAY_US
from engine.lessons import read_lessons
from engine.ranker_training import Training, train_on_lessons
from sentinel_tui.runtime import models_folder, new_state
from sentinel_tui.settings import Settings


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as it was entered, and what it was taught; ``unknown`` transactions have no outcome yet."""

    version: str
    training: Training
    rows: int
    frauds: int
    unknown: int


def train_model(
    store: Store, settings: Settings, actor: str, now: datetime, report: Callable[[float], None]
) -> Trained:
    """Train a ranker on everything that the store knows, and let it compete.

    ``report`` is told the share done, and may raise to stop; nothing is then left behind.

    Raises:
        ModelError: too little is known to learn from, or the file cannot be written.
        StoreLockedError: a model is being trained on this store already.
        StoreError: the database refused.
    """
    with store.training_lock():
        return _train(store, settings, actor, now, report)


def _train(store: Store, settings: Settings, actor: str, now: datetime, report: Callable[[float], None]) -> Trained:
    with closing(store.reader()) as reader:
        state = new_state(settings, recovery.rules(reader))
        lessons = read_lessons(
            reader, state, EventReader(Gazetteer()), LABEL_DELAY_US, lambda share: report(0.8 * share)
        )
    training = train_on_lessons(lessons, now, settings.FRAUD_SCORE_THRESHOLD)
    report(1.0)
    ranker = training.ranker
    version = ranker.card.version
    file = f"{version}.npz"
    ranker.save(models_folder(store.path) / file)
    figures = NO_TRIAL if training.trial is None else training.trial.model_dump_json()
    ModelRegistry(store, actor).register(
        version, file, ranker.card.model_dump_json(), figures, (lessons.seq, lessons.memory), now
    )
    return Trained(version, training, len(lessons), sum(lessons.fraud), lessons.unknown)
