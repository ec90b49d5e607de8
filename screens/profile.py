"""The 360-degree profile of one card: its totals, alerts, cases and last transactions."""

import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid
from textual.widget import Widget
from textual.widgets import Static

from data.models import Customer
from data.queries import alerts, cases, customers
from data.queries.alerts import AlertFilter
from screens import actions, figures
from screens.base import DataScreen
from screens.record_columns import (
    ALERT_COLUMNS,
    CASE_COLUMNS,
    TRANSACTION_COLUMNS,
    case_line,
    without,
)
from screens.routes import OpenAlert, OpenCase
from screens.safe import optional
from screens.tones import Tone, level_label, level_tone
from screens.widgets.columns import Cell
from screens.widgets.panel import Block, line, lines
from screens.widgets.record_list import RecordList
from screens.workbench import Workbench

ALERTS_SHOWN = 100
CASES_SHOWN = 50
TRANSACTIONS_SHOWN = 100

_ALERT_COLUMNS = without("Card", ALERT_COLUMNS)
_CASE_COLUMNS = without("Card", CASE_COLUMNS)


class ProfileScreen(DataScreen[None]):
    """Tab goes from list to list; Enter opens an alert or a case."""

    MODE = "customers"
    CSS_PATH = "profile.tcss"
    CLOCK_TICKS = 20
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.PROFILE))

    def __init__(self, workbench: Workbench, card_id: str) -> None:
        super().__init__(workbench)
        self._card_id = card_id

    def compose_body(self) -> Iterable[Widget]:
        self._alerts = RecordList(_ALERT_COLUMNS, lambda row: row.id, id="profile-alerts", empty="No alerts.")
        self._cases = RecordList(_CASE_COLUMNS, lambda row: row.case.id, id="profile-cases", empty="No cases.")
        self._transactions = RecordList(
            TRANSACTION_COLUMNS, lambda row: row.seq, id="profile-transactions", opens=False
        )
        yield Block(id="profile-title", classes="title")
        yield Block(id="profile-facts")
        with Grid(id="profile-lists"):
            yield Block(id="profile-alerts-title", classes="section")
            yield self._alerts
            yield Static("Cases, newest first", classes="section", id="profile-cases-title")
            yield self._cases
            yield Block(id="profile-transactions-title", classes="section")
            yield self._transactions

    def on_mount(self) -> None:
        self._alerts.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        customer = customers.customer(reader, self._card_id)
        if customer is None:
            raise LookupError("this card is not there any more; go back with Esc")
        now = self.workbench.clock()
        self._alerts.show(alerts.latest_alerts(reader, AlertFilter(card_id=self._card_id), ALERTS_SHOWN))
        self._cases.show([case_line(case, now) for case in cases.cases_of_card(reader, self._card_id, CASES_SHOWN)])
        self._transactions.show(customers.card_transactions(reader, self._card_id, TRANSACTIONS_SHOWN))
        self._show_customer(customer)

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        if event.records is self._alerts:
            ids = tuple(row.id for row in self._alerts.records)
            self.post_message(OpenAlert(int(str(event.key)), ids, self._alerts.select))
        elif event.records is self._cases:
            self.post_message(OpenCase(int(str(event.key))))

    def action_back(self) -> None:
        self.dismiss(None)

    def _show_customer(self, customer: Customer) -> None:
        self.query_one("#profile-title", Block).show(
            line(
                Cell(f" {level_label(customer.highest_level)}", level_tone(customer.highest_level)),
                Cell(f"  {figures.score(customer.highest_score)}", Tone.STRONG),
                Cell("  card ", Tone.MUTED),
                Cell(customer.card_id, Tone.STRONG),
                Cell("  customer ", Tone.MUTED),
                Cell(optional(customer.customer_id)),
            )
        )
        self.query_one("#profile-facts", Block).show(
            lines(
                (
                    line(
                        Cell(" Transactions ", Tone.MUTED),
                        Cell(figures.integer(customer.transactions), Tone.STRONG),
                        Cell("  Spent ", Tone.MUTED),
                        Cell(figures.money(customer.spent), Tone.STRONG),
                        Cell("  Alerts ", Tone.MUTED),
                        Cell(figures.integer(customer.alerts), Tone.STRONG),
                        Cell("  Last place ", Tone.MUTED),
                        Cell(optional(customer.last_location)),
                    ),
                    line(
                        Cell(" First seen ", Tone.MUTED),
                        Cell(figures.full_moment(customer.first_seen)),
                        Cell("  Last ", Tone.MUTED),
                        Cell(figures.full_moment(customer.last_seen)),
                    ),
                )
            )
        )
        shown = len(self._alerts.records)
        self.query_one("#profile-alerts-title", Block).show(
            line(Cell(f"Alerts, newest first: showing {shown} of {figures.integer(customer.alerts)}"))
        )
        shown = len(self._transactions.records)
        self.query_one("#profile-transactions-title", Block).show(
            line(Cell(f"Transactions, newest first: showing {shown} of {figures.integer(customer.transactions)}"))
        )
