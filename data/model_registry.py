"""The models that learn from labels: which there are, and which of them decides or competes. Roles are appended."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from data import audit
from data.errors import StoreError
from data.models import ModelRole
from data.store import Store
from data.timestamps import from_microseconds, to_microseconds

UNSUPERVISED = "anomaly model"
"""What the anomaly model is called where it decides alone."""


class ModelChoiceError(StoreError):
    """The choice of a model makes no sense as things stand; nothing was written."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model that was trained. ``card`` and ``figures`` are JSON objects; ``file`` is a name in the models folder."""

    id: int
    version: str
    file: str
    card: str
    figures: str
    trained_by: str
    trained_at: datetime


@dataclass(frozen=True, slots=True)
class RoleChange:
    """Who gave a role to which model, and when; None leaves the role empty.

    ``applied_seq`` is the last transaction that was scored before the engine followed, None where it has not yet.
    """

    id: int
    role: ModelRole
    version: str | None
    actor: str
    decided_at: datetime
    applied_seq: int | None


class RoleHolders(NamedTuple):
    """The models in the two roles, None where the anomaly model decides alone, or nobody competes."""

    champion: RegisteredModel | None
    challenger: RegisteredModel | None

    def role_of(self, model: RegisteredModel) -> ModelRole | None:
        """The role that a model holds, None for none."""
        for role, holder in zip((ModelRole.CHAMPION, ModelRole.CHALLENGER), self, strict=True):
            if holder is not None and holder.id == model.id:
                return role
        return None


_ROLLBACK = "model.rollback"
_MODEL = "SELECT id, version, file, card, figures, trained_by, trained_at FROM models"


def models(reader: sqlite3.Connection) -> tuple[RegisteredModel, ...]:
    """All models, the newest first."""
    return tuple(_model(row) for row in reader.execute(f"{_MODEL} ORDER BY id DESC"))


def last_training(reader: sqlite3.Connection) -> datetime | None:
    """When the last model was trained that is registered, None where there is none."""
    (at,) = reader.execute("SELECT max(trained_at) FROM models").fetchone()
    return None if at is None else from_microseconds(at)


def model(reader: sqlite3.Connection, version: str) -> RegisteredModel | None:
    """The model of a version, None where none is registered."""
    row = reader.execute(f"{_MODEL} WHERE version = ?", (version,)).fetchone()
    return None if row is None else _model(row)


def holders(reader: sqlite3.Connection) -> RoleHolders:
    """The models that hold the roles by the latest decisions, whether or not the engine has followed."""
    return RoleHolders(_holder(reader, ModelRole.CHAMPION), _holder(reader, ModelRole.CHALLENGER))


def holders_at(reader: sqlite3.Connection, seq: int) -> RoleHolders:
    """The models that the engine followed when it had scored transaction ``seq``."""
    condition = "AND applied_seq < ?"
    return RoleHolders(
        _holder(reader, ModelRole.CHAMPION, condition, (seq,)), _holder(reader, ModelRole.CHALLENGER, condition, (seq,))
    )


def predecessor(reader: sqlite3.Connection) -> RegisteredModel | None:
    """Who decides again when the present champion is rolled back; None for the anomaly model alone."""
    return _before(reader)


def latest_role_id(reader: sqlite3.Connection) -> int:
    """The number of the latest decision on roles, 0 where there was none."""
    return int(reader.execute("SELECT coalesce(max(id), 0) FROM model_roles").fetchone()[0])


def role_changes(reader: sqlite3.Connection) -> tuple[RoleChange, ...]:
    """All decisions on roles, the newest first."""
    rows = reader.execute(
        "SELECT r.id, r.role, m.version, r.actor, r.decided_at, r.applied_seq "
        "FROM model_roles r LEFT JOIN models m ON m.id = r.model_id ORDER BY r.id DESC"
    )
    return tuple(
        RoleChange(row[0], ModelRole(row[1]), row[2], row[3], from_microseconds(row[4]), row[5]) for row in rows
    )


class ModelRegistry:
    """Writes under one actor's name, audited; the engine follows at its next batch."""

    def __init__(self, store: Store, actor: str) -> None:
        self._store = store
        self._actor = actor

    def register(
        self, version: str, file: str, card: str, figures: str, memory: tuple[int, bytes], now: datetime
    ) -> None:
        """Enter a trained model and let it compete as the challenger.

        ``memory`` is what the engine must remember to serve it: the number of the last transaction that it contains,
        and the state. A model of a version that is known already is entered once.

        Raises:
            StoreError: the database refused; nothing was written.
        """
        with closing(self._store.analyst_writer()) as connection, self._store.transaction(connection):
            connection.execute(
                "INSERT INTO models (version, file, card, figures, trained_by, trained_at) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (version) DO UPDATE SET figures = excluded.figures",
                (version, file, card, figures, self._actor, to_microseconds(now)),
            )
            connection.execute(
                "INSERT INTO ranker_memory VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE "
                "SET seq = excluded.seq, state = excluded.state WHERE excluded.seq > ranker_memory.seq",
                memory,
            )
            trained = _named(connection, version)
            champion, challenger = _holder(connection, ModelRole.CHAMPION), _holder(connection, ModelRole.CHALLENGER)
            if trained not in (champion, challenger):
                self._give(connection, ModelRole.CHALLENGER, challenger, trained, "model.train", now)

    def promote(self, version: str | None, now: datetime, as_of: int | None = None) -> str:
        """Let a model decide: the challenger, unless ``version`` names another. The challenger's role is then empty.

        ``as_of`` is the latest decision on roles (``latest_role_id``) that whoever promotes knows of; None for all.

        Returns:
            The version of the new champion.

        Raises:
            ModelChoiceError: there is no such model, no challenger, it decides already, or somebody else has decided
                since ``as_of``.
            StoreError: the database refused; nothing was written.
        """
        with closing(self._store.analyst_writer()) as connection, self._store.transaction(connection):
            _refuse_if_changed(connection, as_of)
            champion, challenger = _holder(connection, ModelRole.CHAMPION), _holder(connection, ModelRole.CHALLENGER)
            chosen = challenger if version is None else _named(connection, version)
            if chosen is None:
                raise ModelChoiceError("there is no challenger to promote: train one with `sentinel-tui model train`")
            if champion is not None and champion.id == chosen.id:
                raise ModelChoiceError(f"{chosen.version} is the champion already")
            self._give(connection, ModelRole.CHAMPION, champion, chosen, "model.promote", now)
            if challenger is not None and challenger.id == chosen.id:
                self._give(connection, ModelRole.CHALLENGER, challenger, None, "model.promote", now)
        return chosen.version

    def rollback(self, now: datetime, as_of: int | None = None) -> str:
        """Give the decision back to who had it before the present champion; the anomaly model alone at the last.

        ``as_of`` as in ``promote``.

        Returns:
            The version that decides now, or ``UNSUPERVISED``.

        Raises:
            ModelChoiceError: no model has been promoted, so that there is nothing to go back from, or somebody else
                has decided since ``as_of``.
            StoreError: the database refused; nothing was written.
        """
        with closing(self._store.analyst_writer()) as connection, self._store.transaction(connection):
            _refuse_if_changed(connection, as_of)
            champion = _holder(connection, ModelRole.CHAMPION)
            if champion is None:
                raise ModelChoiceError("the anomaly model decides alone: there is no champion to go back from")
            before = _before(connection)
            self._give(connection, ModelRole.CHAMPION, champion, before, _ROLLBACK, now)
        return UNSUPERVISED if before is None else before.version

    def _give(
        self,
        connection: sqlite3.Connection,
        role: ModelRole,
        before: RegisteredModel | None,
        after: RegisteredModel | None,
        action: str,
        now: datetime,
    ) -> None:
        connection.execute(
            "INSERT INTO model_roles (role, model_id, undoes, actor, decided_at) VALUES (?, ?, ?, ?, ?)",
            (
                role.value,
                None if after is None else after.id,
                int(action == _ROLLBACK),
                self._actor,
                to_microseconds(now),
            ),
        )
        nobody = UNSUPERVISED if role is ModelRole.CHAMPION else None
        versions = (nobody if model is None else model.version for model in (before, after))
        audit.record(connection, audit.Act(self._actor, action, role.value, *versions), now)


def _refuse_if_changed(connection: sqlite3.Connection, as_of: int | None) -> None:
    """Two analysts who decide at once must not undo each other's decision unseen."""
    if as_of is not None and as_of != latest_role_id(connection):
        raise ModelChoiceError("somebody else has given the roles meanwhile: look at them again, then decide")


def _named(connection: sqlite3.Connection, version: str) -> RegisteredModel:
    found = model(connection, version)
    if found is None:
        raise ModelChoiceError(f"there is no model {version[:60]!r}: `sentinel-tui model list` shows those there are")
    return found


def _holder(
    connection: sqlite3.Connection, role: ModelRole, condition: str = "", parameters: tuple[int, ...] = ()
) -> RegisteredModel | None:
    row = connection.execute(
        f"SELECT model_id FROM model_roles WHERE role = ? {condition} ORDER BY id DESC LIMIT 1",  # noqa: S608 - a condition of this module
        (role.value, *parameters),
    ).fetchone()
    if row is None or row[0] is None:
        return None
    return _model(connection.execute(f"{_MODEL} WHERE id = ?", (row[0],)).fetchone())


def _before(connection: sqlite3.Connection) -> RegisteredModel | None:
    """Who had decided before the present champion was promoted, promotions that were undone left out."""
    reigns: list[int] = []
    rows = connection.execute("SELECT model_id, undoes FROM model_roles WHERE role = 'champion' ORDER BY id")
    for model_id, undoes in rows:
        if undoes:
            reigns.pop()
        else:
            reigns.append(model_id)
    if len(reigns) < 2:
        return None
    return _model(connection.execute(f"{_MODEL} WHERE id = ?", (reigns[-2],)).fetchone())


def _model(row: tuple[int, str, str, str, str, str, int]) -> RegisteredModel:
    return RegisteredModel(row[0], row[1], row[2], row[3], row[4], row[5], from_microseconds(row[6]))
