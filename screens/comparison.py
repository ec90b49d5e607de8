"""The comparison of champion and challenger: what each was worth on the same transactions, and where they differ."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from data.errors import SentinelError
from data.models import ModelRole
from data.queries.labels import latest_label_id
from data.queries.shadow import FlippedTransaction
from data.timestamps import from_microseconds
from engine.comparison import CALIBRATION_BINS, FIGURE_TITLES, Comparison, SideFigures
from engine.shadow import AsOf, ShadowComparison
from screens import actions, figures
from screens.role_changes import ANOMALY_MODEL, NOBODY_SIGNED_IN, RolesScreen, read_roles
from screens.routes import OpenAlert, OpenCustomer
from screens.safe import optional
from screens.tones import ROLE_GLYPHS, ROLE_TONES, Tone
from screens.widgets.columns import Cell, Column
from screens.widgets.panel import Block, Panel, line, lines
from screens.widgets.record_list import RecordList

log = logging.getLogger(__name__)

COMPARING = "comparing …"
NO_FLIPS = "Both alert the same transactions."
NOTHING_KNOWN = "Nothing can be compared yet: labels are needed of what both have scored."
_FAILED = "Champion and challenger could not be compared; the log says why"
_TITLE_CELLS = max(map(len, FIGURE_TITLES.values()))
_SIDE_CELLS = 8
_BIN_CELLS = 7
_CALIBRATED_CELLS = 14
_LOWER_IS_BETTER = frozenset({"calibration_error", "brier"})
_NEITHER_IS_BETTER = frozenset({"alerts_per_day"})

FLIP_COLUMNS: tuple[Column[FlippedTransaction], ...] = (
    Column("Time UTC", 14, lambda row: Cell(figures.moment(row.event_time), Tone.MUTED)),
    Column("Truth", 8, lambda row: Cell("✗ fraud", Tone.CRITICAL) if row.fraud else Cell("✓ honest", Tone.GOOD)),
    Column("Alerted by", 12, lambda row: Cell(_alerted_by(row), ROLE_TONES[_role(row)])),
    Column("Score", 5, lambda row: Cell(figures.score(row.score)), right=True),
    Column("Chall.", 6, lambda row: Cell(figures.score(row.challenger_score)), right=True),
    Column("Amount", 10, lambda row: Cell(figures.money(row.amount)), right=True),
    Column("Card", 13, lambda row: Cell(row.card_id), grow=1),
    Column("Merchant", 12, lambda row: Cell(optional(row.merchant)), grow=2, rank=1),
    Column("Cur", 3, lambda row: Cell(optional(row.currency), Tone.MUTED), rank=2),
    Column("Transaction", 16, lambda row: Cell(row.transaction_id, Tone.MUTED), grow=1, rank=3),
)


class ComparisonScreen(RolesScreen):
    """Compares when it is opened, when labels or roles have changed, and when it is asked to; never at every tick."""

    MODE = "model"
    CSS_PATH = "comparison.tcss"
    RELOAD_TICKS = 20
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.COMPARISON))

    class Compared(Message):
        """What a comparison came to, or why there is none."""

        def __init__(self, answer: ShadowComparison | str) -> None:
            super().__init__()
            self.answer = answer

    _asked: AsOf | None = None
    _comparing = False
    _problem: str | None = None

    def compose_body(self) -> Iterable[Widget]:
        self._flips = RecordList(FLIP_COLUMNS, lambda row: row.seq, id="flips", empty=COMPARING)
        yield Block(id="comparison-state")
        with Grid(id="comparison-figures"):
            yield Panel("What each is worth", id="comparison-worth")
            yield Panel("Calibration: score → share of fraud", id="comparison-calibration")
        yield Block(id="flips-title", classes="section")
        yield self._flips

    def on_mount(self) -> None:
        self._flips.focus()
        self._present(self.workbench.compared)

    def load(self, reader: sqlite3.Connection) -> None:
        roles = read_roles(reader)
        self.keep_roles(roles)
        as_of = AsOf(latest_label_id(reader), roles.as_of)
        if as_of != self._asked and not self._comparing:
            self._asked = as_of
            self._compare()

    def action_again(self) -> None:
        if not self._comparing:
            self._compare()

    def on_record_list_opened(self, message: RecordList.Opened) -> None:
        flip = next(each for each in self._flips.records if each.seq == message.key)
        if flip.alert_id is None:
            self.post_message(OpenCustomer(flip.card_id))
            return
        flips = {each.alert_id: each.seq for each in self._flips.records if each.alert_id is not None}
        self.post_message(OpenAlert(flip.alert_id, tuple(flips), lambda alert_id: self._flips.select(flips[alert_id])))

    def on_comparison_screen_compared(self, message: Compared) -> None:
        self._comparing = False
        self.workbench.compared = None if isinstance(message.answer, str) else message.answer
        self._problem = message.answer if isinstance(message.answer, str) else None
        self._present(self.workbench.compared)

    def _compare(self) -> None:
        self._comparing = True
        self._present(self.workbench.compared)
        self.run_worker(self._search, thread=True, exit_on_error=False)

    def _search(self) -> None:
        """On a thread of its own: whatever comes of it becomes a message."""
        self.post_message(self.Compared(self._answer()))

    def _answer(self) -> ShadowComparison | str:
        if self.workbench.models is None:
            return NOBODY_SIGNED_IN
        try:
            return self.workbench.models.compare()
        except SentinelError as error:
            return str(error)
        except Exception:
            log.exception("champion and challenger could not be compared")
            return _FAILED

    def _present(self, shadow: ShadowComparison | None) -> None:
        """Show a comparison, and whether another one is on its way."""
        comparison = None if shadow is None else shadow.comparison
        self.query_one("#comparison-state", Block).show(lines(self._state(shadow)))
        self.query_one("#comparison-figures").display = comparison is not None
        title = Cell("Where they differ")
        if shadow is not None and comparison is not None:
            self.query_one("#comparison-worth", Panel).show(lines(_worth(comparison)))
            self.query_one("#comparison-calibration", Panel).show(lines(_calibration(comparison)))
            title = Cell(_flipped(comparison, len(shadow.flips)))
        self.query_one("#flips-title", Block).show(line(title))
        self._flips.show(() if shadow is None else shadow.flips, empty=self._empty(comparison))
        self.offer_roles(bool(self._flips.records))

    def _empty(self, comparison: Comparison | None) -> str:
        if comparison is not None:
            return NO_FLIPS
        if self._problem is not None:
            return ""
        return COMPARING if self._comparing else NOTHING_KNOWN

    def _state(self, shadow: ShadowComparison | None) -> Iterator[Content]:
        if shadow is None:
            yield line(Cell(f" {COMPARING if self._comparing else self._problem or ''}", Tone.MEDIUM))
            return
        yield line(
            _holder(ModelRole.CHAMPION, shadow.champion or ANOMALY_MODEL),
            Cell(" decides   ", Tone.MUTED),
            _holder(ModelRole.CHALLENGER, shadow.challenger),
            Cell(" competes   ", Tone.MUTED),
            Cell(COMPARING if self._comparing else "", Tone.MEDIUM),
        )
        known = f"{figures.integer(shadow.scored - shadow.unknown)} of {figures.integer(shadow.scored)} scored by both"
        if shadow.comparison is None:
            yield line(Cell(f" The outcome is known of {known}", Tone.MUTED))
            return
        first, last = (from_microseconds(at) for at in (shadow.comparison.first, shadow.comparison.last))
        yield line(
            Cell(f" {first:%m-%d} to {last:%m-%d}: the outcome is known of {known}, ", Tone.MUTED),
            Cell(f"{figures.integer(shadow.comparison.frauds)} fraud", Tone.STRONG),
        )


def _holder(role: ModelRole, name: str) -> Cell:
    return Cell(f" {ROLE_GLYPHS[role]} {name}", ROLE_TONES[role])


def _role(flip: FlippedTransaction) -> ModelRole:
    return ModelRole.CHALLENGER if flip.level is None else ModelRole.CHAMPION


def _alerted_by(flip: FlippedTransaction) -> str:
    return f"{ROLE_GLYPHS[_role(flip)]} {_role(flip).value}"


def _flipped(comparison: Comparison, shown: int) -> str:
    flips = comparison.flips
    return (
        f"By champion alone {figures.integer(flips.champion_only)}, "
        f"{figures.integer(flips.champion_only_frauds)} fraud; by challenger alone "
        f"{figures.integer(flips.challenger_only)}, {figures.integer(flips.challenger_only_frauds)} fraud; "
        f"showing {figures.integer(shown)}"
    )


def _worth(comparison: Comparison) -> Iterator[Content]:
    """A line for each figure; the better of both is strong."""
    yield line(
        Cell(" " * _TITLE_CELLS),
        Cell(f"{'champ.':>{_SIDE_CELLS}}{'chall.':>{_SIDE_CELLS}}", Tone.MUTED),
    )
    for name, title in FIGURE_TITLES.items():
        sides = [side.figure(name) for side in (comparison.champion, comparison.challenger)]
        best = _best(name, sides)
        yield line(
            Cell(title.ljust(_TITLE_CELLS), Tone.MUTED),
            *(
                Cell(f"{figures.measure(value):>{_SIDE_CELLS}}", Tone.STRONG if value == best else Tone.PLAIN)
                for value in sides
            ),
        )


def _best(name: str, sides: list[float | None]) -> float | None:
    known = [value for value in sides if value is not None]
    if name in _NEITHER_IS_BETTER or len(set(known)) < len(sides):
        return None
    return min(known) if name in _LOWER_IS_BETTER else max(known)


def _calibration(comparison: Comparison) -> Iterator[Content]:
    """A line for each tenth of the scores that either has given, with what was fraud among how many."""
    sides = (_by_bin(comparison.champion), _by_bin(comparison.challenger))
    yield line(
        Cell(
            f"{'score':<{_BIN_CELLS}}{'champion':>{1 + _CALIBRATED_CELLS}}{'challenger':>{1 + _CALIBRATED_CELLS}}",
            Tone.MUTED,
        )
    )
    for number in sorted(set().union(*sides)):
        low, high = number / CALIBRATION_BINS, (number + 1) / CALIBRATION_BINS
        yield line(
            Cell(f"{low:.1f}–{high:.1f}", Tone.MUTED),
            *(Cell(f" {side.get(number, figures.ABSENT):>{_CALIBRATED_CELLS}}") for side in sides),
        )


def _by_bin(side: SideFigures) -> dict[int, str]:
    return {
        min(int(score * CALIBRATION_BINS), CALIBRATION_BINS - 1): (
            f"{figures.score(score)}→{figures.score(share)} {figures.rounded(count):>4}"
        )
        for score, share, count in side.calibration
    }
