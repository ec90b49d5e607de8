"""One alert in full: what happened, why it was raised, and what is usual for the card."""

import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from data.models import Alert, Case, Disposition, Reason
from data.queries import alerts, cases, customers
from screens import actions, figures
from screens.base import DataScreen
from screens.contribution_lines import CONTRIBUTION_COLUMNS, NOTHING_UNUSUAL, alert_columns, alert_heading, alert_lines
from screens.decisions import AlertDecision, alert_as_decided, alert_name
from screens.neighbour_lines import neighbour_lines
from screens.record_columns import TRANSACTION_COLUMNS, verdict
from screens.routes import OpenCase, OpenCustomer
from screens.safe import optional
from screens.tones import ALERT_STATUS_TONES, CASE_STATUS_TONES, Tone, level_label, level_tone, words
from screens.widgets.columns import Cell, Column
from screens.widgets.panel import Block, Panel, facts, line, lines
from screens.widgets.record_list import RecordList
from screens.widgets.what_if import WhatIf
from screens.workbench import Workbench

LAST_TRANSACTIONS = 50

REASON_COLUMNS: tuple[Column[Reason], ...] = (
    Column("Rule", 19, lambda reason: Cell(reason.rule, Tone.STRONG)),
    Column("Value", 10, lambda reason: Cell(_measured(reason)), right=True),
    Column("Threshold", 11, lambda reason: Cell(figures.quantity(reason.threshold), Tone.MUTED), right=True),
    Column("In words", 24, lambda reason: Cell(reason.text), grow=1, rank=1),
)


class AlertDetailScreen(DataScreen[int]):
    """Dismissed with the id of the alert on show, so that the list can put its cursor there."""

    MODE = "alerts"
    CSS_PATH = "alert_detail.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.ALERT_DETAIL))

    def __init__(self, workbench: Workbench, alert_id: int, alert_ids: tuple[int, ...]) -> None:
        super().__init__(workbench)
        self._alert_id = alert_id
        self._alert_ids = alert_ids
        self._alert: Alert | None = None

    def compose_body(self) -> Iterable[Widget]:
        self._reasons = RecordList(REASON_COLUMNS, lambda reason: reason.code, selectable=False, id="reasons")
        self._contributions = RecordList(
            CONTRIBUTION_COLUMNS,
            lambda each: each.title,
            selectable=False,
            id="contributions",
            empty=NOTHING_UNUSUAL,
        )
        self._transactions = RecordList(
            TRANSACTION_COLUMNS, lambda each: each.seq, selectable=False, id="alert-transactions"
        )
        self._what_if = WhatIf(self.workbench, id="alert-what-if")
        yield Block(id="alert-title", classes="title")
        yield Block(id="alert-summary")
        with VerticalScroll(id="alert-body"):
            with Grid(id="alert-facts"):
                yield Panel("What happened", id="alert-what")
                yield Panel("The card until then", id="alert-baseline")
            with Grid(id="alert-why"):
                with Vertical(classes="why"):
                    yield Static("Why", classes="section")
                    yield self._reasons
                with Vertical(classes="why"):
                    yield Block(id="alert-found", classes="section")
                    yield self._contributions
            yield Panel("Shared with known fraud", id="alert-shared")
            yield self._what_if
            yield Block(id="alert-transactions-title", classes="section")
            yield self._transactions

    def on_mount(self) -> None:
        self.query_one("#alert-body").focus()

    def load(self, reader: sqlite3.Connection) -> None:
        alert = alerts.alert(reader, self._alert_id)
        if alert is None:
            raise LookupError(f"alert {self._alert_id} is not there any more; go back with Esc")
        alert = self._alert = alert_as_decided(alert, self.workbench.decisions)
        case = None if alert.case_id is None else cases.case(reader, alert.case_id)
        transactions = customers.card_transactions(reader, alert.card_id, LAST_TRANSACTIONS)
        self._transactions.show(transactions)
        self.query_one("#alert-transactions-title", Block).show(
            line(Cell(f"The card's last {len(transactions)} transactions, newest first"))
        )
        self._reasons.show(alert.reasons)
        self.query_one("#alert-found", Block).show(line(Cell(alert_heading(alert))))
        self._contributions.use_columns(alert_columns(alert))
        self._contributions.show(alert_lines(alert))
        self._show_title(alert)
        self._show_what(alert)
        self._show_baseline(alert)
        self._show_shared(alert)
        self._show_summary(alert, case)
        steps = (self._position > 0, self._position + 1 < len(self._alert_ids))
        self.offer(*steps, alert.case_id is not None, self.workbench.decisions.can_undo(AlertDecision))

    def action_back(self) -> None:
        self.dismiss(self._alert_id)

    def action_step(self, lines: int) -> None:
        self._turn_to(self._alert_ids[self._position + lines])

    def action_dispose(self, disposition: str) -> None:
        alert = self._alert
        if alert is None or alert.id != self._alert_id:
            return
        chosen = Disposition(disposition)
        if alert.disposition is not chosen:
            self.workbench.decisions.take(
                AlertDecision(alert_name(alert), alert.id, alert.version, chosen, alert.disposition)
            )
        self.query_store(self._go_on)

    def action_undo(self) -> None:
        undone = self.workbench.decisions.undo(AlertDecision)
        if undone is None:
            return
        if undone.alert_id in self._alert_ids:
            self._turn_to(undone.alert_id)
        else:
            self.notify(f"Undo was on {undone.subject}, which is not in this list", markup=False)

    def action_what_if(self) -> None:
        if self._alert is not None:
            self._what_if.ask(self._alert)
            self.call_after_refresh(self._what_if.scroll_visible, animate=False)

    def action_case(self) -> None:
        if self._alert is not None and self._alert.case_id is not None:
            self.post_message(OpenCase(self._alert.case_id))

    def action_customer(self) -> None:
        if self._alert is not None:
            self.post_message(OpenCustomer(self._alert.card_id))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        match action:
            case "step":
                return 0 <= self._position + int(str(parameters[0])) < len(self._alert_ids)
            case "case":
                return self._alert is not None and self._alert.case_id is not None
            case "dispose":
                return self.workbench.decisions.possible
            case "undo":
                return self.workbench.decisions.can_undo(AlertDecision)
            case _:
                return True

    @property
    def _position(self) -> int:
        return self._alert_ids.index(self._alert_id)

    def _turn_to(self, alert_id: int) -> None:
        if alert_id != self._alert_id:
            self._alert_id = alert_id
            self._what_if.forget()
            self.query_one("#alert-body").scroll_home(animate=False)
        self.reload()

    def _go_on(self, reader: sqlite3.Connection) -> None:
        """Turn to the next alert of the list without a disposition; below where there is one, else from the top on."""
        following = self._alert_ids[self._position + 1 :] + self._alert_ids[: self._position]
        undisposed = alerts.undisposed(reader, following)
        pending = self.workbench.decisions.pending
        following = tuple(each for each in following if each in undisposed and not pending(AlertDecision, each))
        self._turn_to(following[0] if following else self._alert_id)

    def _show_title(self, alert: Alert) -> None:
        self.query_one("#alert-title", Block).show(
            line(
                Cell(f" {level_label(alert.level)}", level_tone(alert.level)),
                Cell(f"  {figures.score(alert.score)}  ", Tone.STRONG),
                Cell(figures.money(alert.amount, alert.currency), Tone.STRONG),
                Cell("  card ", Tone.MUTED),
                Cell(alert.card_id, Tone.STRONG),
                Cell(f"   {self._position + 1} of {figures.integer(len(self._alert_ids))} loaded", Tone.MUTED),
            )
        )

    def _show_summary(self, alert: Alert, case: Case | None) -> None:
        score = line(
            Cell(" Model score ", Tone.MUTED),
            Cell(figures.score(alert.model_score)),
            Cell("  Velocity ", Tone.MUTED),
            Cell(f"{figures.integer(alert.velocity)} in the window"),
            Cell("  Status ", Tone.MUTED),
            Cell(verdict(alert.status, alert.disposition), ALERT_STATUS_TONES[alert.status]),
        )
        self.query_one("#alert-summary", Block).show(lines((score, self._case_line(case))))

    def _case_line(self, case: Case | None) -> Content:
        if case is None:
            return line(Cell(" No case: HIGH and CRITICAL alerts open one, or join the card's open one.", Tone.MUTED))
        now = self.workbench.clock()
        return line(
            Cell(f" {case.number}"),
            Cell(f"  {words(case.status)}", CASE_STATUS_TONES[case.status]),
            Cell("  SLA ", Tone.MUTED),
            Cell(figures.sla(case, now), Tone.CRITICAL if case.is_breached(now) else Tone.PLAIN),
            Cell("  alerts ", Tone.MUTED),
            Cell(figures.integer(case.alerts)),
            Cell("  amount ", Tone.MUTED),
            Cell(figures.money(case.total_amount)),
        )

    def _show_what(self, alert: Alert) -> None:
        self.query_one("#alert-what", Panel).show(
            facts(
                (
                    ("Time", Cell(figures.full_moment(alert.event_time))),
                    ("Amount", Cell(figures.money(alert.amount, alert.currency), Tone.STRONG)),
                    ("Merchant", Cell(optional(alert.merchant_name or alert.merchant_id))),
                    ("Category", Cell(optional(alert.merchant_category))),
                    ("Location", Cell(optional(alert.location))),
                    ("Card", Cell(alert.card_id)),
                    ("Transaction", Cell(alert.transaction_id, Tone.MUTED)),
                )
            )
        )

    def _show_shared(self, alert: Alert) -> None:
        panel = self.query_one("#alert-shared", Panel)
        panel.set_class(bool(alert.shared), "-shown")
        panel.show(neighbour_lines(alert.shared))

    def _show_baseline(self, alert: Alert) -> None:
        usual = alert.baseline
        mean = "none yet" if usual.mean_amount is None else f"{usual.mean_amount:,.2f}"
        since = figures.ABSENT
        if usual.last_seen is not None:
            since = f"{figures.duration(alert.event_time - usual.last_seen)} before"
        self.query_one("#alert-baseline", Panel).show(
            facts(
                (
                    ("Transactions", Cell(figures.integer(usual.transactions))),
                    ("Mean amount", Cell(mean)),
                    ("This amount", Cell(_times(alert))),
                    ("Usual place", Cell(optional(usual.usual_places))),
                    ("Usual hours", Cell(optional(usual.usual_hours))),
                    ("Last seen", Cell(since)),
                    ("Last place", Cell(optional(usual.last_location))),
                )
            )
        )


def _times(alert: Alert) -> str:
    mean = alert.baseline.mean_amount
    return figures.ABSENT if not mean else f"{float(alert.amount) / mean:,.1f} × the mean"


def _measured(reason: Reason) -> str:
    """A reason's value; where the threshold is one of scores, cut as scores are everywhere else."""
    if isinstance(reason.value, float) and isinstance(reason.threshold, float) and reason.threshold <= 1.0:
        return figures.score(reason.value)
    return figures.quantity(reason.value)
