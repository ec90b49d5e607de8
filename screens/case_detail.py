"""One case: its figures, its alerts and its timeline."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.widget import Widget
from textual.widgets import Static

from data.models import Case, CaseActivity, CaseComment, Disposition
from data.queries import alerts, cases
from data.queries.alerts import AlertFilter
from screens import actions, figures
from screens.base import DataScreen
from screens.confirm import ConfirmScreen
from screens.decisions import CaseDecision
from screens.record_columns import ALERT_COLUMNS, without
from screens.routes import OpenAlert, OpenCustomer
from screens.safe import optional
from screens.tones import (
    CASE_STATUS_TONES,
    LEVEL_GLYPHS,
    LEVEL_TONES,
    PRIORITY_LEVELS,
    Tone,
    words,
)
from screens.widgets.columns import Cell, Column
from screens.widgets.panel import Block, Panel, facts, line
from screens.widgets.record_list import RecordList
from screens.workbench import Workbench

ALERTS_SHOWN = 500


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An activity or a comment; the number tells the two kinds apart."""

    key: str
    at: datetime
    actor: str
    kind: str
    text: str


_ALERT_COLUMNS = without("Case", without("Card", ALERT_COLUMNS))

TIMELINE_COLUMNS: tuple[Column[TimelineEntry], ...] = (
    Column("Time UTC", 14, lambda entry: Cell(figures.moment(entry.at), Tone.MUTED)),
    Column("Who", 10, lambda entry: Cell(entry.actor), rank=1),
    Column("What", 14, lambda entry: Cell(entry.kind, Tone.STRONG)),
    Column("Detail", 20, lambda entry: Cell(entry.text), grow=1),
)


class CaseDetailScreen(DataScreen[None]):
    """Reached from the cases, from an alert, and from a card."""

    MODE = "cases"
    CSS_PATH = "case_detail.tcss"
    CLOCK_TICKS = 20
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.CASE_DETAIL))

    def __init__(self, workbench: Workbench, case_id: int) -> None:
        super().__init__(workbench)
        self._case_id = case_id
        self._case: Case | None = None

    def compose_body(self) -> Iterable[Widget]:
        self._alerts = RecordList(
            _ALERT_COLUMNS,
            lambda row: row.id,
            id="case-alerts",
            empty="This case has no alerts.",
        )
        self._timeline = RecordList(TIMELINE_COLUMNS, lambda entry: entry.key, id="case-timeline", opens=False)
        yield Block(id="case-title", classes="title")
        with Grid(id="case-facts"):
            yield Panel("Case", id="case-what")
            yield Panel("Money and time", id="case-money")
        with Grid(id="case-lists"):
            with Vertical():
                yield Block(id="case-alerts-title", classes="section")
                yield self._alerts
            with Vertical():
                yield Static("Timeline", classes="section")
                yield self._timeline

    def on_mount(self) -> None:
        self._alerts.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        case = cases.case(reader, self._case_id)
        if case is None:
            raise LookupError(f"case {self._case_id} is not there any more; go back with Esc")
        self._case = case
        self._alerts.show(alerts.latest_alerts(reader, AlertFilter(case_id=case.id), ALERTS_SHOWN))
        shown = len(self._alerts.records)
        self.query_one("#case-alerts-title", Block).show(
            line(Cell(f"Alerts, newest first: showing {figures.integer(shown)} of {figures.integer(case.alerts)}"))
        )
        self._timeline.show(timeline(cases.case_activities(reader, case.id), cases.case_comments(reader, case.id)))
        self._show_case(case)
        self.offer(self._can_be_resolved)

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        if event.records is self._alerts:
            ids = tuple(row.id for row in self._alerts.records)
            self.post_message(OpenAlert(int(str(event.key)), ids, self._alerts.select))

    def action_back(self) -> None:
        self.dismiss(None)

    def action_customer(self) -> None:
        if self._case is not None:
            self.post_message(OpenCustomer(self._case.card_id))

    def action_dispose(self, disposition: str) -> None:
        self.query_store(partial(self._ask, Disposition(disposition)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A case is resolved once, and nobody resolves one that is just being resolved."""
        return action != "dispose" or self._can_be_resolved

    @property
    def _can_be_resolved(self) -> bool:
        decisions, case = self.workbench.decisions, self._case
        return (
            decisions.possible
            and case is not None
            and case.status.is_active
            and not decisions.pending(CaseDecision, case.id)
        )

    def _ask(self, disposition: Disposition, reader: sqlite3.Connection) -> None:
        case = self._case
        if case is None:
            return
        settled = alerts.undisposed_of_case(reader, case.id)

        def answered(yes: bool | None) -> None:
            if yes:
                self.workbench.decisions.take(CaseDecision(case.number, case.id, case.version, disposition))

        self.app.push_screen(
            ConfirmScreen(f"Resolve {case.number}?", _consequences(case, settled, disposition)), answered
        )

    def _show_case(self, case: Case) -> None:
        now = self.workbench.clock()
        level = PRIORITY_LEVELS[case.priority]
        late = case.is_breached(now)
        self.query_one("#case-title", Block).show(
            line(
                Cell(f" {LEVEL_GLYPHS[level]} {case.priority.value}", LEVEL_TONES[level]),
                Cell(f"  {case.number}  ", Tone.STRONG),
                Cell(case.title),
            )
        )
        self.query_one("#case-what", Panel).show(
            facts(
                (
                    ("Status", Cell(words(case.status), CASE_STATUS_TONES[case.status])),
                    ("Category", Cell(words(case.category))),
                    ("Card", Cell(case.card_id)),
                    ("Assignee", Cell(optional(case.assignee))),
                    ("Disposition", Cell(figures.ABSENT if case.disposition is None else words(case.disposition))),
                )
            )
        )
        self.query_one("#case-money", Panel).show(
            facts(
                (
                    ("Amount", Cell(figures.money(case.total_amount), Tone.STRONG)),
                    ("At risk", Cell(figures.money(case.potential_loss))),
                    ("Recovered", Cell(figures.money(case.recovered_amount))),
                    ("SLA", Cell(figures.sla(case, now), Tone.CRITICAL if late else Tone.PLAIN)),
                    ("Created", Cell(figures.full_moment(case.opened_at))),
                )
            )
        )


def timeline(activities: Iterable[CaseActivity], comments: Iterable[CaseComment]) -> tuple[TimelineEntry, ...]:
    """What was done and what was said, oldest first."""
    entries = [TimelineEntry(f"a{each.id}", each.at, each.actor, words(each.type), each.detail) for each in activities]
    entries += [
        TimelineEntry(f"c{each.id}", each.at, each.author, f"{each.visibility.value} note", each.text)
        for each in comments
    ]
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _consequences(case: Case, settled: int, disposition: Disposition) -> Iterable[str]:
    """What resolving a case does to it and to its alerts."""
    yield f"It is resolved as {words(disposition)}. This cannot be taken back."
    if not settled:
        yield "All of its alerts have a disposition, and keep it."
        return
    counts = f"{figures.integer(settled)} of its {figures.integer(case.alerts)}"
    yield f"Alerts without a disposition get the same: {counts}."
    if settled < case.alerts:
        yield "The others keep theirs."
