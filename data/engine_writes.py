"""The engine's one write path: everything of a batch, its position included, in one transaction."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from data.case_opening import CaseOpener, CaseTrigger
from data.errors import StoreError
from data.models import DeadLetterReason, RiskLevel
from data.store import Store
from data.timestamps import to_microseconds

MAX_DEAD_LETTER_BYTES = 4096
MICROSECONDS = 1_000_000
LATENCY_BUCKETS_PER_DOUBLING = 4
UNCATEGORISED = "(none)"
_IDS_PER_LOOKUP = 500


class PositionConflictError(StoreError):
    """The stored position is not the one this engine holds: another owner has moved it."""


class ScoredTransaction(NamedTuple):
    """A row of ``transactions``, without its sequence number; amounts in cents, times in microseconds."""

    transaction_id: str
    card_id: str
    amount_minor: int
    currency: str | None
    event_time: int
    location: str | None
    latitude: float | None
    longitude: float | None
    merchant_id: str | None
    merchant_name: str | None
    merchant_category: str | None
    customer_id: str | None
    score: float
    model_score: float
    velocity: int
    level_rank: int
    status: str
    late: int
    is_fraud: int | None
    scenario: str | None


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert on ``transactions[index]`` of the same batch; JSON texts are ready to store."""

    index: int
    alert_id: str
    level: RiskLevel
    reason_codes: tuple[str, ...]
    reasons_json: str
    evidence_json: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was set aside; ``raw`` is kept up to MAX_DEAD_LETTER_BYTES."""

    offset: int
    reason: DeadLetterReason
    detail: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch came to. ``first_offset`` must be the stored next offset, or the write is refused."""

    source: str
    partition: str
    first_offset: int
    next_offset: int
    watermark: int | None
    transactions: Sequence[ScoredTransaction]
    alerts: Sequence[NewAlert]
    dead_letters: Sequence[DeadLetter]
    duplicates: int
    rule_hits: Mapping[str, int]
    latency_us: int
    """From the records' arrival at the source to the commit being started, per transaction."""
    checkpoint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """What a committed batch changed."""

    last_seq: int
    cases_opened: int
    alert_ids: tuple[int, ...] = field(default=())


class KnownTransaction(NamedTuple):
    """The fields of a stored transaction that a second arrival of its id must match."""

    card_id: str
    amount_minor: int
    event_time: int
    merchant_id: str | None


class EngineWriter:
    """Writes batches; belongs to the holder of the engine lock, and to one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection = store.engine_writer()
        self._cases = CaseOpener()

    @property
    def connection(self) -> sqlite3.Connection:
        """The writer's own connection, for the reads that recovery needs."""
        return self._connection

    def close(self) -> None:
        """Close the connection, which also folds the WAL back into the file."""
        self._connection.close()

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

    def save_checkpoint(self, seq: int, state: bytes, now: datetime) -> None:
        """Store the engine's state as of transaction ``seq`` (0: before the first)."""
        with self._store.transaction(self._connection):
            self._write_checkpoint(seq, state, now)

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
            self._add_to_customers(batch)
            self._add_to_rollups(batch)
            self._connection.executemany(
                "UPDATE rules SET hits = hits + ? WHERE id = ?",
                [(hits, rule_id) for rule_id, hits in batch.rule_hits.items()],
            )
            if batch.checkpoint is not None:
                self._write_checkpoint(last_seq, batch.checkpoint, now)
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
        marks = ",".join("?" * (2 + len(ScoredTransaction._fields)))
        self._connection.executemany(
            f"INSERT INTO transactions VALUES ({marks})",  # noqa: S608 - only question marks are put in
            [(seq, *row, source_id) for seq, row in enumerate(transactions, start=first_seq)],
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

    def _add_to_customers(self, batch: BatchResult) -> None:
        totals: dict[str, _CustomerTotals] = {}
        for row in batch.transactions:
            total = totals.get(row.card_id)
            if total is None:
                total = totals[row.card_id] = _CustomerTotals(row.event_time)
            total.add(row)
        self._connection.executemany(_UPSERT_CUSTOMER, [t.parameters(card) for card, t in totals.items()])

    def _add_to_rollups(self, batch: BatchResult) -> None:
        minutes: defaultdict[int, _Rollup] = defaultdict(_Rollup)
        hours: defaultdict[int, _Rollup] = defaultdict(_Rollup)
        categories: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in batch.transactions:
            minute = row.event_time // (60 * MICROSECONDS) * 60
            minutes[minute].add(row, batch.latency_us)
            category = categories[minute // 86400 * 86400, row.merchant_category or UNCATEGORISED]
            category[0] += 1
            category[1] += row.amount_minor
            category[2] += row.level_rank > 0
        reasons: Counter[tuple[int, str]] = Counter()
        for alert in batch.alerts:
            row = batch.transactions[alert.index]
            velocity = any(code.startswith("velocity") for code in alert.reason_codes)
            minutes[row.event_time // (60 * MICROSECONDS) * 60].velocity_alerts += velocity
            day = row.event_time // (86400 * MICROSECONDS) * 86400
            reasons.update((day, code) for code in alert.reason_codes)
        for minute, rollup in minutes.items():
            hours[minute // 3600 * 3600].merge(rollup)
        execute = self._connection.executemany
        execute(_UPSERT_ROLLUP.format(period="minute"), [(k, *v.values()) for k, v in minutes.items()])
        execute(_UPSERT_ROLLUP.format(period="hour"), [(k, *v.values()) for k, v in hours.items()])
        bucket = latency_bucket(batch.latency_us)
        execute(_UPSERT_LATENCY, [(hour, bucket, rollup.transactions) for hour, rollup in hours.items()])
        execute(_UPSERT_CATEGORY, [(*key, *figures) for key, figures in categories.items()])
        execute(_UPSERT_REASON, [(*key, alerts) for key, alerts in reasons.items()])

    def _write_checkpoint(self, seq: int, state: bytes, now: datetime) -> None:
        self._connection.execute(
            "INSERT INTO engine_checkpoint VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET seq = excluded.seq, state = excluded.state, taken_at = excluded.taken_at",
            (seq, state, to_microseconds(now)),
        )


def latency_bucket(latency_us: int) -> int:
    """The histogram bucket of a latency: four to a doubling; bucket b ends at 2 ** ((b + 1) / 4) microseconds."""
    bucket = 0
    edge = 2 ** (1 / LATENCY_BUCKETS_PER_DOUBLING)
    bound = edge
    while bound < latency_us:
        bound *= edge
        bucket += 1
    return bucket


class _CustomerTotals:
    __slots__ = (
        "alerts",
        "customer_id",
        "first_seen",
        "last_location",
        "last_seen",
        "level_rank",
        "located_at",
        "score",
        "spent_minor",
        "transactions",
    )

    def __init__(self, event_time: int) -> None:
        self.customer_id: str | None = None
        self.transactions = 0
        self.spent_minor = 0
        self.alerts = 0
        self.score = 0.0
        self.level_rank = 0
        self.first_seen = event_time
        self.last_seen = event_time
        self.last_location: str | None = None
        self.located_at = event_time

    def add(self, row: ScoredTransaction) -> None:
        self.transactions += 1
        self.spent_minor += row.amount_minor
        self.customer_id = row.customer_id or self.customer_id
        self.score = max(self.score, row.score)
        if row.level_rank:
            self.alerts += 1
            self.level_rank = max(self.level_rank, row.level_rank)
        if row.event_time >= self.last_seen:
            self.last_seen = row.event_time
            if row.location is not None:
                self.last_location = row.location
                self.located_at = row.event_time
        elif row.event_time < self.first_seen:
            self.first_seen = row.event_time

    def parameters(self, card_id: str) -> tuple[str | int | float | None, ...]:
        return (
            card_id,
            self.customer_id,
            self.transactions,
            self.spent_minor,
            self.alerts,
            self.score,
            self.level_rank,
            self.first_seen,
            self.last_seen,
            self.last_location,
            self.located_at,
        )


class _Rollup:
    __slots__ = (
        "alert_volume_minor",
        "latency_us",
        "levels",
        "transactions",
        "velocity_alerts",
        "volume_minor",
    )

    def __init__(self) -> None:
        self.transactions = 0
        self.volume_minor = 0
        self.levels = [0, 0, 0, 0, 0]
        self.alert_volume_minor = 0
        self.velocity_alerts = 0
        self.latency_us = 0

    def add(self, row: ScoredTransaction, latency_us: int) -> None:
        self.transactions += 1
        self.volume_minor += row.amount_minor
        self.latency_us += latency_us
        if row.level_rank:
            self.levels[row.level_rank] += 1
            self.alert_volume_minor += row.amount_minor

    def merge(self, other: "_Rollup") -> None:
        self.transactions += other.transactions
        self.volume_minor += other.volume_minor
        self.alert_volume_minor += other.alert_volume_minor
        self.velocity_alerts += other.velocity_alerts
        self.latency_us += other.latency_us
        self.levels = [mine + theirs for mine, theirs in zip(self.levels, other.levels, strict=True)]

    def values(self) -> tuple[int, ...]:
        return (
            self.transactions,
            self.volume_minor,
            *self.levels[1:],
            self.alert_volume_minor,
            self.velocity_alerts,
            self.latency_us,
        )


_UPSERT_CUSTOMER = """
INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (card_id) DO UPDATE SET
    customer_id = coalesce(excluded.customer_id, customer_id),
    transactions = transactions + excluded.transactions,
    spent_minor = spent_minor + excluded.spent_minor,
    alerts = alerts + excluded.alerts,
    highest_score = max(highest_score, excluded.highest_score),
    highest_level_rank = max(highest_level_rank, excluded.highest_level_rank),
    last_location = CASE WHEN ?11 >= last_seen
        THEN coalesce(excluded.last_location, last_location) ELSE last_location END,
    first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen)
"""

_UPSERT_ROLLUP = """
INSERT INTO rollup_{period} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT ({period}) DO UPDATE SET
    transactions = transactions + excluded.transactions,
    volume_minor = volume_minor + excluded.volume_minor,
    low = low + excluded.low,
    medium = medium + excluded.medium,
    high = high + excluded.high,
    critical = critical + excluded.critical,
    alert_volume_minor = alert_volume_minor + excluded.alert_volume_minor,
    velocity_alerts = velocity_alerts + excluded.velocity_alerts,
    latency_us = latency_us + excluded.latency_us
"""

_UPSERT_LATENCY = """
INSERT INTO rollup_latency VALUES (?, ?, ?)
ON CONFLICT (hour, bucket) DO UPDATE SET transactions = transactions + excluded.transactions
"""

_UPSERT_CATEGORY = """
INSERT INTO rollup_category VALUES (?, ?, ?, ?, ?) ON CONFLICT (day, category) DO UPDATE SET
    transactions = transactions + excluded.transactions,
    volume_minor = volume_minor + excluded.volume_minor,
    alerts = alerts + excluded.alerts
"""

_UPSERT_REASON = """
INSERT INTO rollup_reason VALUES (?, ?, ?)
ON CONFLICT (day, code) DO UPDATE SET alerts = alerts + excluded.alerts
"""
