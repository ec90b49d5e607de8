"""What the Customers screen and the 360-degree profile show; a customer is known by the card."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from data.models import Customer, RiskLevel
from data.queries.rows import LEVELS, money, prefix_bounds
from data.timestamps import from_microseconds

_CUSTOMER = (
    "SELECT card_id, customer_id, transactions, spent_minor, alerts, highest_score, highest_level_rank, first_seen, "
    "last_seen, last_location FROM customers"
)


@dataclass(frozen=True, slots=True)
class CardTransaction:
    seq: int
    transaction_id: str
    event_time: datetime
    amount: Decimal
    currency: str | None
    location: str | None
    merchant_name: str | None
    merchant_category: str | None
    score: float
    level: RiskLevel | None


def riskiest_customers(reader: sqlite3.Connection, limit: int) -> tuple[Customer, ...]:
    """Cards by the highest level and score they ever had."""
    rows = reader.execute(f"{_CUSTOMER} ORDER BY highest_level_rank DESC, highest_score DESC LIMIT ?", (limit,))
    return tuple(_customer(row) for row in rows)


def customers_starting_with(reader: sqlite3.Connection, prefix: str, limit: int) -> tuple[Customer, ...]:
    """Cards whose id starts with the prefix, in order of id."""
    rows = reader.execute(
        f"{_CUSTOMER} WHERE card_id >= ? AND card_id < ? ORDER BY card_id LIMIT ?",
        (*prefix_bounds(prefix), limit),
    )
    return tuple(_customer(row) for row in rows)


def customer_total(reader: sqlite3.Connection, prefix: str) -> int:
    """How many cards have an id that starts with the prefix; "" counts all."""
    if not prefix:
        return int(reader.execute("SELECT count(*) FROM customers").fetchone()[0])
    (total,) = reader.execute(
        "SELECT count(*) FROM customers WHERE card_id >= ? AND card_id < ?", prefix_bounds(prefix)
    ).fetchone()
    return int(total)


def customer(reader: sqlite3.Connection, card_id: str) -> Customer | None:
    """One card's totals."""
    row = reader.execute(f"{_CUSTOMER} WHERE card_id = ?", (card_id,)).fetchone()
    return None if row is None else _customer(row)


def card_transactions(reader: sqlite3.Connection, card_id: str, limit: int) -> tuple[CardTransaction, ...]:
    """A card's latest transactions by event time, newest first."""
    rows = reader.execute(
        "SELECT seq, transaction_id, event_time, amount_minor, currency, location, "
        "coalesce(merchant_name, merchant_id), merchant_category, score, level_rank "
        "FROM transactions WHERE card_id = ? ORDER BY event_time DESC LIMIT ?",
        (card_id, limit),
    )
    return tuple(
        CardTransaction(
            seq=row[0],
            transaction_id=row[1],
            event_time=from_microseconds(row[2]),
            amount=money(row[3]),
            currency=row[4],
            location=row[5],
            merchant_name=row[6],
            merchant_category=row[7],
            score=row[8],
            level=LEVELS[row[9]],
        )
        for row in rows
    )


def _customer(row: tuple[Any, ...]) -> Customer:
    return Customer(
        card_id=row[0],
        customer_id=row[1],
        transactions=row[2],
        spent=money(row[3]),
        alerts=row[4],
        highest_score=row[5],
        highest_level=LEVELS[row[6]],
        first_seen=from_microseconds(row[7]),
        last_seen=from_microseconds(row[8]),
        last_location=row[9],
    )
