"""Labels: what turned out to be true, by chargeback, disposition or review. They are appended, never changed."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from data import audit
from data.models import LabelSource
from data.store import Store
from data.timestamps import from_microseconds, to_microseconds

_LABELS_PER_TRANSACTION = 2_000
"""So many labels are written at once, that an engine which writes to the same file is never kept waiting for long."""
_IDS_PER_LOOKUP = 500


class GivenLabel(NamedTuple):
    """A label as somebody gives it. ``line`` is where it stands in its file; ``known_at`` is in microseconds.

    Without ``known_at``, it is taken to be known ``LabelWriter``'s delay after its transaction.
    """

    line: int
    transaction_id: str
    fraud: bool
    known_at: int | None


class LabelProblem(StrEnum):
    """Why a label was not taken."""

    UNKNOWN_TRANSACTION = "unknown_transaction"
    CONTRADICTION = "contradiction"
    FROM_THE_FUTURE = "from_the_future"
    BEFORE_THE_TRANSACTION = "before_the_transaction"


class RefusedLabel(NamedTuple):
    """A label that was not taken, and why."""

    given: GivenLabel
    problem: LabelProblem
    detail: str


@dataclass(slots=True)
class LabelCounts:
    """What became of a file of labels: the first three were taken or stood there already, the others were refused."""

    fraud: int = 0
    honest: int = 0
    known_before: int = 0
    corrected: int = 0
    refused: list[RefusedLabel] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """Labels that were written."""
        return self.fraud + self.honest


class _Stored(NamedTuple):
    seq: int
    event_time: int
    fraud: bool | None
    source: str | None


class LabelWriter:
    """Writes labels under one actor's name, on a connection of its own."""

    def __init__(self, store: Store, actor: str) -> None:
        self._store = store
        self._actor = actor

    def add(
        self,
        labels: Iterable[GivenLabel],
        source: LabelSource,
        now: datetime,
        *,
        delay_us: int = 0,
        correct: bool = False,
    ) -> Iterator[LabelCounts]:
        """Write labels, some thousand at a time, and tell what became of each lot.

        A label that says what is known already changes nothing, but that a chargeback is kept beside a disposition, and
        holds when that is taken back. One that says the opposite is refused, unless
        ``correct`` asks for it to be replaced; the one before stays on record.

        Raises:
            StoreError: the database refused; the lots before are written.
        """
        given = iter(labels)
        with closing(self._store.analyst_writer()) as connection:
            while lot := list(islice(given, _LABELS_PER_TRANSACTION)):
                counts = LabelCounts()
                with self._store.transaction(connection):
                    _write_lot(connection, lot, source, self._actor, now, delay_us, correct, counts)
                    if counts.taken:
                        act = audit.Act(
                            self._actor,
                            f"labels.{source}",
                            f"{counts.taken} transactions",
                            after=f"lines {lot[0].line} to {lot[-1].line}",
                        )
                        audit.record(connection, act, now)
                yield counts


def write_label(
    connection: sqlite3.Connection,
    transaction_seq: int,
    fraud: bool | None,
    source: LabelSource,
    actor: str,
    now: datetime,
    known_at: int | None = None,
) -> None:
    """Append one label inside the caller's transaction; ``fraud`` None takes the one before back.

    Nothing is known before it happened, even where the source's clock is ahead of this one.

    Raises:
        LookupError: there is no such transaction.
    """
    at = to_microseconds(now)
    written = connection.execute(
        "INSERT INTO labels (transaction_seq, fraud, known_at, source, actor, added_at) "
        "SELECT seq, ?, max(?, event_time), ?, ?, ? FROM transactions WHERE seq = ?",
        (
            None if fraud is None else int(fraud),
            at if known_at is None else known_at,
            source.value,
            actor,
            at,
            transaction_seq,
        ),
    )
    if written.rowcount != 1:
        raise LookupError(f"there is no transaction {transaction_seq} to label")


def _write_lot(
    connection: sqlite3.Connection,
    lot: Sequence[GivenLabel],
    source: LabelSource,
    actor: str,
    now: datetime,
    delay_us: int,
    correct: bool,
    counts: LabelCounts,
) -> None:
    stored = _stored(connection, [given.transaction_id for given in lot])
    for given in lot:
        row = stored.get(given.transaction_id)
        if row is None:
            counts.refused.append(
                RefusedLabel(given, LabelProblem.UNKNOWN_TRANSACTION, "no transaction of this id is stored")
            )
            continue
        known_at = row.event_time + delay_us if given.known_at is None else given.known_at
        refused = _refusal(given, row, known_at, now, correct)
        if refused is not None:
            counts.refused.append(refused)
        elif row.fraud is given.fraud:
            counts.known_before += 1
            if source is LabelSource.CHARGEBACK and row.source != LabelSource.CHARGEBACK:
                # The bank now vouches for it, whatever becomes of the disposition.
                write_label(connection, row.seq, given.fraud, source, actor, now, known_at)
                stored[given.transaction_id] = row._replace(source=source.value)
        else:
            write_label(connection, row.seq, given.fraud, source, actor, now, known_at)
            stored[given.transaction_id] = row._replace(fraud=given.fraud, source=source.value)
            counts.corrected += row.fraud is not None
            counts.fraud += given.fraud
            counts.honest += not given.fraud


def _refusal(given: GivenLabel, row: _Stored, known_at: int, now: datetime, correct: bool) -> RefusedLabel | None:
    if known_at > to_microseconds(now):
        detail = f"it is said to be known at {_moment(known_at)}, which is still to come"
        return RefusedLabel(given, LabelProblem.FROM_THE_FUTURE, detail)
    if known_at < row.event_time:
        detail = f"it is said to be known at {_moment(known_at)}, before the transaction at {_moment(row.event_time)}"
        return RefusedLabel(given, LabelProblem.BEFORE_THE_TRANSACTION, detail)
    if row.fraud not in (None, given.fraud) and not correct:
        detail = f"a {row.source} says {'fraud' if row.fraud else 'honest'}"
        return RefusedLabel(given, LabelProblem.CONTRADICTION, detail)
    return None


def _stored(connection: sqlite3.Connection, transaction_ids: Sequence[str]) -> dict[str, _Stored]:
    stored: dict[str, _Stored] = {}
    for start in range(0, len(transaction_ids), _IDS_PER_LOOKUP):
        ids = transaction_ids[start : start + _IDS_PER_LOOKUP]
        marks = ",".join("?" * len(ids))
        rows = connection.execute(
            "SELECT t.transaction_id, t.seq, t.event_time, l.fraud, l.source FROM transactions t "  # noqa: S608 - only question marks are put in
            f"LEFT JOIN current_labels l ON l.transaction_seq = t.seq WHERE t.transaction_id IN ({marks})",
            ids,
        )
        for transaction_id, seq, event_time, fraud, source in rows:
            stored[transaction_id] = _Stored(seq, event_time, None if fraud is None else bool(fraud), source)
    return stored


def _moment(microseconds: int) -> str:
    return from_microseconds(microseconds).isoformat(timespec="seconds")
