"""Turning stored integers back into the values of the domain."""

from datetime import datetime
from decimal import Decimal

from data.models import CasePriority, RiskLevel
from data.timestamps import from_microseconds

LEVELS: tuple[RiskLevel | None, ...] = (None, *RiskLevel)
PRIORITIES: dict[int, CasePriority] = dict(enumerate(CasePriority, start=1))
SECOND = 1_000_000


def level_of(rank: int) -> RiskLevel:
    """The level of an alert's rank, 1 to 4."""
    level = LEVELS[rank]
    if level is None:
        raise ValueError("rank 0 is the absence of an alert")
    return level


def money(minor: int) -> Decimal:
    """Currency units of a number of cents."""
    return Decimal(minor).scaleb(-2)


def moment(microseconds: int | None) -> datetime | None:
    """The UTC datetime of a nullable column."""
    return None if microseconds is None else from_microseconds(microseconds)


def day_of(microseconds: int) -> int:
    """Seconds since the epoch of the UTC day that a time is in."""
    return microseconds // SECOND // 86400 * 86400


def page_filter(conditions: list[str]) -> str:
    """A WHERE clause of fixed conditions, or nothing."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def prefix_bounds(prefix: str) -> tuple[str, str]:
    """The half-open range of identifiers (at most 128 characters) that start with a prefix, for an index to search."""
    return prefix, prefix + "\U0010ffff" * 129
