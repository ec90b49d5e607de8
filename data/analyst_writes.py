"""What analysts write: each act is committed, durably, the moment it is taken."""

import sqlite3
from contextlib import closing
from datetime import datetime

from data.models import Role, User
from data.store import Store
from data.timestamps import from_microseconds, to_microseconds

_THEME = "theme"


class AnalystWriter:
    """Writes under one analyst's name, on a connection opened for each act."""

    def __init__(self, store: Store, analyst: str) -> None:
        self._store = store
        self.analyst = analyst

    def sign_in(self, now: datetime) -> User:
        """Register the analyst at the first sign-in; later ones find the same user.

        Raises:
            StoreError: the database refused; nothing was written.
        """
        with closing(self._store.analyst_writer()) as connection:
            known = _user(connection, self.analyst)
            if known is not None:
                return known
            with self._store.transaction(connection):
                connection.execute(
                    "INSERT INTO users (name, role, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
                    (self.analyst, Role.ANALYST.value, to_microseconds(now)),
                )
            user = _user(connection, self.analyst)
        if user is None:
            raise LookupError(f"user {self.analyst} vanished between two statements")
        return user

    def choose_theme(self, theme: str, now: datetime) -> None:
        """Remember the analyst's theme for the next time.

        Raises:
            StoreError: the database refused; nothing was written.
        """
        with closing(self._store.analyst_writer()) as connection, self._store.transaction(connection):
            connection.execute(
                "INSERT INTO settings VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET value = excluded.value, updated_by = excluded.updated_by, updated_at = excluded.updated_at",
                (_theme_key(self.analyst), theme, self.analyst, to_microseconds(now)),
            )

    def chosen_theme(self) -> str | None:
        """The theme the analyst chose last, None when there was no choice yet."""
        with closing(self._store.reader()) as connection:
            row = connection.execute("SELECT value FROM settings WHERE key = ?", (_theme_key(self.analyst),)).fetchone()
        return None if row is None else str(row[0])


def _theme_key(analyst: str) -> str:
    return f"{_THEME}:{analyst}"


def _user(connection: sqlite3.Connection, name: str) -> User | None:
    row = connection.execute("SELECT id, name, role, created_at FROM users WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    return User(id=row[0], name=row[1], role=Role(row[2]), created_at=from_microseconds(row[3]))
