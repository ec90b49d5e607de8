"""What the Alerts screen and the alert detail show."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from data.models import (
    Alert,
    AlertStatus,
    Anomaly,
    CardBaseline,
    Contribution,
    Disposition,
    Neighbour,
    RankedEvidence,
    Reason,
    Rescoring,
    RiskLevel,
)
from data.queries.rows import level_of, money, page_filter
from data.timestamps import from_microseconds


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts to show; None means any."""

    level: RiskLevel | None = None
    status: AlertStatus | None = None
    card_id: str | None = None
    case_id: int | None = None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One line of the alert list."""

    id: int
    event_time: datetime
    transaction_id: str
    card_id: str
    amount: Decimal
    currency: str | None
    location: str | None
    merchant_category: str | None
    score: float
    level: RiskLevel
    status: AlertStatus
    disposition: Disposition | None
    reason_codes: tuple[str, ...]
    case_number: str | None
    version: int


_ROW = """
SELECT a.id, a.event_time, t.transaction_id, a.card_id, a.amount_minor, t.currency, t.location,
    t.merchant_category, a.score, a.level_rank, a.status, a.disposition, a.reason_codes, c.number, a.version
FROM alerts a JOIN transactions t ON t.seq = a.transaction_seq LEFT JOIN cases c ON c.id = a.case_id
"""


def _conditions(only: AlertFilter, prefix: str = "a.") -> tuple[list[str], list[str | int]]:
    conditions: list[str] = []
    parameters: list[str | int] = []
    if only.level is not None:
        conditions.append(f"{prefix}level_rank = ?")
        parameters.append(only.level.rank)
    if only.status is not None:
        conditions.append(f"{prefix}status = ?")
        parameters.append(only.status.value)
    if only.card_id is not None:
        conditions.append(f"{prefix}card_id = ?")
        parameters.append(only.card_id)
    if only.case_id is not None:
        conditions.append(f"{prefix}case_id = ?")
        parameters.append(only.case_id)
    return conditions, parameters


def latest_alerts(
    reader: sqlite3.Connection, only: AlertFilter, limit: int, before_id: int | None = None
) -> tuple[AlertRow, ...]:
    """Alerts, newest first; ``before_id`` goes on from an earlier page."""
    conditions, parameters = _conditions(only)
    if before_id is not None:
        conditions.append("a.id < ?")
        parameters.append(before_id)
    rows = reader.execute(
        f"{_ROW}{page_filter(conditions)} ORDER BY a.id DESC LIMIT ?",
        (*parameters, limit),
    )
    return tuple(_alert_row(row) for row in rows)


def alert_total(reader: sqlite3.Connection, only: AlertFilter) -> int:
    """How many alerts match, so that a page can say how much of it all it shows."""
    conditions, parameters = _conditions(only, prefix="")
    (total,) = reader.execute(f"SELECT count(*) FROM alerts{page_filter(conditions)}", parameters).fetchone()
    return int(total)


def newer_alert_total(reader: sqlite3.Connection, only: AlertFilter, after_id: int) -> int:
    """How many matching alerts came after one."""
    conditions, parameters = _conditions(only, prefix="")
    conditions.append("id > ?")
    (total,) = reader.execute(
        f"SELECT count(*) FROM alerts{page_filter(conditions)}", (*parameters, after_id)
    ).fetchone()
    return int(total)


def unreviewed_critical_total(reader: sqlite3.Connection) -> int:
    """How many CRITICAL alerts nobody has looked at yet."""
    (total,) = reader.execute(
        "SELECT count(*) FROM alerts WHERE status = 'new' AND level_rank = ?", (RiskLevel.CRITICAL.rank,)
    ).fetchone()
    return int(total)


def undisposed(reader: sqlite3.Connection, alert_ids: Sequence[int]) -> frozenset[int]:
    """Those of some alerts that have no disposition."""
    rows = reader.execute(
        "SELECT id FROM alerts WHERE disposition IS NULL AND id IN (SELECT value FROM json_each(?))",
        (orjson.dumps(list(alert_ids)).decode(),),
    )
    return frozenset(row[0] for row in rows)


def undisposed_of_case(reader: sqlite3.Connection, case_id: int) -> int:
    """How many alerts of a case have no disposition."""
    (total,) = reader.execute(
        "SELECT count(*) FROM alerts WHERE case_id = ? AND disposition IS NULL", (case_id,)
    ).fetchone()
    return int(total)


def alert(reader: sqlite3.Connection, alert_id: int) -> Alert | None:
    """One alert with its evidence, by its number."""
    row = reader.execute(
        "SELECT a.id, a.alert_id, t.transaction_id, a.card_id, a.event_time, a.created_at, a.amount_minor, "
        "t.currency, t.location, t.merchant_id, t.merchant_name, t.merchant_category, a.score, t.model_score, "
        "t.velocity, a.level_rank, a.status, a.disposition, a.reasons, a.evidence, a.case_id, c.number, a.version "
        "FROM alerts a JOIN transactions t ON t.seq = a.transaction_seq LEFT JOIN cases c ON c.id = a.case_id "
        "WHERE a.id = ?",
        (alert_id,),
    ).fetchone()
    if row is None:
        return None
    evidence = orjson.loads(row[19])
    return Alert(
        id=row[0],
        alert_id=row[1],
        transaction_id=row[2],
        card_id=row[3],
        event_time=from_microseconds(row[4]),
        created_at=from_microseconds(row[5]),
        amount=money(row[6]),
        currency=row[7],
        location=row[8],
        merchant_id=row[9],
        merchant_name=row[10],
        merchant_category=row[11],
        score=row[12],
        model_score=row[13],
        velocity=row[14],
        level=level_of(row[15]),
        status=AlertStatus(row[16]),
        disposition=None if row[17] is None else Disposition(row[17]),
        reasons=tuple(Reason.model_validate(reason) for reason in orjson.loads(row[18])),
        contributions=tuple(Contribution.model_validate(each) for each in evidence["contributions"]),
        ranked=None if evidence.get("ranked") is None else RankedEvidence.model_validate(evidence["ranked"]),
        anomaly=None if "anomaly" not in evidence else Anomaly.model_validate(evidence["anomaly"]),
        baseline=CardBaseline.model_validate(evidence["baseline"]),
        rescoring=None if "rescoring" not in evidence else Rescoring.model_validate(evidence["rescoring"]),
        shared=tuple(Neighbour.model_validate(each) for each in evidence.get("shared", ())),
        case_id=row[20],
        case_number=row[21],
        version=row[22],
    )


def _alert_row(row: tuple[Any, ...]) -> AlertRow:
    return AlertRow(
        id=row[0],
        event_time=from_microseconds(row[1]),
        transaction_id=row[2],
        card_id=row[3],
        amount=money(row[4]),
        currency=row[5],
        location=row[6],
        merchant_category=row[7],
        score=row[8],
        level=level_of(row[9]),
        status=AlertStatus(row[10]),
        disposition=None if row[11] is None else Disposition(row[11]),
        reason_codes=tuple(row[12].split()),
        case_number=row[13],
        version=row[14],
    )
