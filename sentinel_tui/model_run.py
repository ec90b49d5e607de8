"""The life of a model: trained on what the store knows, entered as challenger, compared on what it scored in shadow."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from data.errors import ModelError
from data.model_registry import ModelRegistry, RegisteredModel, holders, role_changes
from data.models import ModelRole
from data.queries import labels as label_queries
from data.queries import recovery
from data.store import Store
from engine.comparison import Comparison, Side, compare
from engine.features import EventReader
from engine.gazetteer import Gazetteer
from engine.learning import LABEL_DELAY_US
from engine.lessons import read_lessons
from engine.metrics import LabelledRows
from engine.ranker_training import DAY_US, Training, train_on_lessons
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


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """Champion and challenger on the days that both have scored; None where no outcome is known of these yet.

    ``scored`` transactions were scored by both, ``unknown`` of them have no outcome yet.
    """

    champion: str | None
    challenger: str
    scored: int
    unknown: int
    comparison: Comparison | None


def train_model(
    store: Store, settings: Settings, actor: str, now: datetime, report: Callable[[float], None]
) -> Trained:
    """Train a ranker on everything that the store knows, and let it compete.

    ``report`` is told the share done, and may raise to stop; nothing is then left behind.

    Raises:
        ModelError: too little is known to learn from, or the file cannot be written.
        StoreError: the database refused.
    """
    with closing(store.reader()) as reader:
        state = new_state(settings, recovery.rules(reader))
        lessons = read_lessons(
            reader, state, EventReader(Gazetteer()), LABEL_DELAY_US, lambda share: report(0.8 * share)
        )
    training = train_on_lessons(lessons, now)
    report(1.0)
    ranker = training.ranker
    version = ranker.card.version
    file = f"{version}.npz"
    ranker.save(models_folder(store.path) / file)
    figures = "{}" if training.trial is None else training.trial.model_dump_json()
    ModelRegistry(store, actor).register(
        version, file, ranker.card.model_dump_json(), figures, (lessons.seq, lessons.memory), now
    )
    return Trained(version, training, len(lessons), sum(lessons.fraud), lessons.unknown)


def trial_of(model: RegisteredModel) -> Comparison | None:
    """What the training found on the latest days, beside what was decided at the time; None where it could not."""
    return None if model.figures == "{}" else Comparison.model_validate_json(model.figures)


_BEFORE_FIRST: Final = -1


def compare_in_shadow(store: Store, settings: Settings) -> ShadowComparison:
    """Judge champion and challenger by the outcome of what both have scored since the challenger's entry.

    A transaction without a label is honest when it is older than the label delay, where chargebacks are imported;
    otherwise its outcome is unknown.

    Raises:
        ModelError: nobody competes.
    """
    with closing(store.reader()) as reader:
        champion, challenger = holders(reader)
        if challenger is None:
            raise ModelError("there is no challenger to compare: train one with `sentinel-tui model train`")
        entry = next(change for change in role_changes(reader) if change.role is ModelRole.CHALLENGER)
        after = _BEFORE_FIRST if entry.applied_seq is None else entry.applied_seq
        rows = [] if entry.applied_seq is None else list(label_queries.shadow_rows(reader, after))
        totals = label_queries.label_totals(reader)
        watermark = label_queries.latest_event_time(reader)
    chargebacks = any(source == "chargeback" for source, _ in totals.by_source)
    settled = watermark - LABEL_DELAY_US if chargebacks else 0
    known = [row for row in rows if row.fraud is not None or row.event_time <= settled]
    return ShadowComparison(
        champion=None if champion is None else champion.version,
        challenger=challenger.version,
        scored=len(rows),
        unknown=len(rows) - len(known),
        comparison=_comparison(known, settings) if known else None,
    )


def _comparison(rows: list[label_queries.ShadowRow], settings: Settings) -> Comparison:
    times = np.array([row.event_time for row in rows], dtype=np.int64)
    cards: dict[str, int] = {}
    labelled = LabelledRows(
        np.array([bool(row.fraud) for row in rows]),
        np.array([row.amount_minor / 100.0 for row in rows]),
        times // DAY_US,
        np.array([cards.setdefault(row.card_id, len(cards)) for row in rows], dtype=np.int64),
    )
    challenging = np.array([row.challenger_score for row in rows])
    by_velocity = np.array([row.velocity >= settings.VELOCITY_THRESHOLD for row in rows])
    return compare(
        labelled,
        times,
        Side(np.array([row.score for row in rows]), np.array([row.level_rank > 0 for row in rows])),
        Side(challenging, (challenging >= settings.FRAUD_SCORE_THRESHOLD) | by_velocity),
    )
