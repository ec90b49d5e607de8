"""Timestamps: any ISO 8601 text or epoch seconds in, UTC inside, microseconds since the epoch in the store."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

_LATEST_SECONDS = (LATEST - EPOCH).total_seconds()
_EPOCH_TEXT = re.compile(r"\d{9,20}(\.\d+)?\Z", re.ASCII)
_ORDINAL = re.compile(r"(\d{4})-?(\d{3})(?=T|\Z)", re.ASCII)
_MIDNIGHT_24 = re.compile(r"T24(?::?00){0,2}(?:[.,]0+)?(?=Z|[+-]|\Z)", re.ASCII)


def parse_timestamp(value: object) -> datetime:
    """Read an ISO 8601 text, epoch seconds (a number, or 9 and more digits of text) or a datetime as UTC.

    A time without an offset is taken as UTC.

    Raises:
        ValueError: the value is not a time between 1970 and 2200; the text says why.
    """
    if isinstance(value, str):
        moment = _parse_text(value)
    elif isinstance(value, datetime):
        moment = value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        moment = _from_epoch_seconds(value)
    else:
        raise ValueError(f"a {type(value).__name__} is not ISO 8601 text or epoch seconds")
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} is not between 1970 and 2200") from None
    if not EPOCH <= moment < LATEST:
        raise ValueError(f"{moment.isoformat()} is not between 1970 and 2200")
    return moment


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z of an aware datetime, exactly."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The UTC datetime of a number of microseconds since the epoch, exactly."""
    return EPOCH + timedelta(microseconds=microseconds)


def _from_epoch_seconds(seconds: float) -> datetime:
    if not 0 <= seconds < _LATEST_SECONDS:
        hint = "; epoch seconds are expected, not milliseconds" if seconds >= _LATEST_SECONDS else ""
        raise ValueError(f"{seconds!r} is not a number of seconds between 1970 and 2200{hint}")
    return EPOCH + timedelta(seconds=seconds)


def _parse_text(text: str) -> datetime:
    if _EPOCH_TEXT.match(text):
        return _from_epoch_seconds(float(text))
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    try:
        return datetime.fromisoformat(_without_rare_forms(text))
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not ISO 8601 or epoch seconds") from None


def _without_rare_forms(text: str) -> str:
    """Rewrite ordinal dates, hour 24 and lower-case designators, which ``fromisoformat`` does not read."""
    text = text.strip().upper()
    if ordinal := _ORDINAL.match(text):
        year, day = int(ordinal[1]), int(ordinal[2])
        resolved = date(year, 1, 1) + timedelta(days=day - 1)
        if resolved.year != year:
            raise ValueError(f"{year} has no day {day}")
        text = resolved.isoformat() + text[ordinal.end() :]
    if midnight := _MIDNIGHT_24.search(text):
        day_after = date.fromisoformat(text[: midnight.start()]) + timedelta(days=1)
        text = f"{day_after.isoformat()}T00:00:00{text[midnight.end() :]}"
    return text
