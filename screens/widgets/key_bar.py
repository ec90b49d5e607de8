"""The bottom line: the keys that do something here and now."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from textual.binding import ActiveBinding, Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static


class KeyBar(Static):
    """Keys and labels of the active bindings that are meant for it, as one line; a click presses the key.

    It is one widget where Textual's own footer is one for each key, because it is drawn anew with every change of
    what is possible.
    """

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._show_keys)
        self._show_keys(self.screen)

    def _show_keys(self, screen: Screen[Any]) -> None:
        active = screen.active_bindings.values()
        spacious = keys_line(active, self.app.get_key_display, gap=" ")
        narrow = spacious.cell_length > self.app.size.width
        self.update(keys_line(active, self.app.get_key_display, gap="") if narrow else spacious)


def keys_line(active: Iterable[ActiveBinding], display: Callable[[Binding], str], gap: str) -> Content:
    """The line for some bindings; neighbours of one group share one label."""
    shown = [each.binding for each in active if each.binding.show and each.enabled]
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
