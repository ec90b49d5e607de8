"""What champion and challenger have both scored, for a comparison, and the transactions on which they differ."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from data.models import RiskLevel
from data.queries.rows import level_of, money
from data.timestamps import from_microseconds

ROWS_AT_ONCE = 20_000


class ShadowRow(NamedTuple):
    """A transaction that both models have scored: cents, microseconds; ``fraud`` is 0 or 1, None without a label."""

    seq: int
    event_time: int
    card_id: str
    amount_minor: int
    score: float
    level_rank: int
    velocity: int
    challenger_score: float
    fraud: int | None


@dataclass(frozen=True, slots=True)
class FlippedTransaction:
    """A transaction that one of the two alerts alone; ``alert_id`` is the champion's alert, None where it raised none.

    ``score`` is what it was decided by.
    """

    seq: int
    transaction_id: str
    event_time: datetime
    card_id: str
    amount: Decimal
    currency: str | None
    merchant: str | None
    score: float
    challenger_score: float
    level: RiskLevel | None
    fraud: bool
    alert_id: int | None


def shadow_rows(reader: sqlite3.Connection, after_seq: int) -> Iterator[list[ShadowRow]]:
    """What was scored in shadow after a transaction, in order.

    They are read in portions, so that a long reading does not keep the write-ahead log from being folded back.
    """
    while True:
        rows = reader.execute(
            "SELECT t.seq, t.event_time, t.card_id, t.amount_minor, t.score, t.level_rank, t.velocity, "
            "t.challenger_score, l.fraud FROM transactions t LEFT JOIN current_labels l ON l.transaction_seq = t.seq "
            "WHERE t.seq > ? AND t.challenger_score IS NOT NULL ORDER BY t.seq LIMIT ?",
            (after_seq, ROWS_AT_ONCE),
        ).fetchall()
        if not rows:
            return
        yield [ShadowRow._make(row) for row in rows]
        after_seq = rows[-1][0]


def flipped_transactions(reader: sqlite3.Connection, seqs: Sequence[int]) -> tuple[FlippedTransaction, ...]:
    """Some transactions that both have scored, in the order given; at most some hundred."""
    marks = ",".join("?" * len(seqs))
    rows = reader.execute(
        "SELECT t.seq, t.transaction_id, t.event_time, t.card_id, t.amount_minor, t.currency, "
        "coalesce(t.merchant_name, t.merchant_id), t.score, t.challenger_score, t.level_rank, l.fraud, a.id "
        "FROM transactions t LEFT JOIN current_labels l ON l.transaction_seq = t.seq "
        f"LEFT JOIN alerts a ON a.transaction_seq = t.seq WHERE t.seq IN ({marks})",
        tuple(seqs),
    )
    found = {
        row[0]: FlippedTransaction(
            seq=row[0],
            transaction_id=row[1],
            event_time=from_microseconds(row[2]),
            card_id=row[3],
            amount=money(row[4]),
            currency=row[5],
            merchant=row[6],
            score=row[7],
            challenger_score=row[8],
            level=level_of(row[9]) if row[9] else None,
            fraud=bool(row[10]),
            alert_id=row[11],
        )
        for row in rows
    }
    return tuple(found[seq] for seq in seqs)
