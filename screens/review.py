"""Transactions that raised no alert, a few of them drawn at random, so that models learn of what they missed too."""

import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from data.queries import labels
from data.queries.labels import ReviewRow
from screens import actions
from screens.base import DataScreen
from screens.decisions import ReviewDecision, review_rows, transaction_name
from screens.figures import integer
from screens.record_columns import REVIEW_COLUMNS
from screens.routes import OpenCustomer
from screens.tones import Tone
from screens.widgets.columns import Cell
from screens.widgets.panel import Block, line
from screens.widgets.record_list import RecordList

SHOWN = 500
WHY = "Drawn at random from what raised no alert, to teach models what they miss"
NONE_DRAWN = (
    "Nothing has been drawn yet.\n"
    "Of the transactions that raise no alert, the engine draws a share at random.\n"
    "REVIEW_SAMPLE_SHARE is that share; `sentinel-tui config` shows it. 0 draws none."
)
ALL_JUDGED = "All that was drawn is judged.\nMore appears here as the engine draws it; Esc leads back, z takes back."


class ReviewScreen(DataScreen[None]):
    """Newest first; a transaction leaves the list once it is judged."""

    MODE = "alerts"
    CSS_PATH = "review.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.REVIEW))

    def compose_body(self) -> Iterable[Widget]:
        self._return_to: int | None = None
        self._list = RecordList(REVIEW_COLUMNS, lambda row: row.seq, id="review-list")
        with Horizontal(classes="toolbar"):
            yield Block(id="review-count", classes="toolbar-text")
        yield Static(line(Cell(WHY, Tone.MUTED)), classes="summary")
        yield self._list

    def on_mount(self) -> None:
        self._list.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        self._stored = labels.review_sample(reader, SHOWN)
        drawn, open_ones = labels.drawn_for_review(reader), labels.open_reviews(reader)
        self.query_one("#review-count", Block).show(
            line(
                Cell("Review", Tone.TITLE),
                Cell(f"   {integer(open_ones)} open", Tone.STRONG),
                Cell(f" of {integer(drawn)} drawn   showing {integer(len(self._stored))}", Tone.MUTED),
            )
        )
        self._list.show(review_rows(self._stored, self.workbench.decisions), empty=ALL_JUDGED if drawn else NONE_DRAWN)
        if self._return_to is not None and not self.workbench.decisions.pending(ReviewDecision, self._return_to):
            self._list.select(self._return_to)
            self._return_to = None
        self.offer(bool(self._stored), self.workbench.decisions.can_undo(ReviewDecision))

    def on_record_list_opened(self) -> None:
        row = self._list.cursor_record
        if row is not None:
            self.post_message(OpenCustomer(row.card_id))

    def action_back(self) -> None:
        self.dismiss(None)

    def action_judge(self, fraud: bool) -> None:
        row = self._list.cursor_record
        if row is None:
            return
        if row.fraud is not fraud:
            self.workbench.decisions.take(ReviewDecision(transaction_name(row), row.seq, fraud, row.fraud))
            self.reload()
        self._list.select_next(_open)

    def action_undo(self) -> None:
        undone = self.workbench.decisions.undo(ReviewDecision)
        if undone is not None:
            self._return_to = undone.transaction_seq
            self.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        match action:
            case "judge":
                return self.workbench.decisions.possible and bool(self._list.records)
            case "undo":
                return self.workbench.decisions.can_undo(ReviewDecision)
            case _:
                return True


def _open(row: ReviewRow) -> bool:
    return row.fraud is None
