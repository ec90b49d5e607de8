"""The keys of a screen, read from its bindings, so that the page cannot disagree with what the keys do."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from screens import actions
from screens.tones import Tone
from screens.widgets.columns import Cell
from screens.widgets.panel import line, lines

KEY_CELLS = 9
_SHARED = {"list": 1, "pane": 2, "app": 3}
"""What every screen has comes after what this one has."""
_KEY_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "escape": "Esc",
    "enter": "Enter",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
}


class HelpScreen(ModalScreen[None]):
    """What every key of the screen beneath does."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.HELP))

    def __init__(self, title: str, active: Iterable[ActiveBinding]) -> None:
        super().__init__()
        self._title = title
        self._active = tuple(active)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help-box") as box:
            box.border_title = f"Keys: {self._title}"
            box.border_subtitle = "Esc closes"
            yield Static(lines(self._rows()), id="help-keys")

    def action_close(self) -> None:
        self.dismiss(None)

    def _rows(self) -> Iterable[Content]:
        for label, keys, text in documented(self._active):
            yield line(
                Cell(f" {' '.join(keys):<{KEY_CELLS}}", Tone.STRONG),
                Cell(f"{label:<12}", Tone.TITLE),
                Cell(text),
            )


def documented(active: Iterable[ActiveBinding]) -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """Label, keys and explanation of every action that is offered, the screen's own first."""
    found: dict[str, tuple[str, list[str], str]] = {}
    for each in active:
        binding = each.binding
        if binding.id is None or not each.enabled:
            continue
        _, keys, _ = found.setdefault(binding.id, (binding.description, [], binding.tooltip))
        keys.append(_KEY_NAMES.get(binding.key, binding.key))
    ordered = sorted(found.items(), key=lambda item: _SHARED.get(item[0].partition(".")[0], 0))
    return tuple((label, tuple(keys), text) for _, (label, keys, text) in ordered)
