"""The audit log: who did what and when, each entry sealed by a hash over itself and the one before."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import orjson

from data.timestamps import from_microseconds, to_microseconds

FIRST_HASH = "0" * 64
"""What stands before the first entry."""

_SELECT = "SELECT id, at, actor, action, subject, before, after, previous_hash, hash FROM audit_log"


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did. ``before`` and ``after`` are the values that it changed, None where there was none."""

    actor: str
    action: str
    subject: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An act as it is kept."""

    id: int
    at: datetime
    act: Act
    hash: str


def record(connection: sqlite3.Connection, act: Act, now: datetime) -> None:
    """Append an act to the log, inside the caller's transaction: it is kept if, and only if, what it did is."""
    latest = connection.execute("SELECT id, hash FROM audit_log ORDER BY id DESC LIMIT 1").fetchone()
    entry_id, previous = (1, FIRST_HASH) if latest is None else (int(latest[0]) + 1, str(latest[1]))
    at = to_microseconds(now)
    connection.execute(
        "INSERT INTO audit_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry_id,
            at,
            act.actor,
            act.action,
            act.subject,
            act.before,
            act.after,
            previous,
            _seal(entry_id, at, act, previous),
        ),
    )


def latest_entries(reader: sqlite3.Connection, limit: int) -> tuple[AuditEntry, ...]:
    """The newest entries, newest first."""
    rows = reader.execute(f"{_SELECT} ORDER BY id DESC LIMIT ?", (limit,))
    return tuple(AuditEntry(row[0], from_microseconds(row[1]), Act(*row[2:7]), row[8]) for row in rows)


def first_broken(reader: sqlite3.Connection) -> int | None:
    """The number of the first entry that is edited, missing or out of its order; None where the chain holds.

    Entries that are cut off at the end show only beside a head that was noted elsewhere.
    """
    previous = FIRST_HASH
    for expected, row in enumerate(reader.execute(f"{_SELECT} ORDER BY id"), start=1):
        sealed = _seal(row[0], row[1], Act(*row[2:7]), previous)
        if (row[0], row[7], row[8]) != (expected, previous, sealed):
            return expected
        previous = sealed
    return None


def _seal(entry_id: int, at: int, act: Act, previous: str) -> str:
    fields = (entry_id, at, act.actor, act.action, act.subject, act.before, act.after, previous)
    return sha256(orjson.dumps(fields)).hexdigest()
