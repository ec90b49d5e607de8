"""What the behaviour tests do with a running app."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot
from textual.widget import Widget

from data.store import Store
from engine.messages import EngineSnapshot
from screens.widgets.record_list import RecordList
from sentinel_tui.app import SentinelApp

from .worlds import app_on, running

PATIENCE_S = 10.0
STEP_S = 0.05


@asynccontextmanager
async def piloted(
    store: Store,
    *keys: str,
    size: tuple[int, int] = (120, 40),
    snapshot: EngineSnapshot | None = None,
    analyst: str | None = None,
) -> AsyncIterator[tuple[SentinelApp, Pilot[None]]]:
    """The app on a store, after some keys."""
    app = app_on(store, snapshot or running(), analyst=analyst)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        await press(pilot, *keys)
        yield app, pilot


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys, each once the one before has been dealt with."""
    await pilot.press(*keys)


async def until(pilot: Pilot[Any], holds: Callable[[], bool]) -> None:
    """Let the app run until something holds."""
    for _ in range(int(PATIENCE_S / STEP_S)):
        if holds():
            return
        await pilot.pause(STEP_S)
    raise AssertionError(f"it did not come to hold; the screen shows:\n{screen_text(pilot.app)}")


def screen_lines(app: Any) -> list[str]:
    """What is on the screen, line by line."""
    width, _ = app.size
    return ["".join(segment.text for segment in strip).ljust(width) for strip in app.screen._compositor.render_strips()]


def screen_text(app: Any) -> str:
    return "\n".join(screen_lines(app))


def records_of(app: SentinelApp, selector: str) -> RecordList[Any]:
    return app.screen.query_one(selector, RecordList)


def text_of(widget: Widget) -> str:
    """What a widget shows."""
    return "\n".join("".join(segment.text for segment in widget.render_line(y)) for y in range(widget.size.height))
