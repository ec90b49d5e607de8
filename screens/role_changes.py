"""What the screens about models share: training, and giving the roles after a question, off the app's thread."""

import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from textual.message import Message

from data.errors import SentinelError
from data.model_registry import (
    RegisteredModel,
    RoleChange,
    RoleHolders,
    holders,
    latest_role_id,
    predecessor,
    role_changes,
)
from data.models import ModelRole
from engine.comparison import FIGURE_TITLES, Comparison, trial_of
from engine.messages import TrainingState
from screens import figures, safe
from screens.base import DataScreen
from screens.confirm import ConfirmScreen

log = logging.getLogger(__name__)

ANOMALY_MODEL = "the anomaly model"
NOBODY_SIGNED_IN = "Nobody is signed in: open the database with sentinel-tui --database FILE"
_FAILED = "It could not be stored; the log says why"
_TOLD = ("average_precision", "auc_roc", "recall_at_budget", "value_caught", "alerts_per_day")


class Roles(NamedTuple):
    """Who holds which role, by which decisions; ``before`` decides again after a rollback. ``as_of`` is the latest."""

    held: RoleHolders
    before: RegisteredModel | None
    latest: dict[ModelRole, RoleChange]
    as_of: int


def read_roles(reader: sqlite3.Connection) -> Roles:
    """The roles as they are."""
    latest: dict[ModelRole, RoleChange] = {}
    for change in role_changes(reader):
        latest.setdefault(change.role, change)
    return Roles(holders(reader), predecessor(reader), latest, latest_role_id(reader))


class RolesScreen(DataScreen[None]):
    """A screen that offers to train, to promote and to roll back. Subclasses call ``keep_roles`` when they load."""

    class Decided(Message):
        """What a decision on roles came to."""

        def __init__(self, text: str, *, done: bool) -> None:
            super().__init__()
            self.text = text
            self.done = done

    _roles: Roles | None = None
    _offered_beside: tuple[bool, ...] = ()

    def keep_roles(self, roles: Roles) -> None:
        """Remember the roles that are on show, which the next decision is made on."""
        self._roles = roles
        self.offer_roles(*self._offered_beside)

    def offer_roles(self, *beside: bool) -> None:
        """Have the keys shown again if what is possible has changed, ``beside`` being what the subclass offers."""
        self._offered_beside = beside
        self.offer(*beside, *(self.check_action(action, ()) is True for action in ("train", "promote", "roll_back")))

    def show_engine(self) -> None:
        self.offer_roles(*self._offered_beside)

    def action_back(self) -> None:
        self.dismiss(None)

    def action_train(self) -> None:
        models = self.workbench.models
        if models is None:
            self._tell(NOBODY_SIGNED_IN, severity="warning")
        elif not models.train():
            self._tell("A model is being trained already", severity="warning")

    def action_promote(self) -> None:
        roles = self._roles
        if roles is None or roles.held.challenger is None:
            return
        challenger = roles.held.challenger
        self._ask(
            f"Let {challenger.version} decide?",
            [
                f"It takes the place of {name_of(roles.held.champion)}, from the engine's next batch on.",
                *self._what_is_known(challenger),
            ],
            lambda: self._promote(challenger.version, roles.as_of),
        )

    def action_roll_back(self) -> None:
        roles = self._roles
        if roles is None or roles.held.champion is None:
            return
        champion = roles.held.champion
        promoted = roles.latest[ModelRole.CHAMPION]
        self._ask(
            f"Let {name_of(roles.before)} decide again?",
            [
                f"It takes the place of {champion.version}, which {promoted.actor} chose on "
                f"{figures.full_moment(promoted.decided_at)}, from the engine's next batch on.",
                *_in_trial(champion, f"In the trial of {champion.version}", backwards=True),
            ],
            lambda: self._roll_back(roles.as_of),
        )

    def on_roles_screen_decided(self, message: Decided) -> None:
        self._tell(message.text, severity="information" if message.done else "warning")
        self.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        held = RoleHolders(None, None) if self._roles is None else self._roles.held
        match action:
            case "train":
                return not self._is_training
            case "promote":
                return held.challenger is not None
            case "roll_back":
                return held.champion is not None
            case _:
                return True

    @property
    def _is_training(self) -> bool:
        training = self.workbench.training
        return training is not None and training.state is TrainingState.RUNNING

    def _ask(self, question: str, consequences: list[str], decide: Callable[[], str]) -> None:
        if self.workbench.models is None:
            self._tell(NOBODY_SIGNED_IN, severity="warning")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(partial(self._decide, decide), thread=True, exit_on_error=False)

        self.app.push_screen(ConfirmScreen(question, consequences), answered)

    def _decide(self, decide: Callable[[], str]) -> None:
        """On a thread of its own: whatever comes of it becomes a message."""
        try:
            self.post_message(self.Decided(f"{decide()} decides from the engine's next batch on", done=True))
        except SentinelError as error:
            self.post_message(self.Decided(f"Nothing was changed: {error}", done=False))
        except Exception:
            log.exception("a decision on roles could not be stored")
            self.post_message(self.Decided(_FAILED, done=False))

    def _promote(self, version: str, as_of: int) -> str:
        if self.workbench.models is None:
            raise RuntimeError("nobody is signed in")
        return self.workbench.models.registry.promote(version, self.workbench.clock(), as_of)

    def _roll_back(self, as_of: int) -> str:
        if self.workbench.models is None:
            raise RuntimeError("nobody is signed in")
        return self.workbench.models.registry.rollback(self.workbench.clock(), as_of)

    def _what_is_known(self, challenger: RegisteredModel) -> tuple[str, ...]:
        """How the challenger does: in shadow where that has been compared, or else in its trial."""
        compared = self.workbench.compared
        if compared is None or compared.challenger != challenger.version or compared.comparison is None:
            return _in_trial(challenger, "In its trial")
        return _told("In shadow", compared.comparison)

    def _tell(self, text: str, *, severity: str) -> None:
        self.app.notify(
            safe.clean(text), severity="information" if severity == "information" else "warning", markup=False
        )


def name_of(model: RegisteredModel | None) -> str:
    """A model's version; None is the anomaly model."""
    return ANOMALY_MODEL if model is None else model.version


def _in_trial(model: RegisteredModel, where: str, *, backwards: bool = False) -> tuple[str, ...]:
    trial = trial_of(model)
    return (f"{model.version} had no trial.",) if trial is None else _told(where, trial, backwards=backwards)


def _told(where: str, comparison: Comparison, *, backwards: bool = False) -> tuple[str, ...]:
    """The figures that a decision is made by, before the arrow of what decides now, after it of what is to decide.

    ``backwards`` is for a rollback, where the challenger of the comparison decides now.
    """
    width = max(len(FIGURE_TITLES[name]) for name in _TOLD)
    sides = (comparison.champion, comparison.challenger)
    now, then = reversed(sides) if backwards else sides
    return (
        f"{where}, {comparison.days} days with {figures.integer(comparison.frauds)} frauds:",
        *(
            f"  {FIGURE_TITLES[name]:<{width}} {figures.measure(now.figure(name)):>6} → "
            f"{figures.measure(then.figure(name))}"
            for name in _TOLD
        ),
    )
