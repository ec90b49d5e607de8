"""A question before something that cannot be taken back by a key."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from screens import actions
from screens.tones import Tone
from screens.widgets.columns import Cell
from screens.widgets.panel import line, lines


class ConfirmScreen(ModalScreen[bool]):
    """Asks a question under what would follow, and is dismissed with the answer."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.CONFIRM))

    def __init__(self, question: str, consequences: Iterable[str]) -> None:
        super().__init__()
        self._question = question
        self._consequences = tuple(consequences)

    def compose(self) -> ComposeResult:
        with Vertical(id="confirm-box"):
            yield Static(line(Cell(self._question, Tone.STRONG)), id="confirm-question")
            yield Static(lines(line(Cell(each)) for each in self._consequences), id="confirm-consequences")
            yield Static(
                line(Cell("y", Tone.STRONG), Cell(" Yes    "), Cell("n", Tone.STRONG), Cell(" No")), id="confirm-keys"
            )

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
