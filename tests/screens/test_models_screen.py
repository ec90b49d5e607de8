"""The models that learn from labels: who decides, who competes, and how an analyst changes that."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from data import audit
from data.errors import StoreError
from data.label_writes import write_label
from data.model_registry import ModelRegistry, holders
from data.models import LabelSource
from data.queries.labels import open_reviews
from data.store import Store
from engine.messages import TrainingSnapshot, TrainingState
from screens.confirm import ConfirmScreen
from screens.role_changes import NOBODY_SIGNED_IN
from screens.widgets.key_bar import KeyBar
from screens.widgets.masthead import Masthead
from sentinel_tui.app import SentinelApp

from .models_world import ANALYST, Trainer, desk, on_models, train
from .pilots import records_of, screen_text, text_of, until
from .test_hostile_text import assert_harmless
from .worlds import HOSTILE, NOW, World

FIRST, CHAMPION, CHALLENGER = (f"boosting-{n}c0ffee{n}{n}c0f" for n in (1, 2, 3))


def roles(store: Store) -> tuple[str | None, str | None]:
    with closing(store.reader()) as reader:
        champion, challenger = holders(reader)
    return champion and champion.version, challenger and challenger.version


def told(app: SentinelApp) -> list[str]:
    """The notices that were given, in order."""
    return [str(notice.message) for notice in app._notifications]


def keys(app: SentinelApp) -> str:
    return text_of(app.screen.query_one(KeyBar))


async def asked(pilot: Pilot[Any], key: str) -> str:
    """What is asked after a key, in one line."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
    await pilot.pause()
    box = pilot.app.screen.query_one("#confirm-box")
    return " ".join(" ".join(text_of(child).split()) for child in box.children)


async def test_models_are_listed_newest_first_with_their_roles_in_words(models_store: Store) -> None:
    with closing(models_store.reader()) as reader:
        waiting = open_reviews(reader)
    async with on_models(models_store, desk(models_store)) as (app, _):
        records = records_of(app, "#models").records
        assert [row.model.version for row in records] == [CHALLENGER, CHAMPION, FIRST]
        shown = screen_text(app)
        for text in (
            f"● champion {CHAMPION} since 2026-03-09 12:00 UTC, by maria",
            f"◐ challenger {CHALLENGER} since 2026-03-11 12:00 UTC, by maria",
            "○ no role",
            "45 fraud  696 honest   175 chargeback  363 disposition  203 review",
            f"A training is due when 5 more frauds are known; {waiting} to review",
        ):
            assert text in shown


async def test_what_is_known_of_the_model_under_the_cursor_is_shown(models_store: Store) -> None:
    async with on_models(models_store, desk(models_store), size=(80, 24)) as (app, pilot):
        assert "2026-02-09 to 2026-03-11, 67,000 transactions, 541 fraud" in screen_text(app)
        assert "03-04 to 03-11, 9,214 transactions, 71 fraud; decided then → it" in screen_text(app)
        assert "average precision       0.200 → 0.740" in screen_text(app)
        await pilot.press("end")
        await until(pilot, lambda: "none: too little was known before the latest days" in screen_text(app))


async def test_labels_that_come_in_are_counted(models_world: World) -> None:
    store = models_world.store
    async with on_models(store, desk(store)) as (app, pilot):
        with closing(store.analyst_writer()) as connection, store.transaction(connection):
            for seq in range(1, 31):
                write_label(connection, seq, True, LabelSource.REVIEW, ANALYST, NOW)
        await until(pilot, lambda: "75 fraud" in screen_text(app))
        assert "A training is due, 771 labels after the last" in screen_text(app)


async def test_a_training_is_asked_for_once_and_its_progress_and_end_are_told(models_store: Store) -> None:
    trainer = Trainer()
    async with on_models(models_store, desk(models_store, trainer)) as (app, pilot):
        await pilot.press("t")
        for share in (0.0, 0.25, 0.4):
            trainer.latest = TrainingSnapshot(TrainingState.RUNNING, "It has begun", share)
            percent = int(100 * share)
            await until(
                pilot, lambda percent=percent: f"training {percent} %" in text_of(app.screen.query_one(Masthead))
            )
        assert "Training … 40 %" in screen_text(app)
        await until(pilot, lambda: "t Train" not in keys(app))
        trainer.latest = TrainingSnapshot(TrainingState.FINISHED, "It competes")
        await until(pilot, lambda: "A training is due" in screen_text(app))
        await until(pilot, lambda: "t Train" in keys(app))
        assert told(app) == ["It has begun", "It competes"]
        await pilot.press("t")
        assert trainer.asked == 2
        assert told(app)[-1] == "A model is being trained already"


async def test_a_training_that_fails_is_told_in_words(models_store: Store) -> None:
    trainer = Trainer()
    trainer.latest = TrainingSnapshot(TrainingState.FAILED, "No model was trained: [/x] too few frauds")
    async with on_models(models_store, desk(models_store, trainer)) as (app, pilot):
        await until(pilot, lambda: " No model was trained: [/x] too few frauds" in screen_text(app))
        assert told(app) == ["No model was trained: [/x] too few frauds"]


async def test_a_promotion_is_asked_with_who_replaces_whom_and_written_in_the_analysts_name(
    models_world: World,
) -> None:
    store = models_world.store
    async with on_models(store, desk(store)) as (app, pilot):
        question = await asked(pilot, "P")
        assert f"Let {CHALLENGER} decide?" in question
        assert f"It takes the place of {CHAMPION}, from the engine's next batch on." in question
        assert "In its trial, 7 days with 71 frauds:" in question
        assert "average precision 0.200 → 0.740" in question
        await pilot.press("n")
        assert roles(store) == (CHAMPION, CHALLENGER)
        await asked(pilot, "P")
        await pilot.press("y")
        await until(pilot, lambda: f"{CHALLENGER} decides from the engine's next batch on" in told(app))
        await until(pilot, lambda: "Nobody competes" in screen_text(app))
        assert roles(store) == (CHALLENGER, None)
        assert f"● champion {CHALLENGER} from the engine's next batch on, by maria" in screen_text(app)
    with closing(store.reader()) as reader:
        acts = [entry.act for entry in audit.latest_entries(reader, 9)]
    assert audit.Act(ANALYST, "model.promote", "champion", CHAMPION, CHALLENGER) in acts


async def test_a_rollback_is_asked_with_who_comes_back(models_world: World) -> None:
    store = models_world.store
    async with on_models(store, desk(store)) as (app, pilot):
        question = await asked(pilot, "R")
        assert "Let the anomaly model decide again?" in question
        assert f"It takes the place of {CHAMPION}, which maria chose on 2026-03-09 12:00:00 UTC" in question
        assert "0.610 → 0.200" in question
        await pilot.press("y")
        await until(pilot, lambda: "The anomaly model decides alone" in screen_text(app))
        assert roles(store) == (None, CHALLENGER)
        await until(pilot, lambda: "Roll back" not in keys(app))
        assert "P Promote" in keys(app)


async def test_a_decision_that_somebody_else_has_overtaken_changes_nothing(models_world: World) -> None:
    store = models_world.store
    async with on_models(store, desk(store)) as (app, pilot):
        await asked(pilot, "R")
        ModelRegistry(store, "jonas").promote(None, NOW)
        await pilot.press("y")
        await until(pilot, lambda: any("somebody else has given the roles" in notice for notice in told(app)))
        assert roles(store) == (CHALLENGER, None)
        await until(pilot, lambda: f"● champion {CHALLENGER}" in screen_text(app))


@pytest.mark.parametrize(
    ("error", "notice"),
    [
        (StoreError("the disk is full: free some space"), "Nothing was changed: the disk is full: free some space"),
        (RuntimeError("out of order"), "It could not be stored; the log says why"),
    ],
)
async def test_a_decision_that_cannot_be_stored_is_told_and_the_app_goes_on(
    models_world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, notice: str
) -> None:
    def refuse(*_: object) -> str:
        raise error

    monkeypatch.setattr(ModelRegistry, "promote", refuse)
    async with on_models(models_world.store, desk(models_world.store)) as (app, pilot):
        await asked(pilot, "P")
        await pilot.press("y")
        await until(pilot, lambda: notice in told(app))
        assert app.is_running
    assert roles(models_world.store) == (CHAMPION, CHALLENGER)


async def test_where_nobody_is_signed_in_models_can_be_looked_at_only(models_store: Store) -> None:
    async with on_models(models_store, None) as (app, pilot):
        for key in ("t", "P", "R"):
            await pilot.press(key)
            assert told(app)[-1] == NOBODY_SIGNED_IN
        await pilot.press("c")
        await until(pilot, lambda: NOBODY_SIGNED_IN in screen_text(app))
    assert roles(models_store) == (CHAMPION, CHALLENGER)


async def test_only_what_is_possible_is_offered(empty_store: Store) -> None:
    async with on_models(empty_store, desk(empty_store), size=(80, 24)) as (app, pilot):
        assert "No model has learnt from labels yet" in screen_text(app)
        assert "Promote" not in keys(app)
        assert "Roll back" not in keys(app)
        assert "Compare" not in keys(app)
        await pilot.press("P", "R", "c")
        assert "The anomaly model decides alone" in screen_text(app)


async def test_the_keys_of_both_screens_fit_80_columns(models_store: Store) -> None:
    async with on_models(models_store, desk(models_store), size=(80, 24)) as (app, pilot):
        for label in ("Back", "Compare", "Train", "P Promote", "R Roll back", "Help", "Quit"):
            assert label in keys(app)
        await pilot.press("c")
        await until(pilot, lambda: "↵ Open" in keys(app))
        for label in ("Back", "Again", "P Promote", "R Roll back", "Help", "Quit"):
            assert label in keys(app)
        assert "…" not in keys(app)
        assert cell_len(keys(app)) <= 80


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
async def test_the_names_of_actors_reach_the_terminal_as_text(models_world: World, size: tuple[int, int]) -> None:
    for number, text in enumerate(HOSTILE[:4], start=1):
        models_world.execute("UPDATE model_roles SET actor = ? WHERE id = ?", (text, number))
    store = models_world.store
    hostile = Trainer()
    hostile.latest = TrainingSnapshot(TrainingState.FAILED, HOSTILE[1] + HOSTILE[2])
    for number, text in enumerate(HOSTILE):
        train(store, 4 + number, 2, text)
    models = desk(store, hostile, HOSTILE[2])
    async with on_models(store, models, size=size) as (app, pilot):
        for _ in HOSTILE:
            assert_harmless(app)
            await pilot.press("down")
        await asked(pilot, "R")
        assert_harmless(app)
        await pilot.press("n", "c")
        await until(pilot, lambda: "scored by both" in screen_text(app))
        assert_harmless(app)


async def test_a_comparison_that_was_made_is_what_a_promotion_is_asked_with(models_store: Store) -> None:
    async with on_models(models_store, desk(models_store), "c") as (app, pilot):
        await until(pilot, lambda: app._workbench.compared is not None)
        assert "In shadow, 6 days with 45 frauds:" in await asked(pilot, "P")
        app._workbench.compared = replace(app._workbench.compared, challenger="another")  # type: ignore[type-var] # it is not None by now
        await pilot.press("n")
        assert "In its trial" in await asked(pilot, "P")
