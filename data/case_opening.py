"""Automatic cases: a HIGH or CRITICAL alert opens an investigation, or joins the card's open one."""

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from data.models import ActivityType, CaseCategory, CasePriority, RiskLevel
from data.timestamps import to_microseconds

ENGINE_ACTOR = "engine"

SLA_HOURS: dict[CasePriority, int] = {
    CasePriority.CRITICAL: 2,
    CasePriority.HIGH: 8,
    CasePriority.MEDIUM: 24,
    CasePriority.LOW: 72,
}

PRIORITY_OF_LEVEL: dict[RiskLevel, CasePriority] = {
    RiskLevel.LOW: CasePriority.LOW,
    RiskLevel.MEDIUM: CasePriority.MEDIUM,
    RiskLevel.HIGH: CasePriority.HIGH,
    RiskLevel.CRITICAL: CasePriority.CRITICAL,
}

CATEGORY_OF_REASON: tuple[tuple[str, CaseCategory], ...] = (
    ("card_testing", CaseCategory.CARD_TESTING),
    ("velocity", CaseCategory.VELOCITY_FRAUD),
    ("velocity_burst", CaseCategory.VELOCITY_FRAUD),
    ("impossible_travel", CaseCategory.IDENTITY_THEFT),
    ("anonymised_location", CaseCategory.IDENTITY_THEFT),
)
"""The first reason code that an alert has decides."""

CATEGORY_NAMES: dict[CaseCategory, str] = {
    CaseCategory.VELOCITY_FRAUD: "Velocity fraud",
    CaseCategory.IDENTITY_THEFT: "Identity theft",
    CaseCategory.CARD_TESTING: "Card testing",
    CaseCategory.FRIENDLY_FRAUD: "Friendly fraud",
    CaseCategory.SUSPICIOUS_ACTIVITY: "Suspicious activity",
    CaseCategory.OTHER: "Other",
}


class CaseTrigger(NamedTuple):
    """The alert that opens or joins a case; the amount is in cents."""

    alert_id: int
    card_id: str
    amount_minor: int
    level: RiskLevel
    reason_codes: tuple[str, ...]


def category_of(reason_codes: tuple[str, ...]) -> CaseCategory:
    """The category that the reasons of an alert speak for."""
    for code, category in CATEGORY_OF_REASON:
        if code in reason_codes:
            return category
    return CaseCategory.SUSPICIOUS_ACTIVITY


class CaseOpener:
    """Opens and joins cases inside the caller's transaction."""

    def open_or_join(self, connection: sqlite3.Connection, trigger: CaseTrigger, now: datetime) -> int:
        """Attach the alert to the card's active case, opening one when there is none.

        Returns:
            1 when a case was opened, 0 when one was joined.
        """
        active = connection.execute(
            "SELECT id, priority_rank, sla_due_at FROM cases "
            "WHERE card_id = ? AND status NOT IN ('resolved', 'closed')",
            (trigger.card_id,),
        ).fetchone()
        if active is None:
            case_id = self._open(connection, trigger, now)
        else:
            case_id = int(active[0])
            self._join(connection, trigger, now, case_id, int(active[1]), int(active[2]))
        connection.execute("UPDATE alerts SET case_id = ? WHERE id = ?", (case_id, trigger.alert_id))
        return int(active is None)

    def _open(self, connection: sqlite3.Connection, trigger: CaseTrigger, now: datetime) -> int:
        category = category_of(trigger.reason_codes)
        opened_at = to_microseconds(now)
        cursor = connection.execute(
            "INSERT INTO cases (number, title, card_id, priority_rank, category, total_amount_minor, "
            "potential_loss_minor, alerts, sla_due_at, opened_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
            (
                _next_number(connection, now),
                f"{CATEGORY_NAMES[category]} on {trigger.card_id}",
                trigger.card_id,
                trigger.level.rank,
                category.value,
                trigger.amount_minor,
                trigger.amount_minor,
                _due(trigger.level, now),
                opened_at,
                opened_at,
            ),
        )
        case_id = int(cursor.lastrowid or 0)
        detail = f"opened by a {trigger.level} alert: {', '.join(trigger.reason_codes)}"
        _add_activity(connection, case_id, ActivityType.CREATED, now, detail)
        return case_id

    def _join(
        self,
        connection: sqlite3.Connection,
        trigger: CaseTrigger,
        now: datetime,
        case_id: int,
        priority_rank: int,
        sla_due_at: int,
    ) -> None:
        raised = trigger.level.rank > priority_rank
        connection.execute(
            "UPDATE cases SET alerts = alerts + 1, total_amount_minor = total_amount_minor + ?, "
            "potential_loss_minor = potential_loss_minor + ?, priority_rank = ?, sla_due_at = ?, "
            "updated_at = ?, version = version + 1 WHERE id = ?",
            (
                trigger.amount_minor,
                trigger.amount_minor,
                max(priority_rank, trigger.level.rank),
                min(sla_due_at, _due(trigger.level, now)) if raised else sla_due_at,
                to_microseconds(now),
                case_id,
            ),
        )
        if raised:
            detail = f"priority raised to {PRIORITY_OF_LEVEL[trigger.level]} by a {trigger.level} alert"
            _add_activity(connection, case_id, ActivityType.ESCALATED, now, detail)


def _due(level: RiskLevel, now: datetime) -> int:
    return to_microseconds(now + timedelta(hours=SLA_HOURS[PRIORITY_OF_LEVEL[level]]))


def _add_activity(connection: sqlite3.Connection, case_id: int, kind: ActivityType, now: datetime, detail: str) -> None:
    connection.execute(
        "INSERT INTO case_activities (case_id, type, actor, at, detail) VALUES (?, ?, ?, ?, ?)",
        (case_id, kind.value, ENGINE_ACTOR, to_microseconds(now), detail),
    )


def _next_number(connection: sqlite3.Connection, now: datetime) -> str:
    day = f"{now.astimezone(UTC):%Y%m%d}"
    (last,) = connection.execute(
        "INSERT INTO case_numbers VALUES (?, 1) ON CONFLICT (day) DO UPDATE SET last = last + 1 RETURNING last",
        (day,),
    ).fetchone()
    return f"CASE-{day}-{last:05d}"
