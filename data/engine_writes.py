"""The engine's one write path: everything of a batch, its position included, in one transaction."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from data.batches import MAX_DEAD_LETTER_BYTES, BatchResult, Commit, KnownTransaction, ScoredTransaction, TakenIn
from data.case_opening import CaseOpener, CaseTrigger
from data.drift import add_to_drift
from data.errors import StoreError
from data.models import RiskLevel
from data.rollups import add_to_customers, add_to_rollups
from data.store import Store
from data.timestamps import to_microseconds
from data.wal_checkpointer import WalCheckpointer

_IDS_PER_LOOKUP = 500
_INSERT_TRANSACTION = (
    f"INSERT INTO transactions (seq, source_id, {', '.join(ScoredTransaction._fields)}) "  # noqa: S608 - names of this program
    f"VALUES (?, ?{', ?' * len(ScoredTransaction._fields)})"
)


class PositionConflictError(StoreError):
    """The stored position is not the one this engine holds: another owner has moved it."""


class EngineWriter:
    """Writes batches; belongs to the holder of the engine lock, and to one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection = store.engine_writer()
        self._checkpointer = WalCheckpointer(store)
        self._checkpointer.start()
        self._cases = CaseOpener()

    @property
    def connection(self) -> sqlite3.Connection:
        """The writer's own connection, for the reads that recovery needs."""
        return self._connection

    def close(self) -> None:
        """Close the connections; where they are the last, this folds the WAL back into the file."""
        self._checkpointer.close()
        self._connection.close()

    def data_version(self) -> int:
        """A number that is another one whenever somebody else has written to the file since the last call."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def known_transactions(self, transaction_ids: Sequence[str]) -> dict[str, KnownTransaction]:
        """Those of the ids that are stored already."""
        known: dict[str, KnownTransaction] = {}
        for start in range(0, len(transaction_ids), _IDS_PER_LOOKUP):
            ids = transaction_ids[start : start + _IDS_PER_LOOKUP]
            marks = ",".join("?" * len(ids))
            rows = self._connection.execute(
                "SELECT transaction_id, card_id, amount_minor, event_time, merchant_id FROM transactions "  # noqa: S608 - only question marks are put in
                f"WHERE transaction_id IN ({marks})",
                ids,
            )
            known.update((row[0], KnownTransaction(*row[1:])) for row in rows)
        return known

    def save_origin(self, state: bytes) -> None:
        """Store the state that the engine had before the first transaction, for trainings to start from."""
        with self._store.transaction(self._connection):
            self._connection.execute("INSERT INTO engine_origin VALUES (1, ?) ON CONFLICT DO NOTHING", (state,))

    def save_checkpoint(self, seq: int, state: bytes, now: datetime) -> None:
        """Store the engine's state as of transaction ``seq`` (0: before the first)."""
        with self._store.transaction(self._connection):
            self._write_checkpoint(seq, state, now)

    def serve_model(self, version: str, card: str, now: datetime) -> None:
        """Keep the card, as JSON text, of the model that scores from now on.

        Raises:
            StoreError: the database refused; nothing was written.
        """
        with self._store.transaction(self._connection):
            self._connection.execute(
                "INSERT INTO anomaly_models (version, card, served_at) VALUES (?, ?, ?) "
                "ON CONFLICT (version) DO UPDATE SET served_at = excluded.served_at "
                "WHERE served_at < (SELECT max(served_at) FROM anomaly_models)",
                (version, card, to_microseconds(now)),
            )

    def commit(self, batch: BatchResult, now: datetime) -> Commit:
        """Write a batch whole.

        Raises:
            PositionConflictError: the stored position is not ``batch.first_offset``; nothing was written.
            StoreError: the database refused; nothing was written.
            sqlite3.IntegrityError, OverflowError: a row breaks a constraint of the schema; nothing was written.
        """
        with self._store.transaction(self._connection):
            source_id = self._advance_position(batch, now)
            first_seq = self._last_seq() + 1
            last_seq = self._insert_transactions(first_seq, batch.transactions, source_id)
            alert_ids = self._insert_alerts(first_seq, batch, now)
            opened = self._open_cases(alert_ids, batch, now)
            self._insert_dead_letters(batch, now)
            add_to_customers(self._connection, batch)
            add_to_rollups(self._connection, batch)
            add_to_drift(self._connection, batch.drift)
            self._connection.executemany(
                "UPDATE rules SET hits = hits + ? WHERE id = ?",
                [(hits, rule_id) for rule_id, hits in batch.rule_hits.items()],
            )
            self._take_in(first_seq - 1, batch.taken_in)
            self._connection.executemany(
                "INSERT INTO review_sample VALUES (?)", [(first_seq + index,) for index in batch.review_sample]
            )
            if batch.checkpoint is not None:
                self._write_checkpoint(last_seq, batch.checkpoint, now)
        self._checkpointer.committed()
        return Commit(last_seq=last_seq, cases_opened=opened, alert_ids=tuple(alert_ids))

    def _advance_position(self, batch: BatchResult, now: datetime) -> int:
        """Move the stored position from the batch's first offset to its next, and give the source's id."""
        updated_at = to_microseconds(now)
        stored = self._connection.execute(
            "SELECT id, next_offset FROM source_positions WHERE source = ? AND partition = ?",
            (batch.source, batch.partition),
        ).fetchone()
        if stored is None:
            cursor = self._connection.execute(
                "INSERT INTO source_positions (source, partition, next_offset, watermark, duplicates, updated_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (batch.source, batch.partition, batch.next_offset, batch.watermark, batch.duplicates, updated_at),
            )
            return int(cursor.lastrowid or 0)
        source_id, next_offset = stored
        if next_offset != batch.first_offset:
            raise PositionConflictError(
                f"{batch.source} {batch.partition} stands at {next_offset}, not at {batch.first_offset}: "
                "another engine has moved it; start again to go on from there"
            )
        self._connection.execute(
            "UPDATE source_positions SET next_offset = ?, "
            "watermark = max(coalesce(watermark, ?), coalesce(?, watermark)), "
            "duplicates = duplicates + ?, updated_at = ? WHERE id = ?",
            (batch.next_offset, batch.watermark, batch.watermark, batch.duplicates, updated_at, source_id),
        )
        return int(source_id)

    def _last_seq(self) -> int:
        return int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM transactions").fetchone()[0])

    def _insert_transactions(self, first_seq: int, transactions: Sequence[ScoredTransaction], source_id: int) -> int:
        self._connection.executemany(
            _INSERT_TRANSACTION, [(seq, source_id, *row) for seq, row in enumerate(transactions, start=first_seq)]
        )
        return first_seq + len(transactions) - 1

    def _insert_alerts(self, first_seq: int, batch: BatchResult, now: datetime) -> list[int]:
        created_at = to_microseconds(now)
        next_id = 1 + int(self._connection.execute("SELECT coalesce(max(id), 0) FROM alerts").fetchone()[0])
        rows = []
        for alert_id, alert in enumerate(batch.alerts, start=next_id):
            row = batch.transactions[alert.index]
            rows.append(
                (
                    alert_id,
                    alert.alert_id,
                    first_seq + alert.index,
                    row.card_id,
                    row.amount_minor,
                    row.event_time,
                    created_at,
                    row.score,
                    alert.level.rank,
                    " ".join(alert.reason_codes),
                    alert.reasons_json,
                    alert.evidence_json,
                )
            )
        self._connection.executemany(
            "INSERT INTO alerts (id, alert_id, transaction_seq, card_id, amount_minor, event_time, created_at, "
            "score, level_rank, reason_codes, reasons, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        return list(range(next_id, next_id + len(rows)))

    def _open_cases(self, alert_ids: Sequence[int], batch: BatchResult, now: datetime) -> int:
        opened = 0
        for alert_id, alert in zip(alert_ids, batch.alerts, strict=True):
            if alert.level.rank < RiskLevel.HIGH.rank:
                continue
            row = batch.transactions[alert.index]
            trigger = CaseTrigger(alert_id, row.card_id, row.amount_minor, alert.level, alert.reason_codes)
            opened += self._cases.open_or_join(self._connection, trigger, now)
        return opened

    def _insert_dead_letters(self, batch: BatchResult, now: datetime) -> None:
        received_at = to_microseconds(now)
        self._connection.executemany(
            'INSERT INTO dead_letters (source, partition, "offset", reason, detail, raw, raw_size, received_at) '
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    batch.source,
                    batch.partition,
                    letter.offset,
                    letter.reason.value,
                    letter.detail,
                    letter.raw[:MAX_DEAD_LETTER_BYTES],
                    len(letter.raw),
                    received_at,
                )
                for letter in batch.dead_letters
            ],
        )

    def _take_in(self, scored_seq: int, taken_in: TakenIn | None) -> None:
        """Note after which transaction the engine knew, so that a restart knows at the same one."""
        if taken_in is None:
            return
        self._connection.execute(
            "UPDATE labels SET applied_seq = ? WHERE applied_seq IS NULL AND id <= ?", (scored_seq, taken_in.label_id)
        )
        self._connection.execute(
            "UPDATE model_roles SET applied_seq = ? WHERE applied_seq IS NULL AND id <= ?",
            (scored_seq, taken_in.role_id),
        )

    def _write_checkpoint(self, seq: int, state: bytes, now: datetime) -> None:
        self._connection.execute(
            "INSERT INTO engine_checkpoint VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET seq = excluded.seq, state = excluded.state, taken_at = excluded.taken_at",
            (seq, state, to_microseconds(now)),
        )
