"""What analysts find: each disposition of an alert, a case or a sampled transaction is a label to learn from."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime

from data import audit
from data.errors import StoreError
from data.label_writes import write_label
from data.models import ActivityType, AlertStatus, CaseStatus, Disposition, LabelSource
from data.store import Store
from data.timestamps import to_microseconds

_FRAUD: dict[Disposition, bool | None] = {
    Disposition.CONFIRMED_FRAUD: True,
    Disposition.FALSE_POSITIVE: False,
    Disposition.CUSTOMER_ERROR: False,
    Disposition.INCONCLUSIVE: None,
}
"""What a disposition says of the transaction; an inconclusive one says nothing."""


PATIENCE_S = 5.0
"""How long a decision waits for its turn to be written, before its writer hears that it could not be."""


def status_after(disposition: Disposition | None) -> AlertStatus:
    """The status that a disposition gives an alert; without one it is new."""
    if disposition is None:
        return AlertStatus.NEW
    return AlertStatus.FALSE_POSITIVE if disposition is Disposition.FALSE_POSITIVE else AlertStatus.RESOLVED


class ChangedMeanwhileError(StoreError):
    """Another analyst was faster; nothing was written."""


class ContradictedError(StoreError):
    """A chargeback says otherwise; nothing was written."""


class DispositionWriter:
    """Writes under one analyst's name; each act is committed, durably, the moment it is taken, and audited.

    Where another process keeps the right to write for ``patience_s``, that is a StoreError.
    """

    def __init__(self, store: Store, analyst: str, patience_s: float = PATIENCE_S) -> None:
        self._store = store
        self._analyst = analyst
        self._patience_s = patience_s

    def dispose_alert(self, alert_id: int, version: int, disposition: Disposition | None, now: datetime) -> None:
        """Settle an alert, or with None take its disposition back; ``version`` is that of the alert as it was shown.

        Raises:
            ChangedMeanwhileError: the alert is not what was shown any more.
            ContradictedError: a chargeback says the opposite.
            StoreError: the database refused; nothing was written.
        """
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT transaction_seq, disposition, version, case_id FROM alerts WHERE id = ?", (alert_id,)
            ).fetchone()
            if row is None or row[2] != version:
                raise ChangedMeanwhileError(f"alert {alert_id} was changed by somebody else: look at it again")
            self._dispose(connection, alert_id, row[0], row[1], disposition, now)

    def dispose_case(self, case_id: int, version: int, disposition: Disposition, now: datetime) -> int:
        """Resolve a case, and settle those of its alerts that have no disposition of their own.

        Returns:
            How many alerts it settled.

        Raises:
            ChangedMeanwhileError, ContradictedError, StoreError: as ``dispose_alert``.
        """
        with self._transaction() as connection:
            row = connection.execute("SELECT version, status FROM cases WHERE id = ?", (case_id,)).fetchone()
            if row is None or row[0] != version or not CaseStatus(row[1]).is_active:
                raise ChangedMeanwhileError(f"case {case_id} was changed by somebody else: look at it again")
            alerts = connection.execute(
                "SELECT id, transaction_seq FROM alerts WHERE case_id = ? AND disposition IS NULL ORDER BY id",
                (case_id,),
            ).fetchall()
            for alert_id, transaction_seq in alerts:
                self._dispose(connection, alert_id, transaction_seq, None, disposition, now)
            at = to_microseconds(now)
            connection.execute(
                "UPDATE cases SET status = 'resolved', disposition = ?, resolved_at = ?, updated_at = ?, "
                "version = version + 1 WHERE id = ?",
                (disposition.value, at, at, case_id),
            )
            connection.execute(
                "INSERT INTO case_activities (case_id, type, actor, at, detail) VALUES (?, ?, ?, ?, ?)",
                (
                    case_id,
                    ActivityType.RESOLVED.value,
                    self._analyst,
                    at,
                    f"{disposition.value.replace('_', ' ')}; {len(alerts)} alerts settled with it",
                ),
            )
            act = audit.Act(self._analyst, "case.dispose", f"case {case_id}", str(row[1]), disposition.value)
            audit.record(connection, act, now)
        return len(alerts)

    def review(self, transaction_seq: int, shown: bool | None, fraud: bool | None, now: datetime) -> None:
        """Say what a sampled transaction was; None takes it back. ``shown`` is what was known of it to who decided.

        Raises:
            ChangedMeanwhileError: somebody else has judged it otherwise.
            ContradictedError: a chargeback says the opposite.
            StoreError: the database refused; nothing was written.
        """
        with self._transaction() as connection:
            before, after = self._label(connection, transaction_seq, fraud, LabelSource.REVIEW, now)
            if before not in (shown, fraud):
                raise ChangedMeanwhileError(
                    f"somebody else has judged transaction {transaction_seq} to be {_word(before)}"
                )
            act = audit.Act(
                self._analyst, "transaction.review", f"transaction {transaction_seq}", _word(before), _word(after)
            )
            audit.record(connection, act, now)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with (
            closing(self._store.analyst_writer()) as connection,
            self._store.transaction(connection, self._patience_s),
        ):
            yield connection

    def _dispose(
        self,
        connection: sqlite3.Connection,
        alert_id: int,
        transaction_seq: int,
        before: str | None,
        disposition: Disposition | None,
        now: datetime,
    ) -> None:
        connection.execute(
            "UPDATE alerts SET status = ?, disposition = ?, version = version + 1 WHERE id = ?",
            (status_after(disposition).value, None if disposition is None else disposition.value, alert_id),
        )
        fraud = None if disposition is None else _FRAUD[disposition]
        self._label(connection, transaction_seq, fraud, LabelSource.DISPOSITION, now)
        after = None if disposition is None else disposition.value
        audit.record(connection, audit.Act(self._analyst, "alert.dispose", f"alert {alert_id}", before, after), now)

    def _label(
        self,
        connection: sqlite3.Connection,
        transaction_seq: int,
        fraud: bool | None,
        source: LabelSource,
        now: datetime,
    ) -> tuple[bool | None, bool | None]:
        """Append a label where it changes what is known; what was known before, and what is now."""
        row = connection.execute(
            "SELECT fraud, source FROM current_labels WHERE transaction_seq = ?", (transaction_seq,)
        ).fetchone()
        before = None if row is None else bool(row[0])
        if row is not None and row[1] == LabelSource.CHARGEBACK:
            if fraud not in (None, before):
                raise ContradictedError(
                    f"a chargeback says that transaction {transaction_seq} was {_word(before)}: "
                    "correct it with `sentinel-tui label --correct` if that is wrong"
                )
            return before, before
        if fraud is not before:
            write_label(connection, transaction_seq, fraud, source, self._analyst, now)
        return before, fraud


def _word(fraud: bool | None) -> str | None:
    return None if fraud is None else "fraud" if fraud else "honest"
