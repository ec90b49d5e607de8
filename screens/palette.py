"""The command palette: the actions of the screen it was opened from, and the themes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

HIDDEN = frozenset({"app.palette", "app.quit_always"})


class ActionProvider(Provider):
    """Every action that the screen offers at this moment, from the same bindings as its footer."""

    async def discover(self) -> Hits:
        for label, text, run in self._commands():
            yield DiscoveryHit(label, run, text=label, help=text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for label, text, run in self._commands():
            score = matcher.match(f"{label} {text}")
            if score > 0:
                yield Hit(score, matcher.highlight(label), run, text=label, help=text)

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        seen = set()
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            if binding.id is None or not enabled or binding.id in seen or binding.id in HIDDEN:
                continue
            if binding.id.startswith("list.") and not binding.show:
                continue
            seen.add(binding.id)
            yield binding.description, tooltip, partial(self.app.run_action, binding.action, node)


class ThemeProvider(Provider):
    """Every theme by name."""

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name in sorted(self.app.available_themes):
            command = f"Theme {name}"
            score = matcher.match(command)
            if score > 0:
                yield Hit(score, matcher.highlight(command), partial(setattr, self.app, "theme", name), text=command)
