"""The Models screen: what learnt from labels, who decides and who competes, and when the next training is due."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from data.model_registry import RegisteredModel, RoleChange, last_training, models
from data.models import ModelRole
from data.queries.labels import LabelTotals, label_totals, latest_label_id, open_reviews
from data.timestamps import from_microseconds
from engine.comparison import FIGURE_TITLES, Comparison, trial_of
from engine.messages import TrainingState
from engine.ranker import RankerCard
from engine.training_need import TrainingNeed, training_need
from screens import actions, figures
from screens.role_changes import Roles, RolesScreen, read_roles
from screens.routes import OpenComparison
from screens.tones import ROLE_TONES, Tone, role_label, words
from screens.widgets.columns import Cell, Column
from screens.widgets.panel import Block, Panel, facts, line, lines
from screens.widgets.record_list import RecordList

EMPTY = (
    "No model has learnt from labels yet.\n"
    "Settle alerts, or import chargebacks with `sentinel-tui label FILE`;\n"
    "then t trains one."
)
FIGURE_CELLS = 38
"""Of one figure before and after the arrow; two of them stand side by side in 80 columns."""
_TITLE_CELLS = 1 + max(map(len, FIGURE_TITLES.values()))


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model as the list shows it."""

    model: RegisteredModel
    role: ModelRole | None
    card: RankerCard
    trial: Comparison | None


MODEL_COLUMNS: tuple[Column[ModelLine], ...] = (
    Column("Role", 12, lambda row: Cell(role_label(row.role), ROLE_TONES[row.role])),
    Column("Version", 21, lambda row: Cell(row.model.version, Tone.STRONG)),
    Column("Trained UTC", 16, lambda row: Cell(f"{row.model.trained_at:%Y-%m-%d %H:%M}", Tone.MUTED)),
    Column("AP", 5, lambda row: Cell(_tried(row, "average_precision")), right=True),
    Column("AUC", 5, lambda row: Cell(_tried(row, "auc_roc")), right=True),
    Column("Frauds", 7, lambda row: Cell(figures.integer(row.card.training_frauds)), right=True),
    Column("Rows", 9, lambda row: Cell(figures.integer(row.card.training_rows)), right=True, rank=1),
    Column("By", 10, lambda row: Cell(row.model.trained_by), grow=1, rank=2),
    Column("Data", 24, lambda row: Cell(_days(row.card), Tone.MUTED), rank=3),
)


class ModelsScreen(RolesScreen):
    """Below the list stands what is known of the model under the cursor."""

    MODE = "model"
    CSS_PATH = "models.tcss"
    RELOAD_TICKS = 8
    BINDINGS: ClassVar[list[BindingType]] = list(actions.bindings(*actions.MODELS))

    _counted_at: tuple[int, datetime | None] | None = None
    _due = ""

    def compose_body(self) -> Iterable[Widget]:
        self._models = RecordList(MODEL_COLUMNS, lambda row: row.model.id, opens=False, empty=EMPTY, id="models")
        yield Block(id="models-roles")
        yield Block(id="models-labels")
        # Held, not looked up: a tick may find the screen being taken down.
        self._training = Block(id="models-training")
        yield self._training
        yield self._models
        yield Panel("The model under the cursor", id="models-one")

    def on_mount(self) -> None:
        self._models.focus()

    def load(self, reader: sqlite3.Connection) -> None:
        roles = read_roles(reader)
        self._count_labels(reader)
        self._models.show(
            [
                ModelLine(model, roles.held.role_of(model), RankerCard.model_validate_json(model.card), trial_of(model))
                for model in models(reader)
            ]
        )
        self._show_one()
        self.query_one("#models-roles", Block).show(lines(_role_lines(roles)))
        self.keep_roles(roles)

    def show_engine(self) -> None:
        super().show_engine()
        self._show_training()

    def on_record_list_moved(self) -> None:
        self._show_one()

    def action_compare(self) -> None:
        self.post_message(OpenComparison())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """As for the roles; without a challenger there is nothing to compare."""
        return super().check_action("promote" if action == "compare" else action, parameters)

    def _count_labels(self, reader: sqlite3.Connection) -> None:
        """Counting takes a while where there are many labels, and they change seldom."""
        trained_at = last_training(reader)
        counted_at = (latest_label_id(reader), trained_at)
        if counted_at != self._counted_at:
            self._totals = label_totals(reader)
            self._need = training_need(reader, trained_at)
            self._counted_at = counted_at
        self._due = f"{_due(self._need)}; {figures.integer(open_reviews(reader))} to review"
        self.query_one("#models-labels", Block).show(_label_line(self._totals))
        self._show_training()

    def _show_training(self) -> None:
        training = self.workbench.training
        if training is None or training.state is TrainingState.FINISHED:
            self._training.show(line(Cell(f" {self._due}", Tone.MUTED)))
        elif training.state is TrainingState.RUNNING:
            self._training.show(line(Cell(f" Training … {int(100 * training.fraction_done)} %", Tone.MEDIUM)))
        else:
            self._training.show(line(Cell(f" {training.notice}", Tone.MEDIUM)))

    def _show_one(self) -> None:
        row = self._models.cursor_record
        panel = self.query_one("#models-one", Panel)
        panel.display = row is not None
        if row is not None:
            panel.show(lines(_known_of(row)))


def _role_lines(roles: Roles) -> Iterator[Content]:
    for role, holder, nobody in (
        (ModelRole.CHAMPION, roles.held.champion, "The anomaly model decides alone"),
        (ModelRole.CHALLENGER, roles.held.challenger, "Nobody competes"),
    ):
        if holder is None:
            yield line(Cell(f" {nobody}", Tone.MUTED))
        else:
            yield line(
                Cell(f" {role_label(role)} ", ROLE_TONES[role]),
                Cell(holder.version, Tone.STRONG),
                Cell(f" {_since(roles.latest[role])}", Tone.MUTED),
            )


def _since(change: RoleChange) -> str:
    if change.applied_seq is None:
        return f"from the engine's next batch on, by {change.actor}"
    return f"since {change.decided_at:%Y-%m-%d %H:%M} UTC, by {change.actor}"


def _label_line(totals: LabelTotals) -> Content:
    by_source = "  ".join(f"{figures.integer(count)} {words(source)}" for source, count in totals.by_source)
    return line(
        Cell(" Labels ", Tone.MUTED),
        Cell(f"{figures.integer(totals.fraud)} fraud  {figures.integer(totals.honest)} honest", Tone.STRONG),
        Cell(f"   {by_source}", Tone.MUTED),
    )


def _due(need: TrainingNeed) -> str:
    """When a training is worth its time."""
    if need.missing_frauds:
        return f"A training is due when {figures.integer(need.missing_frauds)} more frauds are known"
    if need.missing_labels:
        return f"A training is due after {figures.integer(need.missing_labels)} more labels"
    return f"A training is due, {figures.integer(need.added)} labels after the last"


def _known_of(row: ModelLine) -> Iterator[Content]:
    card, trial = row.card, row.trial
    known = [
        (
            "Trained",
            Cell(f"{figures.full_moment(row.model.trained_at)}, {card.trees} trees, by {row.model.trained_by}"),
        ),
        (
            "On",
            Cell(
                f"{_days(card)}, {figures.integer(card.training_rows)} transactions, "
                f"{figures.integer(card.training_frauds)} fraud"
            ),
        ),
    ]
    if trial is None:
        yield facts((*known, ("Trial", Cell("none: too little was known before the latest days", Tone.MUTED))))
        return
    first, last = from_microseconds(trial.first), from_microseconds(trial.last)
    days = (
        f"{first:%m-%d} to {last:%m-%d}, {figures.integer(trial.rows)} transactions, "
        f"{figures.integer(trial.frauds)} fraud; decided then → it"
    )
    yield facts((*known, ("Trial", Cell(days))))
    told = [_told(trial, name) for name in FIGURE_TITLES]
    for first_of_line in range(0, len(told), 2):
        yield line(*(cell for pair in told[first_of_line : first_of_line + 2] for cell in pair))


def _told(trial: Comparison, name: str) -> tuple[Cell, Cell, Cell]:
    """One figure before and after the arrow, in ``FIGURE_CELLS``."""
    then, now = (figures.measure(side.figure(name)) for side in (trial.champion, trial.challenger))
    return (
        Cell(FIGURE_TITLES[name].ljust(_TITLE_CELLS), Tone.MUTED),
        Cell(f"{then:>6} → "),
        Cell(now.ljust(FIGURE_CELLS - _TITLE_CELLS - 9), Tone.STRONG),
    )


def _tried(row: ModelLine, name: str) -> str:
    return figures.measure(None if row.trial is None else row.trial.challenger.figure(name))


def _days(card: RankerCard) -> str:
    return f"{card.data_from:%Y-%m-%d} to {card.data_to:%Y-%m-%d}"
