"""What would clear an alert is found without holding up the screen, and what cannot be found is told in words."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import orjson
import pytest
from textual.pilot import Pilot

from data.errors import ModelError
from data.model_registry import ModelRegistry
from data.store import Store
from engine.counterfactual import Change, Clearing
from engine.features import FEATURE_NAMES
from engine.gazetteer import Gazetteer
from engine.learning import Rankers
from engine.messages import SnapshotQueue
from engine.model import AnomalyModel
from engine.ranker import train_ranker
from engine.ranker_features import RANKER_FEATURE_NAMES
from engine.rescoring import Detectors
from screens.widgets.what_if import WhatIf, answer_lines
from sentinel_tui.app import SentinelApp
from sentinel_tui.runtime import load_detectors, models_folder
from sentinel_tui.settings import Settings

from ..engine.alerted import alerts_of, decoded, detectors_of, new_scorer, score_into
from .pilots import press, screen_text, until

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def purchase(number: int, at: datetime, amount: float) -> bytes:
    return orjson.dumps(
        {"transaction_id": f"t-{number}", "card_id": f"c-{number % 2}", "amount": amount, "timestamp": at.isoformat()}
    )


@pytest.fixture(scope="module")
def store(model: AnomalyModel, gazetteer: Gazetteer, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two cards that pay about 20.00, and a payment of 9,500.00 by each."""
    store = Store.open(tmp_path_factory.mktemp("alerted") / "sentinel.db")
    usual = [purchase(number, NOON - timedelta(hours=80 - number), 18.0 + number % 5) for number in range(80)]
    large = [purchase(100 + number, NOON + timedelta(minutes=number), 9_500.0) for number in range(2)]
    score_into(store, new_scorer(store, model, gazetteer), decoded([*usual, *large]))
    assert [alert.transaction_id for alert in alerts_of(store)] == ["t-100", "t-101"]
    return store


@asynccontextmanager
async def on_an_alert(
    store: Store, detectors: Callable[[], Detectors] | None
) -> AsyncIterator[tuple[SentinelApp, Pilot[None]]]:
    app = SentinelApp(store, SnapshotQueue(), lambda: NOON, detectors=detectors)
    async with app.run_test(size=(120, 50)) as pilot:
        await press(pilot, "2", "enter")
        yield app, pilot


def _not_asked(app: SentinelApp) -> bool:
    return "What would clear it" not in screen_text(app)


async def test_the_bounds_are_shown_when_they_are_asked_for(
    store: Store, model_file: Path, model: AnomalyModel
) -> None:
    loaded = partial(load_detectors, store, Settings(MODEL_PATH=model_file))
    async with on_an_alert(store, loaded) as (app, pilot):
        await until(pilot, lambda: "What happened" in screen_text(app) and _not_asked(app))
        await press(pilot, "w")
        await until(pilot, lambda: "Each alone; all else stays as it was." in screen_text(app))
        assert "clears below" in screen_text(app)


@pytest.fixture
def ranked_store(model: AnomalyModel, gazetteer: Gazetteer, tmp_path: Path) -> Store:
    """The same payments, decided by a ranker to which a payment over 403 is fraud, and its file in place."""
    store = Store.open(tmp_path / "ranked.db")
    rows = np.random.default_rng(0).uniform(0.0, 12.0, (400, len(RANKER_FEATURE_NAMES)))
    fraud = rows[:, FEATURE_NAMES.index("amount")] > 6.0
    ranker = train_ranker(rows, fraud, seed=1, trained_at=NOON, data_from=NOON, data_to=NOON, trees=40)
    ranker.save(models_folder(store.path) / "ranker.npz")
    ModelRegistry(store, "ana").register(ranker.card.version, "ranker.npz", "{}", "{}", (0, b""), NOON)
    scorer = new_scorer(store, model, gazetteer)
    scorer.learning.begin_history(None)
    scorer.learning.rankers = Rankers(champion=ranker)
    usual = [purchase(number, NOON - timedelta(hours=80 - number), 18.0 + number % 5) for number in range(80)]
    score_into(store, scorer, decoded([*usual, purchase(100, NOON, 900.0)]))
    assert [alert.ranked is not None for alert in alerts_of(store)] == [True]
    return store


async def test_what_clears_an_alert_that_a_ranker_decided_is_found_by_its_file(
    ranked_store: Store, model_file: Path
) -> None:
    loaded = partial(load_detectors, ranked_store, Settings(MODEL_PATH=model_file))
    async with on_an_alert(ranked_store, loaded) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "Amount  clears below 3" in screen_text(app))
    (models_folder(ranked_store.path) / "ranker.npz").unlink()
    async with on_an_alert(ranked_store, loaded) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "which decided on this alert, cannot be read: There is no file" in screen_text(app))


async def test_another_alert_hides_the_answer(store: Store, model: AnomalyModel) -> None:
    async with on_an_alert(store, partial(detectors_of, store, model)) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "clears below" in screen_text(app))
        await press(pilot, "j")
        await until(pilot, lambda: _not_asked(app))


async def test_an_answer_that_comes_late_is_not_shown_for_another_alert(store: Store, model: AnomalyModel) -> None:
    async with on_an_alert(store, partial(detectors_of, store, model)) as (app, pilot):
        panel = app.screen.query_one(WhatIf)
        panel.post_message(WhatIf.Answered(2, (Clearing(Change.PLACE, "too late", 0.1),)))
        await pilot.pause()
        await press(pilot, "j", "w")
        panel.post_message(WhatIf.Answered(2, (Clearing(Change.PLACE, "too late", 0.1),)))
        await until(pilot, lambda: "clears below" in screen_text(app))
        assert "too late" not in screen_text(app)


async def test_a_model_that_cannot_be_read_is_told_in_words(store: Store, tmp_path: Path) -> None:
    async with on_an_alert(store, partial(load_detectors, store, Settings())) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "There is no model file" in screen_text(app))
    (tmp_path / "model.npz").write_bytes(b"no model")
    damaged = Settings(MODEL_PATH=tmp_path / "model.npz")
    async with on_an_alert(store, partial(load_detectors, store, damaged)) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "is not a model of this" in screen_text(app))


async def test_an_alert_that_other_rules_raised_is_told_in_words(store: Store, model: AnomalyModel) -> None:
    def changed() -> Detectors:
        detectors = detectors_of(store, model)
        return replace(detectors, thresholds=replace(detectors.thresholds, low_score=1.0, low_velocity=50))

    async with on_an_alert(store, changed) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "the rules and settings of now" in screen_text(app))


async def test_a_failure_that_nobody_foresaw_is_told_and_the_app_goes_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Detectors:
        raise RuntimeError("out of order")

    async with on_an_alert(store, broken) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "could not be scored again; the log says why" in screen_text(app))
        assert app.is_running
    assert "out of order" in caplog.text


async def test_an_error_with_markup_and_controls_is_shown_as_text(store: Store) -> None:
    def hostile() -> Detectors:
        raise ModelError("[@click=app.quit]x[/] \x1b[2J " + "long " * 200)

    async with on_an_alert(store, hostile) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "[@click=app.quit]x[/] \ufffd[2J" in screen_text(app))


async def test_without_a_model_the_key_says_what_to_do(store: Store) -> None:
    async with on_an_alert(store, None) as (app, pilot):
        await press(pilot, "w")
        await until(pilot, lambda: "opened without a model" in screen_text(app))


def test_every_change_has_its_line_and_none_is_said_too() -> None:
    found = tuple(Clearing(change, f"at {change}", 0.4999) for change in Change)
    shown = answer_lines(found).plain.splitlines()
    assert len(shown) == len(Change) + 1
    assert all(f"clears at {change}  (score 0.49)" in line for change, line in zip(Change, shown, strict=False))
    assert answer_lines(()).plain == "No single change clears it."
