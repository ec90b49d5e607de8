"""The Customers screen: the riskiest cards, or those whose id starts with what is typed."""

import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from data.queries import customers
from screens import actions, safe
from screens.base import DataScreen
from screens.figures import integer
from screens.record_columns import CUSTOMER_COLUMNS
from screens.routes import OpenCustomer, OpenRings
from screens.tones import Tone
from screens.widgets.columns import Cell
from screens.widgets.panel import Block, line
from screens.widgets.record_list import RecordList

PAGE = 200
LONGEST_ID = 128
EMPTY = "No cards yet.\nThey appear with their first transaction; 1 shows whether the engine runs."
EMPTY_SEARCH = "No card id starts with this.\nPress / to change the search; empty it to see all cards."


class CustomersScreen(DataScreen[None]):
    """A customer is known by the card."""

    MODE = "customers"
    CSS_PATH = "customers.tcss"
    RELOAD_TICKS = 8
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.CUSTOMERS))

    def compose_body(self) -> Iterable[Widget]:
        self._prefix = ""
        self._limit = PAGE
        self._matching = 0
        self._list = RecordList(CUSTOMER_COLUMNS, lambda row: row.card_id, id="customer-list")
        self._input = Input(
            placeholder="Start of a card id",
            restrict=f"[^{safe.UNSAFE}]*",
            max_length=LONGEST_ID,
            id="customer-search",
            compact=True,
        )
        with Horizontal(classes="toolbar"):
            yield Static("Search ", id="customer-search-label")
            yield self._input
            yield Block(id="customer-count", classes="toolbar-text")
        yield self._list

    def on_mount(self) -> None:
        self._list.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        if self._prefix:
            rows = customers.customers_starting_with(reader, self._prefix, self._limit)
        else:
            rows = customers.riskiest_customers(reader, self._limit)
        self._matching = customers.customer_total(reader, self._prefix)
        self._list.show(rows, empty=EMPTY_SEARCH if self._prefix else EMPTY)
        order = "by id" if self._prefix else "riskiest first"
        self.query_one("#customer-count", Block).show(
            line(Cell(f"  showing {integer(len(rows))} of {integer(self._matching)} cards, {order}", Tone.MUTED))
        )
        self.offer(self._has_more, bool(rows))

    def on_input_changed(self, event: Input.Changed) -> None:
        prefix = event.value.strip()
        if prefix == self._prefix:
            return
        self._prefix = prefix
        self._limit = PAGE
        self._list.show((), keep_place=False)
        self.reload()

    def on_input_submitted(self) -> None:
        self._list.focus()

    def on_descendant_focus(self) -> None:
        self.refresh_bindings()

    def on_record_list_moved(self) -> None:
        if self._list.cursor_line == len(self._list.records) - 1 and self._has_more:
            self.action_more()

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        self.post_message(OpenCustomer(str(event.key)))

    def action_search(self) -> None:
        self._input.focus()

    def action_leave_search(self) -> None:
        self._list.focus()

    def action_rings(self) -> None:
        self.post_message(OpenRings())

    def action_more(self) -> None:
        self._limit += PAGE
        self.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        match action:
            case "leave_search":
                return self._input.has_focus
            case "search" | "rings":
                return not self._input.has_focus
            case "more":
                return self._has_more and not self._input.has_focus
            case _:
                return True

    @property
    def _has_more(self) -> bool:
        return len(self._list.records) < self._matching
