"""The app shell: it ends when it is told to, and leaves its store in order."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from textual.widgets import Input

from data.analyst_writes import AnalystWriter
from data.errors import StoreError
from data.store import Store
from engine.messages import SnapshotQueue
from screens import themes
from sentinel_tui.app import SentinelApp

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def app_on(store: Store) -> SentinelApp:
    return SentinelApp(store, SnapshotQueue(), lambda: NOW)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "sentinel.db")


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_a_quit_key_ends_the_app_and_closes_its_connection(store: Store, key: str) -> None:
    app = app_on(store)
    async with app.run_test() as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert not app.is_running
    with pytest.raises(sqlite3.ProgrammingError):
        app._workbench.reader.execute("SELECT 1")


async def test_ctrl_c_quits_while_the_analyst_types(store: Store) -> None:
    app = app_on(store)
    async with app.run_test() as pilot:
        await pilot.press("5", "slash")
        assert isinstance(app.focused, Input)
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert not app.is_running


async def test_a_signal_ends_the_app(store: Store) -> None:
    app = app_on(store)
    async with app.run_test() as pilot:
        app.call_from_signal()
        await pilot.pause()
        assert not app.is_running


async def test_a_signal_before_the_start_is_not_forgotten(store: Store) -> None:
    app = app_on(store)
    app.call_from_signal()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert not app.is_running


async def test_the_app_cannot_write_to_the_store(store: Store) -> None:
    app = app_on(store)
    async with app.run_test():
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            app._workbench.reader.execute("DELETE FROM alerts")


def test_a_store_that_is_not_there_is_told_before_the_screen_is_taken_over(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        app_on(Store(tmp_path / "missing" / "sentinel.db"))


async def test_a_chosen_theme_is_there_the_next_time(store: Store) -> None:
    def app_of(analyst: str) -> SentinelApp:
        return SentinelApp(store, SnapshotQueue(), lambda: NOW, analyst=AnalystWriter(store, analyst))

    async with (first := app_of("ada")).run_test() as pilot:
        first.theme = themes.LIGHT.name
        await pilot.pause()
    assert app_of("ada").theme == themes.LIGHT.name
    assert app_of("grace").theme == themes.DARK.name
