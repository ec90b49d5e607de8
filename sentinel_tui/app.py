"""The app shell: the five screens as modes, the way from one to another, and the timer that feeds them."""

import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

import screens
from data.queries.alerts import unreviewed_critical_total
from data.store import Store
from engine.messages import SnapshotQueue
from screens import actions, themes
from screens.alert_detail import AlertDetailScreen
from screens.alerts import AlertsScreen
from screens.analytics import AnalyticsScreen
from screens.base import DataScreen
from screens.case_detail import CaseDetailScreen
from screens.cases import CasesScreen
from screens.customers import CustomersScreen
from screens.dashboard import DashboardScreen
from screens.help import HelpScreen
from screens.palette import ActionProvider, ThemeProvider
from screens.profile import ProfileScreen
from screens.routes import OpenAlert, OpenCase, OpenCustomer
from screens.workbench import Workbench

log = logging.getLogger(__name__)

TICK_S = 0.25
TICKS_PER_DATA_CHECK = 2

_SCREENS: dict[str, Callable[[Workbench], Screen[None]]] = {
    "dashboard": DashboardScreen,
    "alerts": AlertsScreen,
    "cases": CasesScreen,
    "analytics": AnalyticsScreen,
    "customers": CustomersScreen,
}


class SentinelApp(App[None]):
    """The workbench on one store. Without ``snapshots``, another process runs the engine.

    It opens one reader connection, and closes it when it ends.

    Raises:
        StoreError: the store cannot be read.
    """

    TITLE = "Sentinel"
    CSS_PATH = Path(screens.__file__).parent / "shared.tcss"
    DEFAULT_MODE = "dashboard"
    COMMANDS: ClassVar = {ActionProvider, ThemeProvider}
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.GLOBAL))

    def __init__(self, store: Store, snapshots: SnapshotQueue | None, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._snapshots = snapshots
        self._workbench = Workbench(store.reader(), clock, attached=snapshots is None)
        self._data_version = 0
        self._ticks = 0
        for name, screen in _SCREENS.items():
            self.add_mode(name, partial(screen, self._workbench))
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        self.theme = themes.DARK.name

    def on_mount(self) -> None:
        self._check_data()
        self.set_interval(TICK_S, self._tick)

    def on_unmount(self) -> None:
        self._workbench.reader.close()

    def call_from_signal(self) -> None:
        """Quit in good order; safe to call from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.exit)

    def on_open_alert(self, message: OpenAlert) -> None:
        def come_back(alert_id: int | None) -> None:
            if alert_id is not None:
                message.on_return(alert_id)

        self.push_screen(AlertDetailScreen(self._workbench, message.alert_id, message.alert_ids), come_back)

    def on_open_case(self, message: OpenCase) -> None:
        self.push_screen(CaseDetailScreen(self._workbench, message.case_id))

    def on_open_customer(self, message: OpenCustomer) -> None:
        self.push_screen(ProfileScreen(self._workbench, message.card_id))

    def action_show_screen(self, name: str) -> None:
        """Switch to one of the five screens, as it was left."""
        self.switch_mode(name)

    def action_help(self) -> None:
        """Show the keys of the screen on show."""
        screen = self.screen
        if isinstance(screen, DataScreen):
            title = next(title for name, title, _ in actions.MODES if name == screen.MODE)
            self.push_screen(HelpScreen(title, screen.active_bindings.values()))

    def _tick(self) -> None:
        self._ticks += 1
        self._drain_snapshots()
        changed = self._ticks % TICKS_PER_DATA_CHECK == 0 and self._check_data()
        screen = self.screen
        if isinstance(screen, DataScreen):
            screen.tick(data_changed=changed)

    def _drain_snapshots(self) -> None:
        if self._snapshots is None:
            return
        latest = self._snapshots.latest()
        if latest is not None:
            self._workbench.engine = latest
        self._workbench.dropped_snapshots = self._snapshots.dropped

    def _check_data(self) -> bool:
        """Whether another connection has committed since the last look."""
        reader = self._workbench.reader
        try:
            (version,) = reader.execute("PRAGMA data_version").fetchone()
            if version == self._data_version:
                return False
            self._workbench.critical_unreviewed = unreviewed_critical_total(reader)
        except sqlite3.Error:
            # The screen on show runs into the same, and tells the analyst.
            log.exception("the database could not be read")
            return True
        self._data_version = version
        return True
