"""What the screens have in common: they query only while they are on show, and a failure becomes a line to read."""

import logging
import sqlite3
from collections.abc import Callable, Hashable, Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen, ScreenResultType
from textual.widget import Widget

from screens.widgets.key_bar import KeyBar
from screens.widgets.masthead import Banner, Masthead
from screens.workbench import Workbench

log = logging.getLogger(__name__)

WIDTHS = [(0, "-narrow"), (110, "-normal"), (160, "-wide")]
HEIGHTS = [(0, "-tight"), (36, "-roomy")]
"""The style classes that a screen has from a width, or a height, on."""


class DataScreen(Screen[ScreenResultType]):
    """A screen that shows what the store holds.

    Subclasses give ``compose_body`` and ``load``. The app calls ``tick`` of the screen on show four times a second.
    """

    MODE: ClassVar[str] = ""
    RELOAD_TICKS: ClassVar[int] = 2
    """Ticks between two reloads while the data keeps changing."""
    CLOCK_TICKS: ClassVar[int | None] = None
    """Ticks after which it reloads anyway, because what it shows depends on the clock."""
    BINDINGS: ClassVar[list[BindingType]] = []
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self.workbench = workbench
        self._ticks_since_load = 0
        self._stale = False
        self._offered: Hashable = None

    def compose(self) -> ComposeResult:
        # Held, not looked up: a tick may find the screen being taken down.
        self._masthead = Masthead(self.workbench, self.MODE)
        self._banner = Banner()
        yield self._masthead
        yield self._banner
        yield from self.compose_body()
        yield KeyBar()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between masthead and footer."""
        raise NotImplementedError

    def load(self, reader: sqlite3.Connection) -> None:
        """Query the store and show what it says."""
        raise NotImplementedError

    def show_engine(self) -> None:
        """Show what the engine last said of itself; screens that show none of it leave this alone."""

    def on_screen_resume(self) -> None:
        self.reload()
        self._show_state()

    def tick(self, *, data_changed: bool) -> None:
        """A quarter of a second has passed. Reloads if the data has changed, but not more often than it should."""
        if not self.is_mounted:
            return
        self._stale = self._stale or data_changed
        self._ticks_since_load += 1
        overdue = self.CLOCK_TICKS is not None and self._ticks_since_load >= self.CLOCK_TICKS
        if overdue or (self._stale and self._ticks_since_load >= self.RELOAD_TICKS):
            self.reload()
        self._show_state()

    def reload(self) -> None:
        """Query and show; after a failure it is tried again, and what was shown stays."""
        self._ticks_since_load = 0
        self._stale = False
        self.query_store(self.load)

    def query_store(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do something with the reader connection; whatever fails is told to the analyst, and taken no further."""
        try:
            work(self.workbench.reader)
        except Exception as error:
            if self.workbench.problem is None:
                log.exception("the %s screen could not be loaded", self.MODE)
            self._stale = True
            self.workbench.problem = f"The database could not be read ({error}): what is shown may be old; trying again"
        else:
            self.workbench.problem = None

    def offer(self, *possible: bool) -> None:
        """Have the keys shown again if what is possible, as the screen sums it up, has changed."""
        if possible != self._offered:
            self._offered = possible
            self.refresh_bindings()

    def _show_state(self) -> None:
        self._masthead.refresh_badge()
        self._banner.warn(self.workbench.warning)
        self.show_engine()
