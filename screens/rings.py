"""The Rings screen: merchants at which cards seem to be taken, and the cards that were there and have had no fraud yet.

What it shows is read from the engine's latest checkpoint, on a thread of its own.
"""

import logging
import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid
from textual.message import Message
from textual.widget import Widget

from data.errors import SentinelError
from data.queries import recovery
from data.queries.labels import latest_label_id
from engine.rings import NO_RING, WHAT_TO_DO, ExposedCard, Ring, Rings
from screens import actions, figures
from screens.base import DataScreen
from screens.routes import OpenCustomer
from screens.tones import Tone
from screens.widgets.columns import Cell, Column
from screens.widgets.panel import Block, line
from screens.widgets.record_list import RecordList
from screens.workbench import Workbench

log = logging.getLogger(__name__)

READING = "Reading the latest checkpoint …"
_FAILED = "The checkpoint could not be read; the log says why"

RING_COLUMNS: tuple[Column[Ring], ...] = (
    Column("Merchant", 16, lambda ring: Cell(ring.merchant, Tone.STRONG), grow=3),
    Column("Probab.", 7, lambda ring: Cell(figures.score(ring.posterior), _tone(ring)), right=True),
    Column("Cards", 6, lambda ring: Cell(figures.integer(ring.cards)), right=True),
    Column("Fraud", 6, lambda ring: Cell(figures.integer(ring.fraud_cards), Tone.STRONG), right=True),
    Column("Expected", 8, lambda ring: Cell(f"{ring.expected:,.1f}", Tone.MUTED), right=True),
    Column("No fraud yet", 12, lambda ring: Cell(figures.integer(ring.exposed_cards), Tone.STRONG), right=True, rank=1),
    Column("From UTC", 14, lambda ring: Cell(figures.moment(ring.first_visit)), rank=2),
    Column("Until UTC", 14, lambda ring: Cell(figures.moment(ring.last_visit)), rank=3),
    Column("Lift", 6, lambda ring: Cell(f"{ring.lift:,.1f}", Tone.MUTED), right=True, rank=4),
    Column("Used here", 9, lambda ring: Cell(figures.integer(ring.defrauded_here), Tone.MUTED), right=True, rank=5),
)

EXPOSED_COLUMNS: tuple[Column[ExposedCard], ...] = (
    Column("Card", 20, lambda card: Cell(card.card_id), grow=2),
    Column("First there UTC", 16, lambda card: Cell(figures.moment(card.first_there), Tone.MUTED), grow=1),
    Column("Last there UTC", 16, lambda card: Cell(figures.moment(card.last_there), Tone.MUTED), grow=1),
)


class RingsScreen(DataScreen[None]):
    """Enter on a merchant goes to its cards, Enter on a card shows the card's profile."""

    MODE = "customers"
    CSS_PATH = "rings.tcss"
    RELOAD_TICKS = 8
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.RINGS))

    class Answered(Message):
        """What a reading came to: the rings, or why there are none."""

        def __init__(self, answer: Rings | str) -> None:
            super().__init__()
            self.answer = answer

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._read: tuple[int | None, int] | None = None

    def compose_body(self) -> Iterable[Widget]:
        self._rings = RecordList(RING_COLUMNS, lambda ring: ring.merchant, id="rings", empty=READING)
        self._exposed = RecordList(EXPOSED_COLUMNS, lambda card: card.card_id, id="exposed-cards")
        yield Block(id="rings-summary", classes="summary")
        with Grid(id="ring-lists"):
            yield self._rings
            yield Block(id="exposed-title", classes="section")
            yield self._exposed

    def on_mount(self) -> None:
        self.query_one("#rings-summary", Block).show(line(Cell(READING, Tone.MUTED)))
        self._rings.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        """Read again where the checkpoint is another, or the labels are, without which there is nothing to read."""
        found = recovery.checkpoint_seq(reader), latest_label_id(reader)
        if found == self._read:
            return
        self._read = found
        self.run_worker(self._answer, thread=True, exclusive=True, exit_on_error=False)

    def on_rings_screen_answered(self, message: Answered) -> None:
        answer = message.answer
        if isinstance(answer, str):
            self._show((), Cell(answer, Tone.MEDIUM), answer)
        elif answer.missing is not None:
            what = WHAT_TO_DO[answer.missing]
            self._show((), Cell(what[0]), "\n".join(what))
        else:
            self._show(answer.rings, Cell(_summary(answer)), "\n".join(NO_RING))

    def on_record_list_moved(self, event: RecordList.Moved) -> None:
        if event.records is self._rings:
            self._show_exposed()

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        if event.records is self._exposed:
            self.post_message(OpenCustomer(str(event.key)))
        else:
            self._exposed.focus()

    def action_back(self) -> None:
        self.dismiss(None)

    def _show(self, rings: tuple[Ring, ...], summary: Cell, empty: str) -> None:
        self.query_one("#rings-summary", Block).show(line(summary))
        self._rings.show(rings, empty=empty)
        self._show_exposed()

    def _show_exposed(self) -> None:
        at = self._rings.cursor_line
        ring = None if at is None else self._rings.records[at]
        self.query_one("#exposed-title", Block).show(line(Cell("" if ring is None else _exposed_title(ring))))
        self._exposed.show(() if ring is None else ring.exposed)
        self.offer(ring is not None)

    def _answer(self) -> None:
        """On a thread of its own: whatever comes of it becomes a message."""
        self.post_message(self.Answered(self._answered()))

    def _answered(self) -> Rings | str:
        try:
            return self.workbench.rings()
        except SentinelError as error:
            return str(error)
        except Exception:
            log.exception("the rings could not be read")
            return _FAILED


def _summary(rings: Rings) -> str:
    cards = figures.integer(rings.fraud_cards)
    return (
        f"As of {figures.full_moment(rings.as_of)}, the latest checkpoint: {cards} cards with known fraud, "
        f"{figures.integer(len(rings.rings))} merchants suspected"
    )


def _exposed_title(ring: Ring) -> str:
    shown, total = (figures.integer(count) for count in (len(ring.exposed), ring.exposed_cards))
    return f"To watch or reissue, no fraud yet: showing {shown} of {total} cards that were at {ring.merchant}"


def _tone(ring: Ring) -> Tone:
    if ring.posterior >= 0.9:
        return Tone.CRITICAL
    return Tone.MEDIUM if ring.posterior >= 0.5 else Tone.PLAIN
