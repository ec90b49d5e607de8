"""What is known about transactions: current labels, how many there are, and the sample that is offered for review."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from data.models import LabelSource
from data.queries.recovery import KNOWN_SINCE
from data.queries.rows import money
from data.timestamps import from_microseconds, to_microseconds


class CurrentLabel(NamedTuple):
    """The label that holds for a transaction; times in microseconds."""

    transaction_seq: int
    fraud: bool
    known_at: int
    source: LabelSource
    card_id: str
    merchant_id: str | None
    event_time: int
    amount_ratio: float | None


@dataclass(frozen=True, slots=True)
class LabelTotals:
    """How many transactions are labelled, by outcome, and by who said so."""

    fraud: int
    honest: int
    by_source: tuple[tuple[LabelSource, int], ...]


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A transaction that raised no alert and was drawn for review; ``fraud`` is what is known of it by now."""

    seq: int
    transaction_id: str
    event_time: datetime
    card_id: str
    amount: Decimal
    currency: str | None
    merchant: str | None
    merchant_category: str | None
    location: str | None
    score: float
    fraud: bool | None


def current_labels(reader: sqlite3.Connection) -> dict[int, CurrentLabel]:
    """All labels that hold, by transaction."""
    rows = reader.execute(
        f"SELECT l.transaction_seq, l.fraud, {KNOWN_SINCE}, l.source, t.card_id, t.merchant_id, t.event_time, "
        "t.amount_ratio FROM current_labels l JOIN transactions t ON t.seq = l.transaction_seq"
    )
    return {row[0]: CurrentLabel(row[0], bool(row[1]), row[2], LabelSource(row[3]), *row[4:]) for row in rows}


def label_totals(reader: sqlite3.Connection) -> LabelTotals:
    """How many labels hold."""
    rows = reader.execute("SELECT source, fraud, count(*) FROM current_labels GROUP BY source, fraud").fetchall()
    by_source = {source: sum(count for name, _, count in rows if name == source) for source in LabelSource}
    return LabelTotals(
        fraud=sum(count for _, fraud, count in rows if fraud),
        honest=sum(count for _, fraud, count in rows if not fraud),
        by_source=tuple((source, count) for source, count in by_source.items() if count),
    )


def label_growth(reader: sqlite3.Connection, since: datetime | None) -> tuple[int, int, int]:
    """How many labels hold, how many of them are fraud, and how many were added after ``since``; all, if it is None."""
    row = reader.execute(
        "SELECT count(*), coalesce(sum(fraud), 0), coalesce(sum(added_at > ?), 0) FROM current_labels",
        (-1 if since is None else to_microseconds(since),),
    ).fetchone()
    return int(row[0]), int(row[1]), int(row[2])


def latest_label_id(reader: sqlite3.Connection) -> int:
    """The number of the label that was given last, 0 when there is none."""
    return int(reader.execute("SELECT coalesce(max(id), 0) FROM labels").fetchone()[0])


def latest_event_time(reader: sqlite3.Connection) -> int:
    """The highest event time that any source has reached, in microseconds; 0 when nothing is stored."""
    return int(reader.execute("SELECT coalesce(max(watermark), 0) FROM source_positions").fetchone()[0])


def settled_until(reader: sqlite3.Connection, delay_us: int) -> int | None:
    """Until when a transaction without a label is honest, in microseconds; None where no chargebacks are imported.

    The chargebacks that were known at the moment of the latest one are there, so that what came the delay before that
    has had its chargeback, or will have none.
    """
    row = reader.execute("SELECT max(known_at) FROM current_labels WHERE source = 'chargeback'").fetchone()
    return None if row[0] is None else min(int(row[0]), latest_event_time(reader)) - delay_us


def review_sample(reader: sqlite3.Connection, limit: int, *, open_only: bool = True) -> tuple[ReviewRow, ...]:
    """Sampled transactions, the newest first; ``open_only`` leaves out those of which the truth is known."""
    rows = reader.execute(
        "SELECT t.seq, t.transaction_id, t.event_time, t.card_id, t.amount_minor, t.currency, "
        "coalesce(t.merchant_name, t.merchant_id), t.merchant_category, t.location, t.score, l.fraud "
        "FROM review_sample s JOIN transactions t ON t.seq = s.transaction_seq "
        "LEFT JOIN current_labels l ON l.transaction_seq = t.seq "
        "WHERE NOT ? OR l.fraud IS NULL ORDER BY t.seq DESC LIMIT ?",
        (open_only, limit),
    )
    return tuple(
        ReviewRow(
            seq=row[0],
            transaction_id=row[1],
            event_time=from_microseconds(row[2]),
            card_id=row[3],
            amount=money(row[4]),
            currency=row[5],
            merchant=row[6],
            merchant_category=row[7],
            location=row[8],
            score=row[9],
            fraud=None if row[10] is None else bool(row[10]),
        )
        for row in rows
    )


def open_reviews(reader: sqlite3.Connection) -> int:
    """How many sampled transactions nobody has judged yet."""
    row = reader.execute(
        "SELECT count(*) FROM review_sample s WHERE NOT EXISTS "
        "(SELECT 1 FROM current_labels l WHERE l.transaction_seq = s.transaction_seq)"
    ).fetchone()
    return int(row[0])


def drawn_for_review(reader: sqlite3.Connection) -> int:
    """How many transactions were ever drawn for review, judged or not."""
    return int(reader.execute("SELECT count(*) FROM review_sample").fetchone()[0])
