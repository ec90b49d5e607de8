"""One key figure."""

from textual.content import Content
from textual.widgets import Static

from screens import safe
from screens.tones import Tone
from screens.widgets.columns import Cell


class Tile(Static):
    """A figure under its name."""

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = safe.text(title, Tone.MUTED.value)
        self._cell: Cell | None = None

    def show(self, cell: Cell) -> None:
        """Show a figure; the same one is not drawn again."""
        if cell != self._cell:
            self._cell = cell
            self.update(Content("\n").join([self._title, safe.text(cell.text, cell.tone.value)]))
