from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from screens.widgets.columns import Cell, Column
from screens.widgets.record_list import RecordList

from .pilots import screen_lines


@dataclass(frozen=True, slots=True)
class Line:
    key: int
    text: str = "text"


class ListApp(App[None]):
    """One list in 40 × 11: titles and ten records."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: Counter[int] = Counter()
        self.opened: list[object] = []

    def compose(self) -> ComposeResult:
        columns: tuple[Column[Line], ...] = (
            Column("Key", 8, self.draw),
            Column("Text", 8, lambda line: Cell(line.text), grow=1),
        )
        yield RecordList(columns, lambda line: line.key, empty="Nothing here.\nWait.")

    def draw(self, line: Line) -> Cell:
        self.drawn[line.key] += 1
        return Cell(str(line.key))

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        self.opened.append(event.key)


@asynccontextmanager
async def listing(count: int) -> AsyncIterator[tuple[ListApp, RecordList[Line], Pilot[None]]]:
    app = ListApp()
    async with app.run_test(size=(40, 11)) as pilot:
        records = app.query_one(RecordList)
        records.show([Line(key) for key in range(count)])
        await pilot.pause()
        yield app, records, pilot


async def test_only_visible_records_are_drawn() -> None:
    async with listing(100_000) as (app, records, pilot):
        assert set(app.drawn) == set(range(10))
        await pilot.press("end")
        assert records.cursor_key == 99_999
        assert len(app.drawn) <= 30


async def test_only_a_changed_record_is_drawn_again() -> None:
    async with listing(50) as (app, records, pilot):
        app.drawn.clear()
        records.show([Line(key, "changed" if key == 4 else "text") for key in range(50)])
        await pilot.pause()
        assert app.drawn == {4: 1}
        assert "changed" in screen_lines(app)[5]


async def test_records_that_come_above_leave_the_cursor_on_its_record_and_its_line_of_the_screen() -> None:
    async with listing(50) as (app, records, pilot):
        await pilot.press(*["down"] * 15)
        before = screen_lines(app)
        records.show([Line(-key) for key in range(1, 8)] + [Line(key) for key in range(50)])
        await pilot.pause()
        assert records.cursor_key == 15
        assert [line[:30] for line in screen_lines(app)] == [line[:30] for line in before]


async def test_when_its_record_goes_the_cursor_takes_the_one_that_moved_up() -> None:
    async with listing(5) as (_, records, pilot):
        await pilot.press("down", "down")
        records.show([Line(0), Line(1), Line(3), Line(4)])
        assert records.cursor_key == 3
        records.show([Line(0)])
        assert records.cursor_key == 0
        records.show([])
        assert records.cursor_key is None


async def test_an_empty_list_says_why_and_opens_nothing() -> None:
    async with listing(0) as (app, _, pilot):
        assert "Nothing here." in "\n".join(screen_lines(app))
        await pilot.press("enter", "down", "up", "end", "pageup")
        assert app.opened == []


async def test_pages_and_ends_are_a_key_away() -> None:
    async with listing(35) as (app, records, pilot):
        for key, line in (("pagedown", 10), ("pagedown", 20), ("pageup", 10), ("G", 34), ("g", 0), ("k", 0), ("j", 1)):
            await pilot.press(key)
            assert records.cursor_line == line
            assert f"▸ {line} " in "\n".join(screen_lines(app))
        await pilot.press("enter")
        await pilot.pause()
        assert app.opened == [1]


async def test_a_smaller_terminal_keeps_the_cursor_in_sight() -> None:
    async with listing(35) as (app, records, pilot):
        await pilot.press(*["down"] * 9)
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        assert records.cursor_line == 9
        assert "▸ 9 " in "\n".join(screen_lines(app))
