"""Blocks of text, and the lines they are made of."""

from collections.abc import Iterable

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from screens import safe
from screens.tones import Tone
from screens.widgets.columns import Cell


class Block(Static):
    """Text that is drawn again only when it is another."""

    _shown: Content | None = None

    def show(self, content: Content) -> None:
        """Show other text; the same text costs nothing."""
        if self._shown is None or not content.is_same(self._shown):
            self._shown = content
            self.update(content)


class Panel(Block):
    """Text under a line that carries a title of our own making."""

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = title


def line(*cells: Cell, gap: str = "") -> Content:
    """Cells one after the other, each cleaned."""
    return Content(gap).join([safe.text(cell.text, cell.tone.value) for cell in cells])


def lines(rows: Iterable[Content]) -> Content:
    """One line below the other."""
    return Content("\n").join(list(rows))


def facts(pairs: Iterable[tuple[str, Cell]]) -> Content:
    """Labels, and beside them their values in one column."""
    rows = list(pairs)
    width = max((cell_len(label) for label, _ in rows), default=0) + 2
    return lines(line(Cell(label.ljust(width), Tone.MUTED), value) for label, value in rows)
