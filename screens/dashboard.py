"""The Dashboard: what the engine does now, and what of it matters most."""

import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Sparkline, Static

from data.queries.alerts import AlertFilter, latest_alerts
from data.queries.dashboard import (
    DashboardFigures,
    HourFigures,
    dashboard_figures,
    hours_to_watermark,
    latest_transactions,
)
from engine.messages import EngineSnapshot, EngineState
from screens import figures
from screens.base import DataScreen
from screens.record_columns import BRIEF_ALERT_COLUMNS, FEED_COLUMNS
from screens.routes import OpenAlert
from screens.tones import LEVEL_TONES, Tone, level_label
from screens.widgets.columns import Cell
from screens.widgets.panel import Block, line, lines
from screens.widgets.record_list import RecordList
from screens.widgets.tile import Tile
from screens.workbench import Standing

HOURS = 12
NEWEST_ALERTS = 50
FEED = 60
BAR_CELLS = 11
EMPTY_ALERTS = "No alerts yet."
EMPTY_FEED = "No transactions yet.\nThey appear as the engine stores them; start it with sentinel-tui."

_TILES = (
    ("transactions", "Trans. 24 h"),
    ("alerts", "Alerts 24 h"),
    ("velocity", "Velocity 24 h"),
    ("cases", "Open cases"),
    ("volume", "Volume 24 h"),
    ("latency", "Latency ms"),
    ("rate", "Alert rate"),
    ("sla", "SLA breached"),
)

_WITHOUT_SNAPSHOTS = {
    Standing.OWNER: ("starting", "the engine has not reported yet"),
    Standing.ATTACHED: ("attached", "another process runs the engine; this workbench reads its database"),
    Standing.VIEWING: ("viewing", "no engine writes here; sentinel-tui replay adds to it"),
}

_STATE_TONES = {
    EngineState.RUNNING: Tone.GOOD,
    EngineState.FINISHED: Tone.STRONG,
    EngineState.FAILED: Tone.CRITICAL,
}


class DashboardScreen(DataScreen[None]):
    """Figures "24 h" end at the latest event time seen. The cursor is on the newest alert until it is moved."""

    MODE = "dashboard"
    CSS_PATH = "dashboard.tcss"
    CLOCK_TICKS = 20
    BINDINGS: ClassVar[list[BindingType]] = []

    def compose_body(self) -> Iterable[Widget]:
        self._figures: DashboardFigures | None = None
        self._following = True
        self._alerts = RecordList(BRIEF_ALERT_COLUMNS, lambda row: row.id, id="newest-alerts", empty=EMPTY_ALERTS)
        self._feed = RecordList(FEED_COLUMNS, lambda row: row.seq, id="feed", empty=EMPTY_FEED, selectable=False)
        self._engine = Block(id="engine")
        yield self._engine
        with Grid(id="tiles"):
            for name, title in _TILES:
                yield Tile(title, id=f"tile-{name}")
        with Grid(id="charts"):
            with Vertical(id="levels-box"):
                yield Static("Alerts by level, 24 h", classes="section")
                yield Block(id="levels")
            with Vertical(id="hours-box"):
                yield Block(id="hours-title", classes="section")
                yield Sparkline([], id="hours-transactions")
                yield Block(id="hours-alerts-title", classes="section")
                yield Sparkline([], id="hours-alerts")
        with Grid(id="streams"):
            with Vertical(id="alerts-box"):
                yield Static("Newest alerts", classes="section")
                yield self._alerts
            with Vertical(id="feed-box"):
                yield Static("Live transactions", classes="section")
                yield self._feed

    def on_mount(self) -> None:
        self._alerts.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        self._figures = dashboard_figures(reader, self.workbench.clock())
        self._show_figures(self._figures)
        self._show_levels(self._figures)
        self._show_hours(hours_to_watermark(reader, HOURS))
        self._alerts.show(latest_alerts(reader, AlertFilter(), NEWEST_ALERTS), keep_place=not self._following)
        if self._following:
            self._alerts.select_first()
        self._feed.show(latest_transactions(reader, FEED), keep_place=False)
        self.offer(bool(self._alerts.records))

    def show_engine(self) -> None:
        self._engine.show(lines((self._state_line(), self._counts_line())))

    def on_record_list_moved(self) -> None:
        self._following = self._alerts.cursor_line == 0

    def on_record_list_opened(self, event: RecordList.Opened) -> None:
        ids = tuple(row.id for row in self._alerts.records)
        self.post_message(OpenAlert(int(str(event.key)), ids, self._alerts.select))

    def _state_line(self) -> Content:
        engine = self.workbench.engine
        if engine is None:
            state, told = _WITHOUT_SNAPSHOTS[self.workbench.standing]
            return line(Cell(f" ● {state}", Tone.STRONG), Cell(f"  {told}", Tone.MUTED))
        return line(
            Cell(f" ● {_state(engine)}", _STATE_TONES.get(engine.state, Tone.MEDIUM)),
            Cell(f"  {engine.source}"),
            Cell(f"  {engine.rate:,.1f} tx/s", Tone.STRONG),
            Cell("  latency ms ", Tone.MUTED),
            Cell(
                f"p50 {figures.milliseconds(engine.latency_p50)} · p95 {figures.milliseconds(engine.latency_p95)} · "
                f"p99 {figures.milliseconds(engine.latency_p99)}"
            ),
        )

    def _counts_line(self) -> Content:
        engine = self.workbench.engine
        stored = self._figures
        as_of = None if stored is None else stored.as_of
        if engine is not None and engine.watermark is not None:
            as_of = engine.watermark
        cells = [Cell(" as of ", Tone.MUTED), Cell(figures.full_moment(as_of))]
        if engine is None:
            dead_letters = 0 if stored is None else stored.dead_letters
            return line(*cells, Cell("  dead letters ", Tone.MUTED), Cell(figures.integer(dead_letters)))
        for label, count in (
            ("records", engine.records),
            ("dead", engine.dead_letters),
            ("dup", engine.duplicates),
            ("dropped", self.workbench.dropped_snapshots),
        ):
            cells += [Cell(f"  {label} ", Tone.MUTED), Cell(figures.integer(count))]
        return line(*cells)

    def _show_figures(self, now: DashboardFigures) -> None:
        shown = {
            "transactions": Cell(figures.integer(now.transactions_24h), Tone.STRONG),
            "alerts": Cell(figures.integer(now.alerts_24h), Tone.STRONG),
            "velocity": Cell(figures.integer(now.velocity_alerts_24h), Tone.STRONG),
            "cases": Cell(figures.integer(now.open_cases), Tone.STRONG),
            "volume": Cell(figures.money(now.volume_24h), Tone.STRONG),
            "latency": Cell(figures.milliseconds(now.average_latency_ms), Tone.STRONG),
            "rate": Cell(figures.percent(now.alert_rate_24h), Tone.STRONG),
            "sla": Cell(figures.integer(now.sla_breached), Tone.CRITICAL if now.sla_breached else Tone.STRONG),
        }
        for name, cell in shown.items():
            self.query_one(f"#tile-{name}", Tile).show(cell)

    def _show_levels(self, now: DashboardFigures) -> None:
        most = max((count for _, count in now.alerts_by_level_24h), default=0)
        rows = [
            line(
                Cell(f" {level_label(level):<10}", LEVEL_TONES[level]),
                Cell(f"{figures.integer(count):>8}  ", Tone.STRONG),
                Cell(figures.bar(count / most if most else 0.0, BAR_CELLS), LEVEL_TONES[level]),
            )
            for level, count in reversed(now.alerts_by_level_24h)
        ]
        self.query_one("#levels", Block).show(lines(rows))

    def _show_hours(self, hours: tuple[HourFigures, ...]) -> None:
        transactions = [float(hour.transactions) for hour in hours]
        alerts = [float(hour.alerts) for hour in hours]
        self.query_one("#hours-transactions", Sparkline).data = transactions
        self.query_one("#hours-alerts", Sparkline).data = alerts
        self.query_one("#hours-title", Block).show(_peak("Transactions", transactions))
        self.query_one("#hours-alerts-title", Block).show(_peak("Alerts", alerts))


def _state(engine: EngineSnapshot) -> str:
    if engine.fraction_done is None or engine.state is EngineState.FINISHED:
        return engine.state.value
    return f"{engine.state.value} {engine.fraction_done:.0%}"


def _peak(name: str, values: list[float]) -> Content:
    peak = figures.integer(int(max(values, default=0)))
    return line(Cell(f"{name} per hour, {HOURS} h"), Cell(f"  peak {peak}", Tone.MUTED))
