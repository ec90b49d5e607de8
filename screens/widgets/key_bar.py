"""The bottom line: the keys that do something here and now."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from screens.actions import GIVEN_UP_FIRST


class KeyBar(Static):
    """Keys and labels of the active bindings that are meant for it, as one line; a click presses the key.

    It is one widget where Textual's own footer is one for each key, because it is drawn anew with every change of
    what is possible.
    """

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._show_keys)
        self._show_keys(self.screen)

    def on_resize(self) -> None:
        self._show_keys(self.screen)

    def _show_keys(self, screen: Screen[Any]) -> None:
        shown = [each.binding for each in screen.active_bindings.values() if each.binding.show and each.enabled]
        self.update(fitting_line(shown, self.app.get_key_display, self.app.size.width))


def fitting_line(shown: Iterable[Binding], display: Callable[[Binding], str], width: int) -> Content:
    """The line with as much as fits: closer together where it is narrow, and then without what is known anyway."""
    kept = list(shown)
    line = keys_line(kept, display, gap=" ")
    if line.cell_length > width:
        line = keys_line(kept, display, gap="")
    for given_up in GIVEN_UP_FIRST:
        if line.cell_length <= width:
            break
        kept = [binding for binding in kept if binding.id not in given_up]
        line = keys_line(kept, display, gap="")
    return line


def keys_line(shown: Iterable[Binding], display: Callable[[Binding], str], gap: str) -> Content:
    """The line for some bindings; neighbours of one group share one label."""
    parts: list[Content] = []
    for _, members in groupby(shown, key=lambda binding: binding.group or binding.id):
        keys = list(members)
        label = keys[0].description if keys[0].group is None else keys[0].group.description
        parts += [Content(gap), *(_key(binding, display(binding)) for binding in keys)]
        parts.append(Content.styled(f" {label} ", "$footer-description-foreground"))
    return Content("").join(parts)


def _key(binding: Binding, name: str) -> Content:
    return Content.from_markup(
        f"[bold $footer-key-foreground @click=app.simulate_key('{binding.key}')]$name[/]", name=name
    )
