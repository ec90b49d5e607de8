"""Running totals and rollups: what screens read instead of adding up transactions, kept true by every batch."""

import sqlite3
from collections import Counter, defaultdict

from data.batches import BatchResult, ScoredTransaction

MICROSECONDS = 1_000_000
LATENCY_BUCKETS_PER_DOUBLING = 4
UNCATEGORISED = "(none)"


def add_to_customers(connection: sqlite3.Connection, batch: BatchResult) -> None:
    """Add a batch to the running totals of its cards, inside the caller's transaction."""
    totals: dict[str, _CustomerTotals] = {}
    for row in batch.transactions:
        total = totals.get(row.card_id)
        if total is None:
            total = totals[row.card_id] = _CustomerTotals(row.event_time)
        total.add(row)
    connection.executemany(_UPSERT_CUSTOMER, [t.parameters(card) for card, t in totals.items()])


def add_to_rollups(connection: sqlite3.Connection, batch: BatchResult) -> None:
    """Add a batch to the figures by minute, hour, category, reason and latency, inside the caller's transaction."""
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
    execute = connection.executemany
    execute(_UPSERT_ROLLUP.format(period="minute"), [(k, *v.values()) for k, v in minutes.items()])
    execute(_UPSERT_ROLLUP.format(period="hour"), [(k, *v.values()) for k, v in hours.items()])
    bucket = latency_bucket(batch.latency_us)
    execute(_UPSERT_LATENCY, [(hour, bucket, rollup.transactions) for hour, rollup in hours.items()])
    execute(_UPSERT_CATEGORY, [(*key, *figures) for key, figures in categories.items()])
    execute(_UPSERT_REASON, [(*key, alerts) for key, alerts in reasons.items()])


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
