"""The app shell: the top-level screens as modes, the way from one to another, and the timer that feeds them."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ScreenStackError
from textual.binding import BindingType
from textual.screen import Screen
from textual.theme import Theme

import screens
from data.analyst_writes import AnalystWriter
from data.dispositions import DispositionWriter
from data.errors import StoreError
from data.queries.alerts import unreviewed_critical_total
from data.store import Store
from engine.messages import SnapshotQueue, TrainingState
from engine.rescoring import Detectors
from engine.rings import Rings, read_rings
from screens import actions, safe, themes
from screens.alert_detail import AlertDetailScreen
from screens.alerts import AlertsScreen
from screens.analytics import AnalyticsScreen
from screens.base import DataScreen
from screens.case_detail import CaseDetailScreen
from screens.cases import CasesScreen
from screens.comparison import ComparisonScreen
from screens.customers import CustomersScreen
from screens.dashboard import DashboardScreen
from screens.decisions import Decisions
from screens.help import HelpScreen
from screens.model import ModelScreen
from screens.models import ModelsScreen
from screens.palette import ActionProvider, ThemeProvider
from screens.profile import ProfileScreen
from screens.review import ReviewScreen
from screens.rings import RingsScreen
from screens.routes import OpenAlert, OpenCase, OpenCustomer, OpenRings
from screens.workbench import ModelDesk, Standing, Workbench

log = logging.getLogger(__name__)

TICK_S = 0.25
TICKS_PER_DATA_CHECK = 2
QUIT_PATIENCE_S = 5.0
"""How long quitting waits for decisions that are not stored yet."""
LOST_LIMIT = 2_000
"""Characters that tell what was not stored."""
TEXTUALS_OWN_THEME = "textual-dark"
"""The theme when neither TEXTUAL_THEME nor anything else has chosen one."""

_SCREENS: dict[str, Callable[[Workbench], Screen[None]]] = {
    "dashboard": DashboardScreen,
    "alerts": AlertsScreen,
    "cases": CasesScreen,
    "analytics": AnalyticsScreen,
    "customers": CustomersScreen,
    "model": ModelScreen,
}


def _rings(store: Store) -> Rings:
    """On a connection of its own, because a thread of its own asks."""
    with closing(store.reader()) as reader:
        return read_rings(reader)


class SentinelApp(App[None]):
    """The workbench on one store. Without ``snapshots``, its own process runs no engine.

    With ``detectors``, which loads what judges transactions, alerts can be scored again under other assumptions. With
    ``models``, models can be compared, trained, promoted and rolled back.

    With an ``analyst``, alerts can be disposed in the analyst's name; the theme is the one that the analyst chose last,
    and a choice is remembered.

    It opens one reader connection, and closes it when it ends.

    Raises:
        StoreError: the store cannot be read.
    """

    TITLE = "Sentinel"
    CSS_PATH = Path(screens.__file__).parent / "shared.tcss"
    DEFAULT_MODE = "dashboard"
    COMMANDS: ClassVar = {ActionProvider, ThemeProvider}
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.GLOBAL))

    def __init__(
        self,
        store: Store,
        snapshots: SnapshotQueue | None,
        clock: Callable[[], datetime],
        standing: Standing = Standing.OWNER,
        analyst: AnalystWriter | None = None,
        detectors: Callable[[], Detectors] | None = None,
        models: ModelDesk | None = None,
    ) -> None:
        super().__init__()
        self._analyst = analyst
        self._snapshots = snapshots
        decisions = Decisions(
            None if analyst is None else DispositionWriter(store, analyst.analyst),
            clock,
            run=partial(self.run_worker, exit_on_error=False),
            changed=self._show_decisions,
            refused=self._warn,
        )
        self._workbench = Workbench(
            store.reader(), clock, standing, decisions, partial(_rings, store), detectors, models
        )
        self._data_version = 0
        self._ticks = 0
        self._quit_asked = False
        for name, screen in _SCREENS.items():
            self.add_mode(name, partial(screen, self._workbench))
        self._drain_snapshots()
        self._check_data()
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        chosen = None if analyst is None else analyst.chosen_theme()
        if chosen in self.available_themes:
            self.theme = chosen
        elif self.theme == TEXTUALS_OWN_THEME:
            self.theme = themes.DARK.name

    def on_mount(self) -> None:
        if self._quit_asked:
            self.exit()
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        self.set_interval(TICK_S, self._tick)

    def on_unmount(self) -> None:
        self._workbench.reader.close()

    def call_from_signal(self) -> None:
        """Quit in good order; safe to call from a signal handler."""
        self._quit_asked = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.call_later, self.action_quit)

    def on_open_alert(self, message: OpenAlert) -> None:
        def come_back(alert_id: int | None) -> None:
            if alert_id is not None:
                message.on_return(alert_id)

        self.push_screen(AlertDetailScreen(self._workbench, message.alert_id, message.alert_ids), come_back)

    def on_open_case(self, message: OpenCase) -> None:
        self.push_screen(CaseDetailScreen(self._workbench, message.case_id))

    def on_open_customer(self, message: OpenCustomer) -> None:
        self.push_screen(ProfileScreen(self._workbench, message.card_id))

    def on_open_rings(self, _: OpenRings) -> None:
        self.push_screen(RingsScreen(self._workbench))

    def on_open_models(self) -> None:
        self.push_screen(ModelsScreen(self._workbench))

    def on_open_comparison(self) -> None:
        self.push_screen(ComparisonScreen(self._workbench))

    def action_show_screen(self, name: str) -> None:
        """Switch to one of the top-level screens, as it was left."""
        self.switch_mode(name)

    def action_review(self) -> None:
        """Show the transactions that were drawn for review, over whatever is on show."""
        if not isinstance(self.screen, ReviewScreen):
            self.push_screen(ReviewScreen(self._workbench))

    async def action_quit(self) -> None:
        """Leave once every decision is stored; those that cannot be are told when the terminal is free again."""
        decisions = self._workbench.decisions
        await decisions.settled(QUIT_PATIENCE_S)
        lost = ", ".join(f"{each.subject} as {each.verdict}" for each in decisions.waiting)
        self.exit(message=Text(safe.clean(f"Perhaps not stored: {lost}", LOST_LIMIT)) if lost else None)

    def action_help(self) -> None:
        """Show the keys of the screen on show."""
        screen = self.screen
        if isinstance(screen, DataScreen):
            title = next(title for name, title, _ in actions.MODES if name == screen.MODE)
            self.push_screen(HelpScreen(title, screen.active_bindings.values()))

    def _remember_theme(self, theme: Theme) -> None:
        if self._analyst is None:
            return
        try:
            self._analyst.choose_theme(theme.name, self._workbench.clock())
        except StoreError as error:
            self._warn(f"The theme is not remembered: {error}")

    def _warn(self, text: str) -> None:
        self.notify(safe.clean(text), severity="warning", markup=False)

    def _show_decisions(self) -> None:
        if isinstance(self.screen, DataScreen):
            self.screen.reload()

    def _tick(self) -> None:
        self._drain_snapshots()
        self._follow_training()
        try:
            screen = self.screen
        except ScreenStackError:
            # Between two modes, and at the end, there is no screen for a moment.
            return
        self._ticks += 1
        changed = self._ticks % TICKS_PER_DATA_CHECK == 0 and self._check_data()
        if isinstance(screen, DataScreen):
            screen.tick(data_changed=changed)

    def _drain_snapshots(self) -> None:
        if self._snapshots is None:
            return
        latest = self._snapshots.latest()
        if latest is not None:
            self._workbench.engine = latest
        self._workbench.dropped_snapshots = self._snapshots.dropped

    def _follow_training(self) -> None:
        models, before = self._workbench.models, self._workbench.training
        training = None if models is None else models.training()
        if training is None or training is before:
            return
        self._workbench.training = training
        if before is None or (training.state, training.notice) != (before.state, before.notice):
            if training.state is TrainingState.FAILED:
                self._warn(training.notice)
            else:
                self.notify(safe.clean(training.notice), markup=False)

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
