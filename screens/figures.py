"""How figures read: thousands separated, money to the cent, times in UTC."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from math import floor

from data.models import Case

ABSENT = "–"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def integer(value: int) -> str:
    """A count: 12,481."""
    return f"{value:,}"


def rounded(value: int) -> str:
    """A count in at most four cells: 999, 12k, 1.2M."""
    if value < 1_000:
        return str(value)
    if value < 999_500:
        return f"{value / 1_000:.0f}k"
    return f"{value / 1_000_000:.1f}M" if value < 9_950_000 else f"{value / 1_000_000:.0f}M"


def money(amount: Decimal, currency: str | None = None) -> str:
    """An amount of currency units: 1,234.50, or 1,234.50 EUR."""
    return f"{amount:,.2f}" if currency is None else f"{amount:,.2f} {currency}"


def score(value: float) -> str:
    """A score or a share between 0 and 1, cut and not rounded, so that 0.8499 never reads as the 0.85 it missed."""
    return f"{int(value * 100 + 1e-9) / 100:.2f}"


def percent(share: float | None) -> str:
    """A share of 1: 1.25 %."""
    return ABSENT if share is None else f"{share * 100:.2f} %"


def measure(value: float | None) -> str:
    """A figure of a model with as many places as it can be told apart by."""
    if value is None:
        return ABSENT
    return f"{value:,.1f}" if value >= 10 else f"{value:.3f}"


def milliseconds(value: float | None) -> str:
    """A latency in milliseconds, without its unit; three in a row fit a tile."""
    if value is None:
        return ABSENT
    return f"{value:,.1f}" if value < 9.95 else f"{value:,.0f}"


def quantity(value: float | str, unit: str = "") -> str:
    """A measured value of any magnitude, with its unit; text stays as it is."""
    if isinstance(value, str):
        return value
    figure = f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,.2f}"
    return f"{figure} {unit}".rstrip()


def moment(when: datetime) -> str:
    """Month, day and time of an event; the column's title says UTC."""
    return f"{when:%m-%d %H:%M:%S}"


def full_moment(when: datetime | None) -> str:
    """A complete time: 2026-03-14 12:00:05 UTC."""
    return ABSENT if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def duration(span: timedelta) -> str:
    """The two largest units of a span: 3d 04h, 2h 10m, 8m 05s."""
    seconds = max(0, int(span.total_seconds()))
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds:02d}s"


def sla(case: Case, now: datetime) -> str:
    """The time a case has left, or how long ago it ran out; once resolved, whether it was in time."""
    if case.resolved_at is not None or not case.status.is_active:
        return "breached" if case.is_breached(now) else "met"
    if case.is_breached(now):
        return f"breached {duration(now - case.sla_due_at)}"
    return f"{duration(case.sla_due_at - now)} left"


def adding_up(parts: Sequence[float], total: float, places: int) -> list[float]:
    """Parts rounded so that they add up to ``total``, each by less than one unit of the last place.

    By largest remainders (Hare and Niemeyer): all are rounded down, and those that lost most get what is missing.

    Args:
        parts: their sum is within a unit of the last place of ``total``.
        total: of ``places`` decimal places.
    """
    unit = 10.0**places
    floors = [floor(part * unit) for part in parts]
    missing = round(total * unit) - sum(floors)
    by_loss = sorted(range(len(parts)), key=lambda k: (floors[k] - parts[k] * unit, k))
    raised = set(by_loss[:missing])
    return [(floors[k] + (k in raised)) / unit for k in range(len(parts))]


def bar(share: float, width: int) -> str:
    """A horizontal bar of up to ``width`` cells for a share of 1, to an eighth of a cell."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    if share > 0 and eighths == 0:
        eighths = 1
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")
