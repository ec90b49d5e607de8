"""The Model screen: what scores, what it was calibrated on, and how far traffic has moved from that since."""

import sqlite3
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.widget import Widget

from data.drift import Window
from data.queries.drift import DAYS, LabelRate, ServingModel, label_rate, serving_model
from engine.drift import WHAT_TO_DO, AlertRate, Drift, Shape, SignalDrift, read_drift
from engine.model_card import ModelCard
from engine.psi import DRIFTED, SHIFTING, DriftLevel
from engine.site_calibration import SITE_ROWS
from screens import actions, figures
from screens.base import DataScreen
from screens.routes import OpenModels
from screens.tones import DRIFT_TONES, Tone, drift_label
from screens.widgets.columns import Cell, Column
from screens.widgets.panel import Block, Panel, facts, line
from screens.widgets.record_list import RecordList
from screens.widgets.tile import Tile

BAR_CELLS = 10
LOWEST_ALERT = 0.5
FULL_BAR = 2 * DRIFTED
"""The index at which a bar is full."""
NO_MODEL = "No model has scored here yet.\nStart sentinel-tui or replay a file: the engine trains one before it scores."
NOTHING_COUNTED = (
    "Nothing to compare yet.\nTransactions count once their card has five before them; 1 shows the engine."
)

_TILES = (
    ("alerts", "Model alerts"),
    ("ratio", "Times target, 95 %"),
    ("labels", f"Labels, {DAYS} days"),
    ("of-transactions", "Of transactions"),
    ("per-alert", "Labels per alert"),
    ("of-alerts", "Alerts labelled"),
)

_DIRECTIONS = {1: "↑", 0: " ", -1: "↓"}

SIGNAL_COLUMNS: tuple[Column[SignalDrift], ...] = (
    Column("Level", 10, lambda row: Cell(drift_label(row.level), DRIFT_TONES[row.level])),
    Column("PSI", 5, lambda row: Cell(figures.score(row.index), Tone.STRONG), right=True),
    Column("", BAR_CELLS, lambda row: Cell(figures.bar(row.index / FULL_BAR, BAR_CELLS), Tone.BAR), rank=1),
    Column("Feature or score", 33, lambda row: Cell(row.title), grow=3),
    Column("What moved: then → now", 24, lambda row: Cell(_moved(row), _moved_tone(row)), grow=1),
)


class ModelScreen(DataScreen[None]):
    """Each of the lists below the card stands in a column of its own."""

    MODE = "model"
    CSS_PATH = "model.tcss"
    RELOAD_TICKS = 20
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.MODEL))

    def compose_body(self) -> Iterable[Widget]:
        self._signals = RecordList(SIGNAL_COLUMNS, lambda row: row.name, opens=False, id="signals")
        yield Block(id="drift-state", classes="summary")
        with Grid(id="model-figures"):
            for name, title in _TILES:
                yield Tile(title, id=f"model-{name}")
        yield Panel("Serving model", id="model-card")
        with Grid(id="model-lists"), Vertical():
            yield Block(id="signals-title", classes="section")
            yield self._signals

    def on_mount(self) -> None:
        self._signals.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        model = serving_model(reader)
        drift = read_drift(reader)
        self._show_model(model)
        self._show_figures(None if drift is None else drift.alert_rate, label_rate(reader))
        self.query_one("#drift-state", Block).show(line(*_state(drift)))
        self.query_one("#signals-title", Block).show(line(Cell(_compared(drift))))
        empty = NO_MODEL if model is None else NOTHING_COUNTED
        signals = () if drift is None else sorted((*drift.scores, *drift.features), key=lambda each: -each.index)
        self._signals.show(signals, empty=empty)

    def action_models(self) -> None:
        self.post_message(OpenModels())

    def _show_model(self, model: ServingModel | None) -> None:
        absent = Cell(figures.ABSENT, Tone.MUTED)
        rows = dict.fromkeys(("Version", "Trained", "On", "Alerts"), absent)
        if model is not None:
            card = ModelCard.model_validate_json(model.card)
            rows["Version"] = Cell(
                f"{model.version}, serving since {figures.full_moment(model.served_at)}", Tone.STRONG
            )
            rows["Trained"] = Cell(
                f"{figures.full_moment(card.trained_at)}: {card.trees} trees of "
                f"{figures.integer(card.samples_per_tree)} samples, {len(card.features)} features"
            )
            rows["On"] = Cell(
                f"{card.source}, {figures.integer(card.rows)} rows of "
                f"{card.data_from:%Y-%m-%d} to {card.data_to:%Y-%m-%d}"
            )
            rows["Alerts"] = Cell(_alert_shares(card))
        self.query_one("#model-card", Panel).show(facts(rows.items()))

    def _show_figures(self, rate: AlertRate | None, labels: LabelRate) -> None:
        shown = dict.fromkeys((name for name, _ in _TILES), Cell(figures.ABSENT, Tone.STRONG))
        if rate is not None:
            low, high = rate.ratio_interval
            tone = Tone.STRONG if rate.level is DriftLevel.STABLE else DRIFT_TONES[rate.level]
            shown["alerts"] = Cell(f"{figures.percent(rate.share)} of {figures.percent(rate.target)}", Tone.STRONG)
            shown["ratio"] = Cell(f"{rate.ratio:.1f} ({low:.1f}–{high:.1f})", tone)
        shown["labels"] = Cell(figures.integer(labels.known), Tone.STRONG)
        if labels.transactions:
            shown["of-transactions"] = Cell(figures.percent(labels.known / labels.transactions), Tone.STRONG)
        if labels.alerts:
            shown["per-alert"] = Cell(f"{labels.known / labels.alerts:,.2f}", Tone.STRONG)
            of = f"{figures.integer(labels.labelled_alerts)} of {figures.integer(labels.latest_alerts)}"
            shown["of-alerts"] = Cell(of, Tone.STRONG)
        for name, cell in shown.items():
            self.query_one(f"#model-{name}", Tile).show(cell)


def _state(drift: Drift | None) -> tuple[Cell, ...]:
    """The drift in one sentence, with what to do where there is something."""
    if drift is None:
        return (Cell("Drift: nothing has been compared yet", Tone.MUTED),)
    label = Cell(f"{drift_label(drift.level)}  ", DRIFT_TONES[drift.level])
    if not drift.is_settled:
        return label, Cell(_learning(drift), Tone.MUTED)
    if drift.alarm is not None:
        return label, Cell(f"{drift.alarm}; {WHAT_TO_DO}", Tone.STRONG)
    if drift.level is DriftLevel.UNKNOWN:
        return label, Cell("transactions to compare; come back later", Tone.MUTED)
    if drift.level is DriftLevel.SHIFTING:
        return label, Cell("some features have moved; the scores as a whole still hold")
    return label, Cell(f"nothing has moved by {SHIFTING} or more", Tone.MUTED)


def _learning(drift: Drift) -> str:
    """What is still missing of what days are compared with."""
    if drift.settled_on is not None:
        return f"this site's first week, before {drift.settled_on:%m-%d}, is what later days are compared with"
    seen = f"{figures.integer(drift.watched)} of the {figures.integer(SITE_ROWS)} transactions"
    return f"{seen} seen by which it is decided what to compare with"


def _alert_shares(card: ModelCard) -> str:
    """How much of the traffic that it was calibrated on reaches the scores that alerts start at."""
    (first, *others) = (share for share in card.alert_shares if share.score >= LOWEST_ALERT)
    shares = [f"{figures.percent(first.stated)} score {first.score:.2f} or more"]
    return ", ".join([*shares, *(f"{figures.percent(each.stated)} {each.score:.2f}" for each in others)])


def _compared(drift: Drift | None) -> str:
    if drift is None:
        return "Features and scores by how far they have moved"
    against = "the training window"
    if drift.window is Window.SITE:
        against = "this site's first week" if drift.is_settled else f"this site's first {figures.integer(SITE_ROWS)}"
    days = f"{drift.since:%m-%d}" if drift.since == drift.until else f"{drift.since:%m-%d} to {drift.until:%m-%d}"
    return f"{days}, {figures.integer(drift.transactions)} transactions, against {against}"


def _moved(signal: SignalDrift) -> str:
    """The median, or where that is no different, the share that is not 0."""
    arrow = _DIRECTIONS[signal.direction]
    then, now = (_median(shape, signal.unit) for shape in (signal.then, signal.now))
    if then == now and signal.then.above_zero is not None and signal.now.above_zero is not None:
        return f"{arrow} {100 * signal.then.above_zero:.1f} % → {100 * signal.now.above_zero:.1f} % not 0"
    return f"{arrow} {then} → {now}"


def _moved_tone(signal: SignalDrift) -> Tone:
    return Tone.MUTED if signal.level in {DriftLevel.STABLE, DriftLevel.UNKNOWN} else Tone.PLAIN


def _median(shape: Shape, unit: str) -> str:
    return figures.quantity(round(shape.median, 2), unit)
