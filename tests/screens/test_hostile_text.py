"""Whatever strangers write into a field, the terminal gets plain text of it, and no action runs."""

import re
from datetime import timedelta

import pytest

from data.models import RiskLevel
from data.store import Store
from engine.messages import EngineState
from screens.confirm import ConfirmScreen
from screens.safe import UNSAFE
from sentinel_tui.app import SentinelApp

from .pilots import piloted, press, records_of, until
from .worlds import HOSTILE, NOW, SIZES, World, running, transaction

CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;:]*[Hm]|\x1b\]8;[^\x1b]*\x1b\\|\n")
"""Textual's own: cursor positions, colours, hyperlinks of its own actions, line ends."""
UNSAFE_CHARACTER = re.compile(f"[{UNSAFE}]")
ALERTS = len(HOSTILE)


def written(app: SentinelApp) -> str:
    """The characters that the driver would write for a full repaint, without Textual's own sequences."""
    update = app.screen._compositor.render_update(full=True)
    assert update is not None
    return CONTROL_SEQUENCE.sub("", update.render_segments(app.console))


def assert_harmless(app: SentinelApp) -> None:
    assert app.is_running
    assert app._exit is False
    output = written(app)
    assert output.strip()
    found = UNSAFE_CHARACTER.search(output)
    assert found is None, f"{found.group()!r} is written: {output[max(0, found.start() - 40) : found.end() + 40]!r}"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
async def test_no_field_of_the_store_reaches_the_terminal_as_a_command(
    hostile_store: Store, size: tuple[int, int]
) -> None:
    snapshot = running(source=HOSTILE[2], notice=HOSTILE[3])
    async with piloted(hostile_store, size=size, snapshot=snapshot) as (app, pilot):
        for key in ("1", "4"):
            await press(pilot, key)
            assert_harmless(app)
        # Several cases and cards at one size, one of each at the others: the same lists draw them all.
        lines = 6 if size == SIZES[1] else 1
        for mode in ("3", "5"):
            await press(pilot, mode)
            assert_harmless(app)
            for _ in range(lines):
                await press(pilot, "enter")
                assert_harmless(app)
                await press(pilot, "escape", "down")
        await press(pilot, "o")
        await until(pilot, lambda: bool(records_of(app, "#exposed-cards").records))
        assert_harmless(app)
        await press(pilot, "down")
        assert_harmless(app)
        await press(pilot, "2", "enter")
        for _ in range(ALERTS):
            assert_harmless(app)
            await press(pilot, "j")
        await press(pilot, "escape", "question_mark")
        assert_harmless(app)
        await press(pilot, "escape", "r")
        for _ in range(ALERTS):
            assert_harmless(app)
            await press(pilot, "down")


async def test_what_the_engine_says_is_shown_as_text(empty_store: Store) -> None:
    async with piloted(empty_store, size=(80, 24)) as (app, pilot):
        assert app._snapshots is not None
        for number, text in enumerate(HOSTILE):
            said = running(source=text, notice=text, error=text, state=EngineState.FAILED, records=number)
            app._snapshots.put(said)
            await until(pilot, lambda said=said: app._workbench.engine is said)
            await pilot.pause()
            assert_harmless(app)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_what_was_refused_and_what_is_asked_is_shown_as_text(world: World, text: str) -> None:
    row = transaction(900_000, NOW + timedelta(seconds=1), RiskLevel.CRITICAL, card_id="card")
    world.add((row,), codes=("model_score",))
    world.execute("UPDATE cases SET number = ? WHERE id = (SELECT max(id) FROM cases)", (text,))
    async with piloted(world.store, "2", "enter", "c", "f", analyst="ana") as (app, pilot):
        assert isinstance(app.screen, ConfirmScreen)
        assert_harmless(app)
        await press(pilot, "n")
        app._workbench.decisions._refused(text)
        await pilot.pause()
        assert_harmless(app)
