"""What the Dashboard shows. Figures "in 24 h" end at the watermark: the latest event time seen."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from data.models import RiskLevel
from data.queries.rows import LEVELS, SECOND, moment, money
from data.timestamps import from_microseconds, to_microseconds


@dataclass(frozen=True, slots=True)
class DashboardFigures:
    """The eight figures, and the time they are as of; latency in milliseconds, rates as shares of 1."""

    as_of: datetime | None
    transactions_24h: int
    volume_24h: Decimal
    alerts_24h: int
    alerts_by_level_24h: tuple[tuple[RiskLevel, int], ...]
    velocity_alerts_24h: int
    open_cases: int
    sla_breached: int
    alert_rate_24h: float | None
    average_latency_ms: float | None
    critical_unreviewed: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class HourFigures:
    hour: datetime
    transactions: int
    alerts: int


@dataclass(frozen=True, slots=True)
class FeedRow:
    seq: int
    event_time: datetime
    card_id: str
    amount: Decimal
    currency: str | None
    location: str | None
    merchant_category: str | None
    merchant_name: str | None
    score: float
    level: RiskLevel | None


def watermark(reader: sqlite3.Connection) -> datetime | None:
    """The latest event time of any source, None before the first transaction."""
    (latest,) = reader.execute("SELECT max(watermark) FROM source_positions").fetchone()
    return moment(latest)


def dashboard_figures(reader: sqlite3.Connection, now: datetime) -> DashboardFigures:
    """The eight figures; SLA breaches are judged at ``now``, all else at the watermark."""
    as_of = watermark(reader)
    since = 0 if as_of is None else (to_microseconds(as_of) // SECOND // 60 - 24 * 60 + 1) * 60
    (transactions, volume, low, medium, high, critical, velocity, latency) = reader.execute(
        "SELECT coalesce(sum(transactions), 0), coalesce(sum(volume_minor), 0), coalesce(sum(low), 0), "
        "coalesce(sum(medium), 0), coalesce(sum(high), 0), coalesce(sum(critical), 0), "
        "coalesce(sum(velocity_alerts), 0), coalesce(sum(latency_us), 0) FROM rollup_minute WHERE minute >= ?",
        (since,),
    ).fetchone()
    open_cases, breached = reader.execute(
        "SELECT count(*), coalesce(sum(sla_due_at < ?), 0) FROM cases WHERE status NOT IN ('resolved', 'closed')",
        (to_microseconds(now),),
    ).fetchone()
    (unreviewed,) = reader.execute(
        "SELECT count(*) FROM alerts WHERE status = 'new' AND level_rank = ?", (RiskLevel.CRITICAL.rank,)
    ).fetchone()
    (dead_letters,) = reader.execute("SELECT count(*) FROM dead_letters").fetchone()
    alerts = low + medium + high + critical
    return DashboardFigures(
        as_of=as_of,
        transactions_24h=transactions,
        volume_24h=money(volume),
        alerts_24h=alerts,
        alerts_by_level_24h=tuple(zip(RiskLevel, (low, medium, high, critical), strict=True)),
        velocity_alerts_24h=velocity,
        open_cases=open_cases,
        sla_breached=breached,
        alert_rate_24h=alerts / transactions if transactions else None,
        average_latency_ms=latency / transactions / 1000 if transactions else None,
        critical_unreviewed=unreviewed,
        dead_letters=dead_letters,
    )


def hours_to_watermark(reader: sqlite3.Connection, hours: int) -> tuple[HourFigures, ...]:
    """The last ``hours`` hours up to the watermark, oldest first, with zeros for hours without traffic."""
    as_of = watermark(reader)
    if as_of is None:
        return ()
    last = to_microseconds(as_of) // SECOND // 3600 * 3600
    first = last - (hours - 1) * 3600
    found = {
        hour: (transactions, alerts)
        for hour, transactions, alerts in reader.execute(
            "SELECT hour, transactions, low + medium + high + critical FROM rollup_hour WHERE hour BETWEEN ? AND ?",
            (first, last),
        )
    }
    start = from_microseconds(first * SECOND)
    return tuple(HourFigures(start + timedelta(hours=n), *found.get(first + n * 3600, (0, 0))) for n in range(hours))


def latest_transactions(reader: sqlite3.Connection, limit: int) -> tuple[FeedRow, ...]:
    """The newest transactions by arrival, newest first."""
    rows = reader.execute(
        "SELECT seq, event_time, card_id, amount_minor, currency, location, merchant_category, "
        "coalesce(merchant_name, merchant_id), score, level_rank FROM transactions ORDER BY seq DESC LIMIT ?",
        (limit,),
    )
    return tuple(
        FeedRow(
            seq=row[0],
            event_time=from_microseconds(row[1]),
            card_id=row[2],
            amount=money(row[3]),
            currency=row[4],
            location=row[5],
            merchant_category=row[6],
            merchant_name=row[7],
            score=row[8],
            level=LEVELS[row[9]],
        )
        for row in rows
    )
