"""A list of records on the line API: it draws the visible lines only, and redraws only the lines that changed."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

from screens.actions import LIST, bindings
from screens.safe import clean
from screens.tones import Tone
from screens.widgets.columns import LEFT_MARGIN, Column, Fitted, Record, fit

HEADER_LINES = 1
STRIP_CACHE_LINES = 1024


class RecordList(ScrollView, Generic[Record], can_focus=True):
    """Records one to a line under fixed column titles, with a cursor that stays on its record.

    The cursor is a key, not a line number: when records come, go or move, it stays on the same one. ``key`` gives
    each record's key. Records are immutable and hashable: a line is drawn anew when its record is another.
    """

    DEFAULT_CSS = """
    RecordList {
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"record-list--titles", "record-list--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = list(bindings(*LIST))

    class Opened(Message):
        """The analyst wants the record under the cursor in full."""

        def __init__(self, records: "RecordList[Any]", key: Hashable) -> None:
            super().__init__()
            self.records = records
            self.key = key

        @property
        def control(self) -> "RecordList[Any]":
            return self.records

    class Moved(Message):
        """The analyst moved the cursor or scrolled."""

        def __init__(self, records: "RecordList[Any]") -> None:
            super().__init__()
            self.records = records

        @property
        def control(self) -> "RecordList[Any]":
            return self.records

    def __init__(
        self,
        columns: Sequence[Column[Record]],
        key: Callable[[Record], Hashable],
        *,
        empty: str = "",
        selectable: bool = True,
        opens: bool = True,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._key_of = key
        self._empty = empty
        self._selectable = selectable
        self._opens = opens
        self._records: tuple[Record, ...] = ()
        self._lines: dict[Hashable, int] = {}
        self._cursor: Hashable | None = None
        self._strips: LRUCache[tuple[Hashable, int, int], Strip] = LRUCache(STRIP_CACHE_LINES)
        self._tones: dict[tuple[Tone, str], RichStyle] = {}
        self._fitted: tuple[tuple[Fitted[Record], ...], int] = ((), 1)
        self._fitted_width = -1
        self._scrolling = False
        self.can_focus = selectable

    @property
    def records(self) -> tuple[Record, ...]:
        """Everything that is loaded, in the order shown."""
        return self._records

    @property
    def cursor_key(self) -> Hashable | None:
        """The key of the record under the cursor, None when there is none."""
        return self._cursor

    @property
    def cursor_line(self) -> int | None:
        """Where the cursor's record stands, from 0."""
        return None if self._cursor is None else self._lines.get(self._cursor)

    @property
    def cursor_record(self) -> Record | None:
        """The record under the cursor, None when there is none."""
        line = self.cursor_line
        return None if line is None else self._records[line]

    @property
    def page_lines(self) -> int:
        """How many records the widget has room for."""
        return max(1, self.scrollable_content_region.height - HEADER_LINES)

    @property
    def first_visible(self) -> int:
        """The line number, from 0, of the topmost record on show."""
        return min(self.scroll_offset.y, max(0, len(self._records) - 1))

    def show(self, records: Sequence[Record], *, keep_place: bool = True, empty: str | None = None) -> None:
        """Show other records. The cursor stays on its record, or on its line number when the record has gone.

        With ``keep_place`` the list scrolls so that the cursor's record also stays on its line of the screen.
        """
        before, old_line = self._records, self.cursor_line
        if empty is not None and empty != self._empty:
            self._empty = empty
            if not records:
                self.refresh()
        self._records = tuple(records)
        self._lines = {self._key_of(record): line for line, record in enumerate(self._records)}
        self._place_cursor(old_line)
        if len(before) != len(self._records):
            self._resize()
        new_line = self.cursor_line
        if keep_place and old_line is not None and new_line is not None and new_line != old_line:
            self._scroll_list(self.scroll_offset.y + new_line - old_line)
        self._refresh_changed(before)
        if new_line != old_line:
            self._refresh_record(old_line)
            self._refresh_record(new_line)

    def use_columns(self, columns: Sequence[Column[Record]]) -> None:
        """Draw the records in other columns; the same ones cost nothing."""
        if self._columns == tuple(columns):
            return
        self._columns = tuple(columns)
        self._fitted_width = -1
        self._strips.clear()
        self.refresh()

    def select(self, key: Hashable) -> None:
        """Put the cursor on a record, if it is loaded, and scroll it into view."""
        if key in self._lines:
            self._move_to(self._lines[key])

    def select_next(self, holds: Callable[[Record], bool], *, around: bool = True) -> bool:
        """Put the cursor on the next record below for which something holds, then from the top on if ``around``.

        Returns:
            Whether there is such a record; otherwise the cursor stays.
        """
        start = 0 if self.cursor_line is None else self.cursor_line + 1
        lines = (*range(start, len(self._records)), *(range(start) if around else ()))
        found = next((line for line in lines if holds(self._records[line])), None)
        if found is None:
            return False
        self._move_to(found)
        return True

    def select_first(self) -> None:
        """Put the cursor on the first record and scroll to the top."""
        if self._records:
            self._move_to(0)
        self._scroll_list(0)

    def action_move(self, lines: int) -> None:
        self._move_by_analyst((self.cursor_line or 0) + lines)

    def action_move_page(self, pages: int) -> None:
        self._move_by_analyst((self.cursor_line or 0) + pages * self.page_lines)

    def action_first(self) -> None:
        self._move_by_analyst(0)

    def action_last(self) -> None:
        self._move_by_analyst(len(self._records) - 1)

    def action_open(self) -> None:
        if self._opens and self._cursor is not None:
            self.post_message(self.Opened(self, self._cursor))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter is offered where there is something to open."""
        return action != "open" or (self._opens and bool(self._records))

    def on_click(self, event: events.Click) -> None:
        line = event.y + self.scroll_offset.y - HEADER_LINES
        if not self._selectable or event.y < HEADER_LINES or line >= len(self._records):
            return
        self._move_by_analyst(line)
        if event.chain == 2:
            self.action_open()

    def on_focus(self) -> None:
        self._refresh_record(self.cursor_line)

    def on_blur(self) -> None:
        self._refresh_record(self.cursor_line)

    def on_resize(self) -> None:
        self._resize()
        line = self.cursor_line
        if line is not None:
            self._scroll_into_view(line)

    def notify_style_update(self) -> None:
        """A theme or a pseudo class changed: what is cached was drawn in the old colours."""
        super().notify_style_update()
        self._strips.clear()
        self._tones.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value) and not self._scrolling:
            self.post_message(self.Moved(self))

    def render(self) -> RenderableType:
        """Not used: the lines are drawn one by one."""
        return ""

    def render_line(self, y: int) -> Strip:
        """One line of the widget: the titles on the first, then the records."""
        width = self.scrollable_content_region.width
        base = self.rich_style
        if y < HEADER_LINES:
            return self._titles(width).crop_extend(0, width, base)
        if not self._records:
            return self._empty_line(y - HEADER_LINES - 1, width, base)
        line = y - HEADER_LINES + self.scroll_offset.y
        if line >= len(self._records):
            return Strip.blank(width, base)
        record = self._records[line]
        under_cursor = self._selectable and line == self.cursor_line
        cache_key = (record, width, under_cursor and 1 + self.has_focus)
        strip = self._strips.get(cache_key)
        if strip is None:
            strip = self._strips[cache_key] = self._draw(record, width, under_cursor)
        return strip

    def _place_cursor(self, old_line: int | None) -> None:
        if not self._records:
            self._cursor = None
        elif self._cursor not in self._lines:
            line = min(old_line or 0, len(self._records) - 1)
            self._cursor = self._key_of(self._records[line])

    def _move_by_analyst(self, line: int) -> None:
        if not self._selectable:
            return
        self._move_to(line)
        self.post_message(self.Moved(self))

    def _move_to(self, line: int) -> None:
        if not self._records:
            return
        old_line = self.cursor_line
        line = min(max(line, 0), len(self._records) - 1)
        self._cursor = self._key_of(self._records[line])
        self._scroll_into_view(line)
        self._refresh_record(old_line)
        self._refresh_record(line)

    def _scroll_into_view(self, line: int) -> None:
        top = self.scroll_offset.y
        if line < top:
            self._scroll_list(line)
        elif line >= top + self.page_lines:
            self._scroll_list(line - self.page_lines + 1)

    def _scroll_list(self, y: int) -> None:
        """Scroll without the analyst having asked for it."""
        self._scrolling = True
        self.scroll_to(y=y, animate=False)
        self._scrolling = False

    def _resize(self) -> None:
        size = Size(self.size.width, len(self._records) + HEADER_LINES)
        if size != self.virtual_size:
            grown = size.height != self.virtual_size.height
            self.virtual_size = size
            if grown and self.styles.height is not None and self.styles.height.is_auto:
                self.refresh(layout=True)

    def _refresh_changed(self, before: tuple[Record, ...]) -> None:
        if bool(before) != bool(self._records):
            self.refresh()
            return
        top = self.scroll_offset.y
        for line in range(top, top + self.page_lines):
            old = before[line] if line < len(before) else None
            new = self._records[line] if line < len(self._records) else None
            if old != new:
                self._refresh_record(line)

    def _refresh_record(self, line: int | None) -> None:
        if line is not None:
            self.refresh_line(line + HEADER_LINES)

    def _layout(self, width: int) -> tuple[tuple[Fitted[Record], ...], int]:
        if width != self._fitted_width:
            self._fitted = fit(self._columns, width)
            self._fitted_width = width
        return self._fitted

    def _style(self, tone: Tone, component: str = "") -> RichStyle:
        style = self._tones.get((tone, component))
        if style is None:
            base = self.get_visual_style(component) if component else self.visual_style
            style = (base + Style.parse(tone.value, self.app.theme_variables)).rich_style
            self._tones[tone, component] = style
        return style

    def _titles(self, width: int) -> Strip:
        style = self._style(Tone.PLAIN, "record-list--titles")
        fitted, gap = self._layout(width)
        segments = [Segment(" " * LEFT_MARGIN, style)]
        for column, cells in fitted:
            segments.append(Segment(_sized(column.title, cells, right=column.right) + " " * gap, style))
        return Strip(segments).adjust_cell_length(width, style)

    def _draw(self, record: Record, width: int, under_cursor: bool) -> Strip:
        component = "record-list--cursor" if under_cursor else ""
        plain = self._style(Tone.PLAIN, component)
        fitted, gap = self._layout(width)
        segments = [Segment(("▸" if under_cursor and self.has_focus else " ").ljust(LEFT_MARGIN), plain)]
        for column, cells in fitted:
            cell = column.cell(record)
            segments.append(
                Segment(_sized(clean(cell.text), cells, right=column.right), self._style(cell.tone, component))
            )
            segments.append(Segment(" " * gap, plain))
        return Strip(segments).adjust_cell_length(width, plain)

    def _empty_line(self, number: int, width: int, base: RichStyle) -> Strip:
        lines = self._empty.splitlines()
        if not 0 <= number < len(lines):
            return Strip.blank(width, base)
        line = set_cell_size(" " * LEFT_MARGIN + clean(lines[number]), width)
        return Strip([Segment(line, self._style(Tone.MUTED))]).adjust_cell_length(width, base)


def _sized(text: str, cells: int, *, right: bool) -> str:
    """A text of exactly so many cells; an ellipsis stands for what is cut off."""
    length = cell_len(text)
    if length > cells:
        return set_cell_size(text, cells - 1) + "…" if cells else ""
    padding = " " * (cells - length)
    return padding + text if right else text + padding
