"""The Alerts screen: a list that new alerts never move under the analyst's hands."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from data.models import AlertStatus, Disposition, RiskLevel
from data.queries.alerts import AlertFilter, AlertRow
from data.queries.labels import open_reviews
from screens import actions, safe
from screens.alert_page import AlertPage
from screens.base import DataScreen
from screens.decisions import AlertDecision, alert_name, alert_rows
from screens.figures import integer
from screens.record_columns import ALERT_COLUMNS
from screens.routes import OpenAlert
from screens.tones import Tone, level_label, level_tone, words
from screens.widgets.columns import Cell
from screens.widgets.panel import Block, line
from screens.widgets.record_list import RecordList

Choice = TypeVar("Choice")
EMPTY = "No alerts yet.\nThey appear here as soon as a transaction is scored as risky; 1 shows whether the engine runs."
EMPTY_FILTERED = "No alert matches this filter.\nPress l for another level, s for another status."


class AlertsScreen(DataScreen[None]):
    """Newest first. It follows the newest alerts until the analyst moves; from then on the loaded ones stand still."""

    MODE = "alerts"
    CSS_PATH = "alerts.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.ALERTS))

    def compose_body(self) -> Iterable[Widget]:
        self._page = AlertPage(AlertFilter())
        self._following = True
        self._to_review = 0
        self._return_to: AlertDecision | None = None
        self._list = RecordList(ALERT_COLUMNS, lambda row: row.id, id="alert-list")
        with Horizontal(classes="toolbar"):
            yield Block(id="alert-filter", classes="toolbar-text")
            yield Block(id="alert-pill", classes="pill")
        yield self._list

    def load(self, reader: sqlite3.Connection) -> None:
        self._to_review = open_reviews(reader)
        if not self._following or not self._follow(reader):
            self._following = False
            self._refresh(reader)
        self._show_page()
        self._select_undone()

    def on_record_list_moved(self) -> None:
        if not self._page.rows:
            return
        self._following = False
        if self._list.cursor_line == len(self._page.rows) - 1 and self._page.has_older:
            self.action_more()

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        self._following = False
        ids = tuple(row.id for row in self._page.rows)
        self.post_message(OpenAlert(int(str(event.key)), ids, self._list.select))

    def action_next_level(self) -> None:
        only = self._page.only
        self._filter(AlertFilter(_next(tuple(RiskLevel), only.level), only.status))

    def action_next_status(self) -> None:
        only = self._page.only
        self._filter(AlertFilter(only.level, _next(tuple(AlertStatus), only.status)))

    def action_newest(self) -> None:
        self._page = AlertPage(self._page.only)
        self._list.show(())
        self._following = True
        self.reload()
        self._list.select_first()

    def action_more(self) -> None:
        self.query_store(self._page.load_older)
        self._show_page()

    def action_dispose(self, disposition: str) -> None:
        row = self._list.cursor_record
        if row is None:
            return
        self._following = False
        chosen = Disposition(disposition)
        if row.disposition is not chosen:
            self.workbench.decisions.take(AlertDecision(alert_name(row), row.id, row.version, chosen, row.disposition))
            self._show_page()
        self._go_on()

    def action_undo(self) -> None:
        undone = self.workbench.decisions.undo(AlertDecision)
        if undone is not None:
            self._following = False
            self._return_to = undone
            self.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        match action:
            case "newest":
                return not self._following
            case "more":
                return self._page.has_older
            case "dispose":
                return self.workbench.decisions.possible and bool(self._page.rows)
            case "undo":
                return self.workbench.decisions.can_undo(AlertDecision)
            case _:
                return True

    def _refresh(self, reader: sqlite3.Connection) -> None:
        """Read again what is visible; everything where an alert may have come back into the list."""
        if self._return_to is None:
            self._page.refresh(reader, self._list.first_visible, self._list.page_lines)
        else:
            self._page.refresh(reader, 0, len(self._page.rows) + 1)

    def _select_undone(self) -> None:
        undone = self._return_to
        if undone is None or self.workbench.decisions.pending(AlertDecision, undone.alert_id):
            return
        self._return_to = None
        self._list.select(undone.alert_id)
        if self._list.cursor_key != undone.alert_id:
            self.notify(f"Undo was on {undone.subject}, which this list does not show", markup=False)

    def _go_on(self) -> None:
        """Put the cursor on the next alert without a disposition, below where there is one."""
        if self._list.select_next(_undisposed, around=False):
            return
        if self._page.has_older:
            self.action_more()
        self._list.select_next(_undisposed)

    def _filter(self, only: AlertFilter) -> None:
        self._page = AlertPage(only)
        self._following = True
        self._list.show((), keep_place=False)
        self.reload()

    def _follow(self, reader: sqlite3.Connection) -> bool:
        """Load the newest alerts if the one under the cursor stays on show; otherwise change nothing."""
        newest = AlertPage(self._page.only)
        newest.load_newest(reader)
        key = self._list.cursor_key
        if key is not None:
            visible = newest.rows[: self._list.page_lines]
            if all(row.id != key for row in visible):
                return False
        self._page = newest
        return True

    def _show_page(self) -> None:
        page = self._page
        filtered = page.only != AlertFilter()
        rows = alert_rows(page.rows, self.workbench.decisions)
        self._list.show(rows, keep_place=not self._following, empty=EMPTY_FILTERED if filtered else EMPTY)
        self.query_one("#alert-filter", Block).show(
            line(
                Cell("Level ", Tone.MUTED),
                Cell("all" if page.only.level is None else level_label(page.only.level), level_tone_of(page.only)),
                Cell("   Status ", Tone.MUTED),
                Cell("all" if page.only.status is None else words(page.only.status), Tone.STRONG),
                Cell(f"   showing {integer(len(page.rows))} of {integer(page.total)}", Tone.MUTED),
                Cell(f"   r: {integer(self._to_review)} to review", Tone.MUTED),
            )
        )
        pill = self.query_one("#alert-pill", Block)
        pill.set_class(page.newer > 0, "-shown")
        if page.newer:
            pill.show(safe.text(f" ▲ {integer(page.newer)} new — press n "))
        can_undo = self.workbench.decisions.can_undo(AlertDecision)
        self.offer(self._following, page.has_older, bool(page.rows), can_undo)


def level_tone_of(only: AlertFilter) -> Tone:
    """The tone of the chosen level."""
    return Tone.STRONG if only.level is None else level_tone(only.level)


def _undisposed(row: AlertRow) -> bool:
    return row.disposition is None


def _next(choices: Sequence[Choice], current: Choice | None) -> Choice | None:
    """The choice after the current one; after the last comes None, which stands for all."""
    if current is None:
        return choices[0]
    index = choices.index(current) + 1
    return choices[index] if index < len(choices) else None
