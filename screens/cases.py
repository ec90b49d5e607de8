"""The Cases screen: what is open, and what is due first."""

import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from data.models import CaseStatus
from data.queries.cases import CaseTotals, case_totals, cases_by_urgency
from screens import actions, figures
from screens.base import DataScreen
from screens.record_columns import CASE_COLUMNS, case_line
from screens.routes import OpenCase
from screens.tones import Tone, words
from screens.widgets.columns import Cell
from screens.widgets.panel import Block, line
from screens.widgets.record_list import RecordList

PAGE = 200
EMPTY = "No cases yet.\nA HIGH or CRITICAL alert opens one by itself, or joins the card's open one."
EMPTY_STATUS = "No case has this status.\nPress s for the next status."
_STATUSES: tuple[CaseStatus | None, ...] = (None, *CaseStatus)


class CasesScreen(DataScreen[None]):
    """Active cases by the time they have left, then the ended ones."""

    MODE = "cases"
    CSS_PATH = "cases.tcss"
    CLOCK_TICKS = 20
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.CASES))

    def compose_body(self) -> Iterable[Widget]:
        self._status: CaseStatus | None = None
        self._limit = PAGE
        self._matching = 0
        self._list = RecordList(CASE_COLUMNS, lambda row: row.case.id, id="case-list")
        yield Block(id="case-totals", classes="summary")
        yield Block(id="case-tabs", classes="summary")
        yield self._list

    def load(self, reader: sqlite3.Connection) -> None:
        now = self.workbench.clock()
        totals = case_totals(reader, now)
        rows = [case_line(case, now) for case in cases_by_urgency(reader, self._status, self._limit)]
        self._matching = totals.total if self._status is None else dict(totals.by_status)[self._status]
        self._list.show(rows, empty=EMPTY if self._status is None else EMPTY_STATUS)
        self._show_totals(totals, len(rows))
        self._show_tabs(totals)
        self.offer(self._has_more, bool(rows))

    def on_record_list_moved(self) -> None:
        if self._list.cursor_line == len(self._list.records) - 1 and self._has_more:
            self.action_more()

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        self.post_message(OpenCase(int(str(event.key))))

    def action_next_status(self, step: int) -> None:
        self._status = _STATUSES[(_STATUSES.index(self._status) + step) % len(_STATUSES)]
        self._limit = PAGE
        self._list.show((), keep_place=False)
        self.reload()

    def action_more(self) -> None:
        self._limit += PAGE
        self.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        return action != "more" or self._has_more

    @property
    def _has_more(self) -> bool:
        return len(self._list.records) < self._matching

    def _show_totals(self, totals: CaseTotals, shown: int) -> None:
        hours = totals.average_resolution_hours
        self.query_one("#case-totals", Block).show(
            line(
                Cell(f"showing {figures.integer(shown)} of {figures.integer(self._matching)}", Tone.MUTED),
                Cell("  Active ", Tone.MUTED),
                Cell(figures.integer(totals.active), Tone.STRONG),
                Cell("  SLA breached ", Tone.MUTED),
                Cell(figures.integer(totals.sla_breached), Tone.CRITICAL if totals.sla_breached else Tone.STRONG),
                Cell("  Resolved ", Tone.MUTED),
                Cell(figures.integer(totals.resolved), Tone.STRONG),
                Cell("" if hours is None else f" in {hours:,.1f} h on average", Tone.MUTED),
            )
        )

    def _show_tabs(self, totals: CaseTotals) -> None:
        tabs = self.query_one("#case-tabs", Block)
        counts: list[tuple[CaseStatus | None, int]] = [(None, totals.total), *totals.by_status]
        full = self._tabs(counts, with_counts=True)
        tabs.show(full if full.cell_length <= tabs.content_size.width else self._tabs(counts, with_counts=False))

    def _tabs(self, counts: Iterable[tuple[CaseStatus | None, int]], *, with_counts: bool) -> Content:
        """Every status with its count; where that is too wide, only the chosen one has its count."""
        cells = []
        for status, count in counts:
            chosen = status is self._status
            title = "all" if status is None else words(status)
            label = f"{title} {figures.integer(count)}" if with_counts or chosen else title
            cells.append(Cell(f"[{label}]" if chosen else label, Tone.TITLE if chosen else Tone.MUTED))
        return line(*cells, gap=" ")
