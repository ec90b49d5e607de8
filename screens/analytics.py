"""The Analytics screen: how traffic, alerts, rules and latency have developed."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from data.queries.analytics import (
    CategoryFigures,
    DayFigures,
    DeadLetterFigures,
    LatencyFigures,
    RuleFigures,
    days_to_watermark,
    dead_letter_reasons,
    latency,
    rule_figures,
    top_categories,
    top_reasons,
)
from screens import figures
from screens.base import DataScreen
from screens.tones import Tone
from screens.widgets.columns import Cell, Column
from screens.widgets.day_bars import DayBars
from screens.widgets.record_list import RecordList
from screens.widgets.tile import Tile

DAYS = 14
TOP = 10
BAR_CELLS = 10

_TILES = (
    ("transactions", "Trans. today"),
    ("volume", "Volume today"),
    ("alerts", "Alerts today"),
    ("amount", "Alerted today"),
    ("rate", "Alert rate"),
    ("latency", "Avg. latency ms"),
    ("percentiles", "p50 · p95 · p99"),
)


@dataclass(frozen=True, slots=True)
class ReasonShare:
    """A reason code with its alerts, and those as a share of the most frequent reason's."""

    code: str
    alerts: int
    share: float


CATEGORY_COLUMNS: tuple[Column[CategoryFigures], ...] = (
    Column("Category", 14, lambda row: Cell(row.category), grow=1),
    Column("Alerts", 7, lambda row: Cell(figures.integer(row.alerts), Tone.STRONG), right=True),
    Column("Trans.", 8, lambda row: Cell(figures.integer(row.transactions)), right=True),
    Column("Volume", 14, lambda row: Cell(figures.money(row.volume)), right=True, rank=1),
)

REASON_COLUMNS: tuple[Column[ReasonShare], ...] = (
    Column("Reason", 17, lambda row: Cell(row.code.replace("_", " ")), grow=1),
    Column("Alerts", 7, lambda row: Cell(figures.integer(row.alerts), Tone.STRONG), right=True),
    Column("", BAR_CELLS, lambda row: Cell(figures.bar(row.share, BAR_CELLS), Tone.BAR), rank=1),
)

RULE_COLUMNS: tuple[Column[RuleFigures], ...] = (
    Column("Rule", 17, lambda row: Cell(row.name, Tone.PLAIN if row.active else Tone.MUTED), grow=1),
    Column("Hits", 8, lambda row: Cell(figures.integer(row.hits), Tone.STRONG), right=True),
    Column("Of trans.", 9, lambda row: Cell(figures.percent(row.share)), right=True),
    Column("State", 8, lambda row: Cell("active" if row.active else "inactive", Tone.MUTED), rank=1),
)

DEAD_LETTER_COLUMNS: tuple[Column[DeadLetterFigures], ...] = (
    Column("Reason", 18, lambda row: Cell(row.reason.replace("_", " ")), grow=1),
    Column("Records", 9, lambda row: Cell(figures.integer(row.records), Tone.STRONG), right=True),
)


class AnalyticsScreen(DataScreen[None]):
    """Here, "today" is the UTC day of the latest event time."""

    MODE = "analytics"
    CSS_PATH = "analytics.tcss"
    RELOAD_TICKS = 8
    BINDINGS: ClassVar[list[BindingType]] = []

    def compose_body(self) -> Iterable[Widget]:
        self._categories = RecordList(
            CATEGORY_COLUMNS, lambda row: row.category, selectable=False, id="categories", empty="No transactions yet."
        )
        self._reasons = RecordList(
            REASON_COLUMNS, lambda row: row.code, selectable=False, id="top-reasons", empty="No alerts yet."
        )
        self._rules = RecordList(RULE_COLUMNS, lambda row: row.rule_id, selectable=False, id="rules")
        self._dead_letters = RecordList(
            DEAD_LETTER_COLUMNS,
            lambda row: row.reason,
            selectable=False,
            id="dead-letters",
            empty="None.",
        )
        with Grid(id="today"):
            for name, title in _TILES:
                yield Tile(title, id=f"today-{name}")
        with VerticalScroll(id="analytics-body"):
            with Grid(id="trends"):
                with Vertical(classes="trend"):
                    yield Static(f"Transactions per day, {DAYS} days to date", classes="section")
                    yield DayBars("primary", id="trend-transactions")
                with Vertical(classes="trend"):
                    yield Static(f"Alerts per day, {DAYS} days to date", classes="section")
                    yield DayBars("accent", id="trend-alerts")
            with Grid(id="tables"):
                with Vertical(classes="table"):
                    yield Static(f"Top {TOP} categories by alerts, {DAYS} days", classes="section")
                    yield self._categories
                with Vertical(classes="table"):
                    yield Static(f"Reasons, {DAYS} days", classes="section")
                    yield self._reasons
                with Vertical(classes="table"):
                    yield Static("Rule hits, all time", classes="section")
                    yield self._rules
                with Vertical(classes="table"):
                    yield Static("Dead letters, all time", classes="section")
                    yield self._dead_letters

    def on_mount(self) -> None:
        self.query_one("#analytics-body").focus()

    def load(self, reader: sqlite3.Connection) -> None:
        days = days_to_watermark(reader, DAYS)
        self._show_today(days[-1] if days else None, latency(reader))
        labels = [f"{day.day:%d}" for day in days]
        self.query_one("#trend-transactions", DayBars).show(labels, [float(day.transactions) for day in days])
        self.query_one("#trend-alerts", DayBars).show(labels, [float(day.alerts) for day in days])
        self._categories.show(top_categories(reader, DAYS, TOP))
        reasons = top_reasons(reader, DAYS, TOP)
        most = max((alerts for _, alerts in reasons), default=1)
        self._reasons.show([ReasonShare(code, alerts, alerts / most) for code, alerts in reasons])
        self._rules.show(rule_figures(reader))
        self._dead_letters.show(dead_letter_reasons(reader))

    def _show_today(self, today: DayFigures | None, speed: LatencyFigures | None) -> None:
        shown = dict.fromkeys((name for name, _ in _TILES), figures.ABSENT)
        if today is not None:
            rate = today.alerts / today.transactions if today.transactions else None
            shown["transactions"] = figures.integer(today.transactions)
            shown["volume"] = figures.money(today.volume)
            shown["alerts"] = figures.integer(today.alerts)
            shown["amount"] = figures.money(today.alert_volume)
            shown["rate"] = figures.percent(rate)
        if speed is not None:
            shown["latency"] = figures.milliseconds(speed.average)
            shown["percentiles"] = " · ".join(figures.milliseconds(each) for each in (speed.p50, speed.p95, speed.p99))
        for name, text in shown.items():
            self.query_one(f"#today-{name}", Tile).show(Cell(text, Tone.STRONG))
