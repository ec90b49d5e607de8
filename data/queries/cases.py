"""What the Cases screen and a case's timeline show."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.models import (
    ActivityType,
    Case,
    CaseActivity,
    CaseCategory,
    CaseComment,
    CaseStatus,
    CommentVisibility,
    Disposition,
)
from data.queries.rows import PRIORITIES, moment, money
from data.timestamps import from_microseconds, to_microseconds

ACTIVE = "status NOT IN ('resolved', 'closed')"

_CASE = (
    "SELECT id, number, title, card_id, status, priority_rank, category, total_amount_minor, potential_loss_minor, "
    "recovered_amount_minor, alerts, assignee, escalated_to, disposition, sla_due_at, opened_at, updated_at, "
    "resolved_at, version FROM cases"
)


@dataclass(frozen=True, slots=True)
class CaseTotals:
    """Counts of all cases; the average is over cases that were resolved, None while there are none."""

    total: int
    active: int
    resolved: int
    sla_breached: int
    average_resolution_hours: float | None
    by_status: tuple[tuple[CaseStatus, int], ...]


def case_totals(reader: sqlite3.Connection, now: datetime) -> CaseTotals:
    """Counts over all cases; a breach is a due time passed before the resolution, or before ``now``."""
    by_status = dict(reader.execute("SELECT status, count(*) FROM cases GROUP BY status"))
    breached, resolution = reader.execute(
        "SELECT coalesce(sum(coalesce(resolved_at, ?) > sla_due_at), 0), avg(resolved_at - opened_at) FROM cases",
        (to_microseconds(now),),
    ).fetchone()
    counts = tuple((status, by_status.get(status.value, 0)) for status in CaseStatus)
    active = sum(count for status, count in counts if status.is_active)
    total = sum(by_status.values())
    return CaseTotals(
        total=total,
        active=active,
        resolved=total - active,
        sla_breached=breached,
        average_resolution_hours=None if resolution is None else resolution / 3_600_000_000,
        by_status=counts,
    )


def cases_by_urgency(reader: sqlite3.Connection, status: CaseStatus | None, limit: int) -> tuple[Case, ...]:
    """Cases, active ones first, the soonest due at the top; then the latest ended."""
    condition, parameters = ("", ()) if status is None else (" WHERE status = ?", (status.value,))
    rows = reader.execute(
        f"{_CASE}{condition} ORDER BY NOT ({ACTIVE}), CASE WHEN {ACTIVE} THEN sla_due_at ELSE -updated_at END, id "
        "LIMIT ?",
        (*parameters, limit),
    )
    return tuple(_case(row) for row in rows)


def cases_of_card(reader: sqlite3.Connection, card_id: str, limit: int) -> tuple[Case, ...]:
    """A card's cases, newest first."""
    rows = reader.execute(f"{_CASE} WHERE card_id = ? ORDER BY id DESC LIMIT ?", (card_id, limit))
    return tuple(_case(row) for row in rows)


def case(reader: sqlite3.Connection, case_id: int) -> Case | None:
    """One case by its id."""
    row = reader.execute(f"{_CASE} WHERE id = ?", (case_id,)).fetchone()
    return None if row is None else _case(row)


def case_activities(reader: sqlite3.Connection, case_id: int) -> tuple[CaseActivity, ...]:
    """A case's timeline, oldest first."""
    rows = reader.execute(
        "SELECT id, case_id, type, actor, at, detail FROM case_activities WHERE case_id = ? ORDER BY id",
        (case_id,),
    )
    return tuple(
        CaseActivity(
            id=row[0],
            case_id=row[1],
            type=ActivityType(row[2]),
            actor=row[3],
            at=from_microseconds(row[4]),
            detail=row[5],
        )
        for row in rows
    )


def case_comments(reader: sqlite3.Connection, case_id: int) -> tuple[CaseComment, ...]:
    """A case's comments, oldest first."""
    rows = reader.execute(
        "SELECT id, case_id, author, at, visibility, text FROM case_comments WHERE case_id = ? ORDER BY id",
        (case_id,),
    )
    return tuple(
        CaseComment(
            id=row[0],
            case_id=row[1],
            author=row[2],
            at=from_microseconds(row[3]),
            visibility=CommentVisibility(row[4]),
            text=row[5],
        )
        for row in rows
    )


def _case(row: tuple[Any, ...]) -> Case:
    return Case(
        id=row[0],
        number=row[1],
        title=row[2],
        card_id=row[3],
        status=CaseStatus(row[4]),
        priority=PRIORITIES[row[5]],
        category=CaseCategory(row[6]),
        total_amount=money(row[7]),
        potential_loss=money(row[8]),
        recovered_amount=money(row[9]),
        alerts=row[10],
        assignee=row[11],
        escalated_to=row[12],
        disposition=None if row[13] is None else Disposition(row[13]),
        sla_due_at=from_microseconds(row[14]),
        opened_at=from_microseconds(row[15]),
        updated_at=from_microseconds(row[16]),
        resolved_at=moment(row[17]),
        version=row[18],
    )
