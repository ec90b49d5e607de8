"""Models, labels and what was scored in shadow, as training, analysts and the engine leave them; and an app on them."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from textual.pilot import Pilot

from data.model_registry import ModelRegistry
from data.store import Store
from data.timestamps import to_microseconds
from engine.comparison import NO_TRIAL, Comparison, Flips, SideFigures
from engine.messages import SnapshotQueue, TrainingSnapshot
from engine.model_card import features_digest
from engine.ranker import KIND, RANKER_FORMAT_VERSION, RankerCard
from engine.ranker_features import RANKER_FEATURE_NAMES
from engine.scoring import Thresholds
from engine.shadow import compare_in_shadow
from screens.workbench import ModelDesk
from sentinel_tui.app import SentinelApp

from .worlds import NOW, World, running

ANALYST = "maria"
IN_SHADOW = 900
"""The latest transactions, scored by champion and challenger."""


def ranker_card(number: int, trained_at: datetime) -> RankerCard:
    return RankerCard(
        kind=KIND,
        format_version=RANKER_FORMAT_VERSION,
        content_sha256=(f"{number:x}c0ffee{number:x}" * 8)[:64],
        trained_at=trained_at,
        data_from=trained_at - timedelta(days=30),
        data_to=trained_at - timedelta(hours=2),
        training_rows=40_000 + 9_000 * number,
        training_frauds=310 + 77 * number,
        features=RANKER_FEATURE_NAMES,
        features_sha256=features_digest(RANKER_FEATURE_NAMES),
        seed=1,
        trees=200,
        baseline=-4.0,
        scikit_learn="1.7.0",
        numpy="2.3.0",
    )


def figures(quality: float) -> SideFigures:
    return SideFigures(
        auc_roc=0.5 + quality / 2,
        average_precision=quality,
        card_precision_at_100=quality / 3,
        precision_at_budget=quality / 8,
        recall_at_budget=quality,
        value_caught=quality * 0.9,
        alerts_per_day=88.25,
        brier=0.02 * (1 - quality),
        calibration_error=0.1 * (1 - quality),
        calibration=((0.04, 0.01, 8_000), (0.93, 0.88, 120)),
    )


def trial(quality: float, day: datetime) -> Comparison:
    return Comparison(
        first=to_microseconds(day - timedelta(days=7)),
        last=to_microseconds(day),
        days=7,
        rows=9_214,
        frauds=71,
        champion=figures(0.2),
        challenger=figures(quality),
        flips=Flips(champion_only=3, champion_only_frauds=1, challenger_only=9, challenger_only_frauds=7),
    )


def train(store: Store, number: int, days_ago: int, actor: str = ANALYST, quality: float | None = 0.7) -> str:
    """Enter a model; its version."""
    at = NOW - timedelta(days=days_ago)
    card = ranker_card(number, at)
    figures = NO_TRIAL if quality is None else trial(quality, at).model_dump_json()
    ModelRegistry(store, actor).register(
        card.version, f"{card.version}.npz", card.model_dump_json(), figures, (number, b""), at
    )
    return card.version


def add_models(world: World, actor: str = ANALYST, *, seed: int = 5) -> None:
    """Three models, the second one champion and the third competing, and labels of what both have scored."""
    train(world.store, 1, 9, actor, quality=None)
    train(world.store, 2, 6, actor, quality=0.61)
    ModelRegistry(world.store, actor).promote(None, NOW - timedelta(days=5))
    train(world.store, 3, 3, actor, quality=0.74)
    dice = random.Random(seed)
    with closing(world.store.reader()) as reader:
        rows = reader.execute(
            "SELECT seq, level_rank FROM transactions ORDER BY seq DESC LIMIT ?", (IN_SHADOW,)
        ).fetchall()
    world.execute("UPDATE model_roles SET applied_seq = ?", (min(seq for seq, _ in rows) - 1,))
    for seq, level in rows:
        fraud = level >= 3 or dice.random() < 0.015
        score = dice.uniform(0.4, 1.0) if fraud else dice.triangular(0.0, 0.7, 0.02)
        world.execute("UPDATE transactions SET challenger_score = ? WHERE seq = ?", (score, seq))
        if dice.random() < 0.8:
            source = dice.choice(("chargeback", "disposition", "disposition", "review"))
            world.execute(
                "INSERT INTO labels (transaction_seq, fraud, known_at, source, actor, added_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (seq, fraud, to_microseconds(NOW), source, actor, to_microseconds(NOW)),
            )


class Trainer:
    """Stands for the thread that trains: it says what the test has it say."""

    def __init__(self) -> None:
        self.asked = 0
        self.latest: TrainingSnapshot | None = None

    def train(self) -> bool:
        self.asked += 1
        return self.asked == 1


def desk(store: Store, trainer: Trainer | None = None, actor: str = ANALYST) -> ModelDesk:
    """What the program offers, with a trainer of the test's."""
    trainer = trainer or Trainer()
    return ModelDesk(
        partial(compare_in_shadow, store, Thresholds()),
        ModelRegistry(store, actor),
        trainer.train,
        lambda: trainer.latest,
    )


def app_with_models(store: Store, models: ModelDesk | None, clock: Callable[[], datetime] = lambda: NOW) -> SentinelApp:
    snapshots = SnapshotQueue()
    snapshots.put(running())
    app = SentinelApp(store, snapshots, clock, models=models)
    app.animation_level = "none"
    return app


@asynccontextmanager
async def on_models(
    store: Store, models: ModelDesk | None, *keys: str, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[SentinelApp, Pilot[Any]]]:
    """The Models screen, after some more keys."""
    app = app_with_models(store, models)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        await pilot.press("6", "m", *keys)
        yield app, pilot
