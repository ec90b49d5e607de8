import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from data.store import Store
from engine.messages import EngineState
from screens.base import DataScreen
from screens.case_detail import CaseDetailScreen
from screens.help import HelpScreen
from screens.profile import ProfileScreen
from screens.rings import READING
from sentinel_tui.app import SentinelApp

from .pilots import piloted, press, records_of, screen_text, until
from .worlds import MODES, NOW, World, app_on, running, transaction

ROUTES = {
    "dashboard": ("1",),
    "alerts": ("2",),
    "alert detail": ("2", "home", "down", "enter"),
    "cases": ("3",),
    "case detail": ("3", "enter"),
    "analytics": ("4",),
    "customers": ("5",),
    "profile": ("5", "enter"),
    "rings": ("5", "o"),
    "model": ("6",),
}


def fingerprint(app: SentinelApp) -> tuple[object, ...]:
    """Everything by which an analyst could notice that a key did something."""
    return app.current_mode, type(app.screen), len(app.screen_stack), app.focused, app._exit, screen_text(app)


async def go_to(pilot: Pilot[None], route: str) -> None:
    """Show a screen, from wherever the app is."""
    while len(pilot.app.screen_stack) > 1:
        await press(pilot, "escape")
    await press(pilot, *ROUTES[route])
    await until(pilot, lambda: READING not in screen_text(pilot.app))


@pytest.mark.parametrize("route", ROUTES)
async def test_every_key_in_the_footer_does_something(filled_store: Store, route: str) -> None:
    async with piloted(filled_store) as (app, pilot):
        await go_to(pilot, route)
        shown = [each.binding for each in app.screen.active_bindings.values() if each.binding.show]
        assert {"question_mark", "ctrl+p", "q"} <= {binding.key for binding in shown}
        # Every screen has the app's own keys; quitting and the number keys have tests of their own.
        for binding in reversed(shown):
            if binding.key in "q123456" or (binding.key in {"question_mark", "ctrl+p"} and route != "dashboard"):
                continue
            await go_to(pilot, route)
            before = fingerprint(app)
            await press(pilot, binding.key)
            assert fingerprint(app) != before, f"{binding.key} does nothing on {route}"


async def test_the_number_keys_show_the_top_level_screens(filled_store: Store) -> None:
    async with piloted(filled_store) as (app, pilot):
        for key, mode in enumerate(MODES, start=1):
            await press(pilot, str(key))
            assert app.current_mode == mode


async def test_a_screen_is_found_as_it_was_left(filled_store: Store) -> None:
    async with piloted(filled_store, "2", "down", "down", "enter", "4", "2") as (app, pilot):
        assert "3 of 200 loaded" in screen_text(app)
        await press(pilot, "escape")
        assert records_of(app, "#alert-list").cursor_line == 2


async def test_screens_that_are_not_shown_do_not_query(world: World) -> None:
    async with piloted(world.store, "2", "3", "5", "4") as (app, pilot):
        statements: list[str] = []
        app._workbench.reader.set_trace_callback(statements.append)
        world.add([transaction(77_000, NOW)])
        await until(pilot, lambda: any("rollup_category" in each for each in statements))
        app._workbench.reader.set_trace_callback(None)
        hidden = ("FROM alerts a", "FROM cases", "FROM customers", "FROM transactions ")
        assert not [each for each in statements if any(name in each for name in hidden)]


async def test_nothing_is_queried_but_the_version_while_the_data_stands_still(filled_store: Store) -> None:
    async with piloted(filled_store, "5") as (app, pilot):
        await pilot.pause(0.6)
        statements: list[str] = []
        app._workbench.reader.set_trace_callback(statements.append)
        await until(pilot, lambda: len(statements) >= 3)
        app._workbench.reader.set_trace_callback(None)
        assert set(statements) == {"PRAGMA data_version"}


async def test_the_dashboard_follows_the_data_and_the_engine(world: World) -> None:
    async with piloted(world.store) as (app, pilot):
        world.add([transaction(88_000, NOW, card_id="card-of-the-hour")])
        await until(pilot, lambda: "card-of-the-hour" in screen_text(app))
        assert app._snapshots is not None
        app._snapshots.put(running(rate=1234.5, state=EngineState.STOPPING))
        await until(pilot, lambda: "1,234.5 tx/s" in screen_text(app) and "● stopping" in screen_text(app))


async def test_every_screen_shows_the_unreviewed_critical_alerts(world: World) -> None:
    async with piloted(world.store) as (app, pilot):
        for key in "123456":
            await press(pilot, key)
            assert "█ 11 critical" in screen_text(app).splitlines()[0]
        world.execute("UPDATE alerts SET status = 'resolved' WHERE level_rank = 4")
        await until(pilot, lambda: "█ 0 critical" in screen_text(app).splitlines()[0])


async def test_a_database_that_cannot_be_read_is_a_message_and_no_crash(world: World) -> None:
    async with piloted(world.store, "2") as (app, pilot):
        world.execute("ALTER TABLE alerts RENAME TO gone")
        await until(pilot, lambda: "The database could not be read" in screen_text(app))
        assert "card_000106" in screen_text(app)
        await press(pilot, "m", "l")
        assert "The database could not be read" in screen_text(app)
        world.execute("ALTER TABLE gone RENAME TO alerts")
        await until(pilot, lambda: "could not be read" not in screen_text(app))
        assert "Level ▂ LOW" in screen_text(app)


async def test_an_engine_failure_is_told_on_every_screen(filled_store: Store) -> None:
    failed = running(state=EngineState.FAILED, error="topic [payments] is gone: check KAFKA_TOPIC")
    async with piloted(filled_store, snapshot=failed) as (app, pilot):
        for key in "123456":
            await press(pilot, key)
            assert "The engine has stopped: topic [payments] is gone: check KAFKA_TOPIC" in screen_text(app)


async def test_a_workbench_without_an_engine_says_that_it_is_attached(filled_store: Store) -> None:
    app = app_on(filled_store)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "● attached" in screen_text(app)
        assert "as of 2026-03-14" in screen_text(app)


async def test_cases_filter_by_status_and_keep_their_cursor(world: World) -> None:
    async with piloted(world.store, "3", "s") as (app, pilot):
        records = records_of(app, "#case-list")
        assert {row.case.status.value for row in records.records} == {"open"}
        await press(pilot, "down", "down")
        key = records.cursor_key
        world.execute("UPDATE cases SET status = 'closed' WHERE id = ?", (records.records[0].case.id,))
        await until(pilot, lambda: records.cursor_line == 1)
        assert records.cursor_key == key
        await press(pilot, "S")
        assert "[all 71]" in screen_text(app)


async def test_search_finds_cards_by_prefix_and_escape_leads_back_to_the_list(filled_store: Store) -> None:
    async with piloted(filled_store, "5", "slash", *"card_00011") as (app, pilot):
        records = records_of(app, "#customer-list")
        assert [row.card_id for row in records.records] == [f"card_00011{digit}" for digit in range(10)]
        assert "showing 10 of 10 cards, by id" in screen_text(app)
        assert isinstance(app.focused, Input)
        await press(pilot, "escape", "down", "enter")
        assert isinstance(app.screen, ProfileScreen)
        assert "card_000111" in screen_text(app)
        await press(pilot, "escape", "slash", "z")
        assert "No card id starts with this." in screen_text(app)


async def test_keys_typed_into_the_search_are_text(filled_store: Store) -> None:
    async with piloted(filled_store, "5", "slash", "q", "1", "question_mark") as (app, _):
        assert app.current_mode == "customers"
        assert app.screen.query_one(Input).value == "q1?"
        assert app.is_running


async def test_profile_leads_to_alerts_and_cases(filled_store: Store) -> None:
    async with piloted(filled_store, "5", "enter", "tab", "enter") as (app, pilot):
        assert isinstance(app.screen, CaseDetailScreen)
        await press(pilot, "escape", "escape")
        assert app.current_mode == "customers"
        assert len(app.screen_stack) == 1


async def test_help_lists_the_keys_of_the_screen_it_was_opened_on(filled_store: Store) -> None:
    async with piloted(filled_store, "3", "question_mark") as (app, pilot):
        assert isinstance(app.screen, HelpScreen)
        shown = screen_text(app)
        assert "Show the cases of the next status" in shown
        assert "One level only" not in shown
        await press(pilot, "escape")
        assert isinstance(app.screen, DataScreen)


async def test_palette_finds_screens_and_the_actions_of_the_screen(filled_store: Store) -> None:
    async with piloted(filled_store, "2", "ctrl+p", *"analytics") as (app, pilot):
        await until(pilot, lambda: "Trends, categories" in screen_text(app))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: app.current_mode == "analytics")
    async with piloted(filled_store, "2", "ctrl+p", *"one level") as (app, pilot):
        await until(pilot, lambda: "One level only" in screen_text(app))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: "Level ▂ LOW" in screen_text(app))


async def test_palette_changes_the_theme(filled_store: Store) -> None:
    async with piloted(filled_store, "ctrl+p", *"sentinel-light") as (app, pilot):
        await until(pilot, lambda: "Theme sentinel-light" in screen_text(app))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: app.theme == "sentinel-light")


async def test_levels_are_told_apart_without_colour(filled_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with piloted(filled_store, "2") as (app, _):
        shown = screen_text(app)
        for label in ("▂ LOW", "▄ MEDIUM", "▆ HIGH", "█ CRITICAL"):
            assert label in shown
        assert "▸" in shown


async def test_the_dashboard_cursor_is_on_the_newest_alert_until_it_is_moved(world: World) -> None:
    async with piloted(world.store) as (app, pilot):
        records = records_of(app, "#newest-alerts")
        newest = records.records[0].id + 3
        world.alert(3)
        await until(pilot, lambda: records.cursor_key == newest)
        await press(pilot, "down")
        key = records.cursor_key
        world.alert(2)
        await until(pilot, lambda: records.cursor_line == 3)
        assert records.cursor_key == key


async def test_themes_of_other_kinds_draw_the_same_text(filled_store: Store) -> None:
    async with piloted(filled_store, size=(80, 24)) as (app, pilot):
        for route in ("dashboard", "alert detail", "analytics"):
            await go_to(pilot, route)
            shown = screen_text(app)
            for theme in ("ansi-dark", "solarized-light"):
                app.theme = theme
                await pilot.pause()
                assert screen_text(app) == shown, f"{theme} changes the text of {route}"
