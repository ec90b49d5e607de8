"""What the Analytics screen shows. "Today" is the UTC day of the watermark."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from data.queries.dashboard import watermark
from data.queries.rows import SECOND, day_of, money
from data.rollups import LATENCY_BUCKETS_PER_DOUBLING
from data.timestamps import from_microseconds, to_microseconds

DAY_S = 86400


@dataclass(frozen=True, slots=True)
class DayFigures:
    day: datetime
    transactions: int
    volume: Decimal
    alerts: int
    alert_volume: Decimal


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    category: str
    transactions: int
    volume: Decimal
    alerts: int


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Milliseconds. Percentiles are upper bounds of histogram buckets, at most 19 % above the value."""

    average: float
    p50: float
    p95: float
    p99: float
    transactions: int


@dataclass(frozen=True, slots=True)
class DeadLetterFigures:
    reason: str
    records: int


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """A rule's hits over all time, and the share of transactions that is."""

    rule_id: str
    name: str
    hits: int
    share: float | None
    active: bool


def days_to_watermark(reader: sqlite3.Connection, days: int) -> tuple[DayFigures, ...]:
    """The last ``days`` UTC days up to the watermark's, oldest first, with zeros for days without traffic."""
    as_of = watermark(reader)
    if as_of is None:
        return ()
    last = day_of(to_microseconds(as_of))
    first = last - (days - 1) * DAY_S
    found = {
        day: figures
        for day, *figures in reader.execute(
            "SELECT hour / 86400 * 86400 AS day, sum(transactions), sum(volume_minor), "
            "sum(low + medium + high + critical), sum(alert_volume_minor) FROM rollup_hour "
            "WHERE hour >= ? AND hour < ? GROUP BY day",
            (first, last + DAY_S),
        )
    }
    return tuple(_day(day, *found.get(day, (0, 0, 0, 0))) for day in range(first, last + DAY_S, DAY_S))


def _day(day: int, transactions: int, volume: int, alerts: int, alert_volume: int) -> DayFigures:
    return DayFigures(from_microseconds(day * SECOND), transactions, money(volume), alerts, money(alert_volume))


def top_categories(reader: sqlite3.Connection, days: int, limit: int) -> tuple[CategoryFigures, ...]:
    """Merchant categories by alerts over the last ``days`` days up to the watermark."""
    rows = reader.execute(
        "SELECT category, sum(transactions) AS n, sum(volume_minor), sum(alerts) AS a FROM rollup_category "
        "WHERE day > (SELECT coalesce(max(watermark), 0) / 1000000 FROM source_positions) - ? * 86400 "
        "GROUP BY category ORDER BY a DESC, n DESC, category LIMIT ?",
        (days, limit),
    )
    return tuple(CategoryFigures(row[0], row[1], money(row[2]), row[3]) for row in rows)


def top_reasons(reader: sqlite3.Connection, days: int, limit: int) -> tuple[tuple[str, int], ...]:
    """Reason codes with the number of alerts that carry each, over the last ``days`` days up to the watermark."""
    rows = reader.execute(
        "SELECT code, sum(alerts) AS a FROM rollup_reason "
        "WHERE day > (SELECT coalesce(max(watermark), 0) / 1000000 FROM source_positions) - ? * 86400 "
        "GROUP BY code ORDER BY a DESC, code LIMIT ?",
        (days, limit),
    )
    return tuple((code, alerts) for code, alerts in rows)


def latency(reader: sqlite3.Connection) -> LatencyFigures | None:
    """Latency over the last 24 hours that have traffic; None before the first transaction."""
    last = reader.execute("SELECT max(hour) FROM rollup_latency").fetchone()[0]
    if last is None:
        return None
    since = last - 23 * 3600
    buckets = reader.execute(
        "SELECT bucket, sum(transactions) FROM rollup_latency WHERE hour >= ? GROUP BY bucket ORDER BY bucket",
        (since,),
    ).fetchall()
    total, latency_us = reader.execute(
        "SELECT sum(transactions), sum(latency_us) FROM rollup_hour WHERE hour >= ?", (since,)
    ).fetchone()
    return LatencyFigures(
        average=latency_us / total / 1000,
        p50=_percentile(buckets, 0.50),
        p95=_percentile(buckets, 0.95),
        p99=_percentile(buckets, 0.99),
        transactions=total,
    )


def _percentile(buckets: Iterable[tuple[int, int]], share: float) -> float:
    pairs = list(buckets)
    wanted = share * sum(count for _, count in pairs)
    seen = 0
    for bucket, count in pairs:
        seen += count
        if seen >= wanted:
            return float(2 ** ((bucket + 1) / LATENCY_BUCKETS_PER_DOUBLING) / 1000)
    raise ValueError("a histogram without counts has no percentile")


def dead_letter_reasons(reader: sqlite3.Connection) -> tuple[DeadLetterFigures, ...]:
    """Records set aside, by reason, the most frequent first."""
    rows = reader.execute("SELECT reason, count(*) AS n FROM dead_letters GROUP BY reason ORDER BY n DESC, reason")
    return tuple(DeadLetterFigures(reason, records) for reason, records in rows)


def rule_figures(reader: sqlite3.Connection) -> tuple[RuleFigures, ...]:
    """Every rule with its hits, the most frequent first."""
    (transactions,) = reader.execute("SELECT coalesce(sum(transactions), 0) FROM rollup_hour").fetchone()
    rows = reader.execute("SELECT id, name, hits, active FROM rules ORDER BY hits DESC, id")
    return tuple(
        RuleFigures(row[0], row[1], row[2], row[2] / transactions if transactions else None, bool(row[3]))
        for row in rows
    )
