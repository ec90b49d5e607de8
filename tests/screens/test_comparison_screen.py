"""Champion against challenger, compared off the app's thread, and only when there is a reason to."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from data.errors import ModelError
from data.label_writes import write_label
from data.model_registry import ModelRegistry
from data.models import LabelSource
from data.store import Store
from engine.shadow import ShadowComparison
from screens.alert_detail import AlertDetailScreen
from screens.comparison import NO_FLIPS, ComparisonScreen
from screens.profile import ProfileScreen
from screens.workbench import ModelDesk

from .models_world import ANALYST, desk, on_models
from .pilots import records_of, screen_text, until
from .worlds import NOW, World


class Counting:
    """Compares as the program does, and remembers on which threads."""

    def __init__(self, store: Store) -> None:
        self.threads: list[threading.Thread] = []
        self._compare = desk(store).compare

    def __call__(self) -> ShadowComparison:
        self.threads.append(threading.current_thread())
        return self._compare()


def comparing(store: Store, compare: Callable[[], ShadowComparison]) -> ModelDesk:
    return replace(desk(store), compare=compare)


async def test_both_stand_side_by_side_with_their_calibration_and_what_flips(models_store: Store) -> None:
    async with on_models(models_store, desk(models_store), "c", size=(80, 24)) as (app, pilot):
        await until(pilot, lambda: "scored by both" in screen_text(app))
        shadow = app._workbench.compared
        assert shadow is not None
        assert shadow.comparison is not None
        shown = screen_text(app)
        for text in (
            f"● {shadow.champion} decides",
            f"◐ {shadow.challenger} competes",
            "03-09 to 03-14: the outcome is known of 741 of 900 scored by both, 45 fraud",
            f"AUC ROC                  {shadow.comparison.champion.auc_roc:.3f}",
            f"average precision        {shadow.comparison.champion.average_precision:.3f}",
            "alerts a day",
            "0.8–0.9",
            f"By champion alone {shadow.comparison.flips.champion_only},",
            f"showing {len(shadow.flips)}",
        ):
            assert text in shown
        score, share, count = shadow.comparison.challenger.calibration[0]
        assert f"{int(100 * score) / 100:.2f}→{int(100 * share) / 100:.2f}  {count}" in shown


async def test_it_is_compared_when_there_is_a_reason_to_and_never_on_the_apps_thread(models_world: World) -> None:
    store = models_world.store
    compare = Counting(store)
    async with on_models(store, comparing(store, compare), "c") as (app, pilot):
        await until(pilot, lambda: app._workbench.compared is not None)
        models_world.alert(3)
        screen = app.screen
        assert isinstance(screen, ComparisonScreen)
        for _ in range(3 * screen.RELOAD_TICKS):
            screen.tick(data_changed=True)
        await pilot.pause()
        assert len(compare.threads) == 1, "transactions and ticks are no reason"
        await pilot.press("a")
        await until(pilot, lambda: len(compare.threads) == 2 and not screen._comparing)
        before = app._workbench.compared
        connection = store.analyst_writer()
        with store.transaction(connection):
            write_label(connection, 2_500, True, LabelSource.REVIEW, ANALYST, NOW)
        connection.close()
        screen.reload()
        await until(pilot, lambda: app._workbench.compared is not before)
        assert len(compare.threads) == 3
        screen.reload()
        assert len(compare.threads) == 3
    assert threading.main_thread() not in compare.threads


async def test_while_it_compares_the_screen_says_so_and_keeps_what_it_showed(models_store: Store) -> None:
    go = threading.Event()
    go.set()
    compare = desk(models_store).compare

    def waiting() -> ShadowComparison:
        go.wait()
        return compare()

    async with on_models(models_store, comparing(models_store, waiting), "c") as (app, pilot):
        await until(pilot, lambda: "By champion alone" in screen_text(app))
        go.clear()
        await pilot.press("a")
        await until(pilot, lambda: "comparing …" in screen_text(app))
        assert "By champion alone" in screen_text(app)
        go.set()
        await until(pilot, lambda: "comparing …" not in screen_text(app))


async def test_a_flip_opens_as_its_alert_or_where_there_is_none_as_its_card(models_store: Store) -> None:
    async with on_models(models_store, desk(models_store), "c") as (app, pilot):
        await until(pilot, lambda: bool(records_of(app, "#flips").records))
        flips = records_of(app, "#flips")
        alerts = [flip.seq for flip in flips.records if flip.alert_id is not None]
        flips.select(alerts[0])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, AlertDetailScreen))
        await pilot.press("j", "escape")
        await until(pilot, lambda: isinstance(app.screen, ComparisonScreen))
        assert flips.cursor_key == alerts[1]
        flips.select(next(flip.seq for flip in flips.records if flip.alert_id is None))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ProfileScreen))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModelError("there is no [/challenger]"), "there is no [/challenger]"),
        (RuntimeError("out of order"), "could not be compared; the log says why"),
    ],
)
async def test_a_comparison_that_fails_is_told_in_words_and_the_app_goes_on(
    models_store: Store, error: Exception, words: str
) -> None:
    def broken() -> ShadowComparison:
        raise error

    async with on_models(models_store, comparing(models_store, broken), "c") as (app, pilot):
        await until(pilot, lambda: words in screen_text(app))
        assert app.is_running


async def test_without_a_known_outcome_it_says_what_is_missing(models_world: World) -> None:
    models_world.execute("DELETE FROM labels")
    async with on_models(models_world.store, desk(models_world.store), "c") as (app, pilot):
        await until(pilot, lambda: "labels are needed of what both have scored" in screen_text(app))
        assert "The outcome is known of 0 of 900 scored by both" in screen_text(app)


async def test_a_challenger_that_is_promoted_meanwhile_leaves_nothing_to_compare(models_world: World) -> None:
    store = models_world.store
    async with on_models(store, desk(store), "c") as (app, pilot):
        await until(pilot, lambda: "By champion alone" in screen_text(app))
        ModelRegistry(store, "jonas").promote(None, NOW)
        await until(pilot, lambda: "there is no challenger to compare" in screen_text(app))
        assert "By champion alone" not in screen_text(app)


async def test_two_that_alert_the_same_say_so(models_world: World) -> None:
    models_world.execute("UPDATE transactions SET challenger_score = level_rank > 0 WHERE challenger_score NOT NULL")
    async with on_models(models_world.store, desk(models_world.store), "c") as (app, pilot):
        await until(pilot, lambda: NO_FLIPS in screen_text(app))
