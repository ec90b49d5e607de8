from data.drift import Window
from data.store import Store
from engine.features import FEATURES
from screens.widgets.record_list import RecordList

from .drift_world import count_days, label_alerts
from .pilots import piloted, records_of, screen_text, until
from .worlds import World


async def test_the_features_that_moved_most_stand_first_with_what_moved(filled_store: Store) -> None:
    async with piloted(filled_store, "6") as (app, _):
        records = records_of(app, "#signals").records
        assert [row.index for row in records] == sorted((row.index for row in records), reverse=True)
        shown = screen_text(app)
        assert "● drifted" in shown
        assert "◐ shifting" in shown
        assert "○ stable" in shown
        assert "↑ 1 × → 2.72 ×" in shown
        assert "16,000 transactions, against this site's first week" in shown


async def test_the_card_of_the_serving_model_is_shown(filled_store: Store) -> None:
    async with piloted(filled_store, "6") as (app, _):
        shown = screen_text(app)
        for text in (
            "iforest-5eaf00d5eaf0, serving since 2026-02-28",
            f"100 trees of 1,024 samples, {len(FEATURES)} features",
            "simulated honest traffic, 120,000 rows of 2025-09-05 to 2025-09-10",
            "0.10 % score 0.50 or more, 0.08 % 0.55, 0.04 % 0.70, 0.02 % 0.85",
        ):
            assert text in shown


async def test_an_alarm_says_what_to_do(world: World) -> None:
    world.execute("DELETE FROM drift_days")
    count_days(world.store, (90,) * 16, window=Window.SITE)
    async with piloted(world.store, "6", size=(80, 24)) as (app, _):
        shown = " ".join(screen_text(app).split())
        assert "● drifted" in shown
        assert "more have drifted; to calibrate anew, delete the model file and start again" in shown


async def test_until_it_is_decided_what_to_compare_with_there_is_no_alarm(world: World) -> None:
    world.execute("DELETE FROM drift_days")
    world.execute("DELETE FROM drift_references")
    count_days(world.store, (90,) * 16, window=Window.TRAINING, days=1, scale=400)
    async with piloted(world.store, "6") as (app, _):
        shown = screen_text(app)
        assert "4,000 of the 10,000 transactions seen by which it is decided what to compare with" in shown
        assert "delete the model file" not in shown


async def test_a_sites_first_week_raises_no_alarm_against_its_first_hour(world: World) -> None:
    world.execute("DELETE FROM drift_days")
    count_days(world.store, (90,) * 16, window=Window.SITE, days=5)
    async with piloted(world.store, "6") as (app, _):
        shown = screen_text(app)
        assert "this site's first week, before 03-17, is what later days are compared with" in shown
        assert "16,000 transactions, against this site's first 10,000" in shown
        assert "delete the model file" not in shown


async def test_labels_that_come_in_are_counted(world: World) -> None:
    async with piloted(world.store, "6") as (app, pilot):
        assert "57 of 338" in screen_text(app)
        label_alerts(world.store, 80)
        await until(pilot, lambda: "80 of 338" in screen_text(app))


async def test_an_empty_store_says_what_to_do(empty_store: Store) -> None:
    async with piloted(empty_store, "6") as (app, _):
        assert "Start sentinel-tui or replay a file" in screen_text(app)
        assert isinstance(app.focused, RecordList)
