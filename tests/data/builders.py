"""Small worlds for the tests of the data layer: rows with plain defaults, and a store written as the engine does."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from data.batches import BatchResult, Commit, DeadLetter, NewAlert, ScoredTransaction
from data.engine_writes import EngineWriter
from data.models import DeadLetterReason, RiskLevel
from data.store import Store
from data.timestamps import to_microseconds

NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LEVELS = (None, *RiskLevel)

TABLES = (
    "transactions",
    "alerts",
    "cases",
    "case_activities",
    "customers",
    "rules",
    "dead_letters",
    "source_positions",
    "rollup_minute",
    "rollup_hour",
    "rollup_latency",
    "rollup_category",
    "rollup_reason",
    "case_numbers",
    "engine_checkpoint",
    "drift_references",
    "drift_days",
)


def scored(transaction_id: str, card: str = "card-1", at: datetime = NOON, **changes: Any) -> ScoredTransaction:
    """A transaction of 10.00 without an alert, changed as told; ``level`` stands for ``level_rank``."""
    level: RiskLevel | None = changes.pop("level", None)
    values: dict[str, Any] = {
        "transaction_id": transaction_id,
        "card_id": card,
        "amount_minor": 1000,
        "currency": "EUR",
        "event_time": to_microseconds(at),
        "location": "Austin, TX",
        "latitude": None,
        "longitude": None,
        "merchant_id": "m-1",
        "merchant_name": "Corner Shop",
        "merchant_category": "grocery",
        "customer_id": None,
        "score": 0.1 if level is None else 0.4 + level.rank / 10,
        "model_score": 0.2,
        "velocity": 1,
        "level_rank": 0 if level is None else level.rank,
        "status": "completed",
        "late": 0,
        "is_fraud": None,
        "scenario": None,
        "amount_ratio": 1.0,
        "challenger_score": None,
    }
    return ScoredTransaction(**values | changes)


def evidence() -> str:
    """The evidence of an alert: one contribution, and the card's usual behaviour."""
    return orjson.dumps(
        {
            "anomaly": {"base": 0.25, "score": 0.5},
            "contributions": [{"feature": "amount", "value": 10.0, "usual": 2.5, "share": 0.25}],
            "baseline": {
                "transactions": 3,
                "mean_amount": 2.5,
                "usual_places": "Austin, TX",
                "usual_hours": "09-17",
                "last_seen": NOON.isoformat(),
                "last_location": "Austin, TX",
            },
        }
    ).decode()


def alert_on(index: int, row: ScoredTransaction, codes: Sequence[str] = ("high_amount",)) -> NewAlert:
    level = LEVELS[row.level_rank]
    assert level is not None
    reason = {"code": codes[0], "rule": "High amount", "value": 10.0, "threshold": 5.0, "text": "10.00 is 5 or more"}
    return NewAlert(
        index=index,
        alert_id=f"alert-{row.transaction_id}",
        level=level,
        reason_codes=tuple(codes),
        reasons_json=orjson.dumps([reason]).decode(),
        evidence_json=evidence(),
    )


def dead_letter(offset: int, raw: bytes = b"{", reason: DeadLetterReason = DeadLetterReason.NOT_JSON) -> DeadLetter:
    return DeadLetter(offset, reason, "unexpected end of data", raw)


def batch_of(rows: Sequence[ScoredTransaction], first_offset: int = 0, **changes: Any) -> BatchResult:
    """The rows as a batch that raises an alert for each row with a level; ``codes`` gives their reason codes."""
    codes = changes.pop("codes", ("high_amount",))
    letters = changes.get("dead_letters", ())
    values: dict[str, Any] = {
        "source": "kafka:transactions",
        "partition": "0",
        "first_offset": first_offset,
        "next_offset": first_offset + len(rows) + len(letters),
        "watermark": max((row.event_time for row in rows), default=None),
        "transactions": rows,
        "alerts": [alert_on(n, row, codes) for n, row in enumerate(rows) if row.level_rank],
        "dead_letters": letters,
        "duplicates": 0,
        "rule_hits": {},
        "latency_us": 1500,
    }
    return BatchResult(**values | changes)


class World:
    """A store with its writer and a reader; ``add`` goes on from the position that the last batch left."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.writer = EngineWriter(store)
        self.reader = store.reader()
        self._offsets: dict[tuple[str, str], int] = {}

    def add(self, *rows: ScoredTransaction, now: datetime = NOON, **changes: Any) -> Commit:
        place = changes.get("source", "kafka:transactions"), changes.get("partition", "0")
        batch = batch_of(rows, first_offset=self._offsets.get(place, 0), **changes)
        commit = self.writer.commit(batch, now)
        self._offsets[place] = batch.next_offset
        return commit

    def end_case(self, card: str, status: str, now: datetime = NOON) -> int:
        """End the card's active case as an analyst would; returns how many there were."""
        with closing(self.store.analyst_writer()) as connection, self.store.transaction(connection):
            return connection.execute(
                "UPDATE cases SET status = ?, resolved_at = ?, updated_at = ? "
                "WHERE card_id = ? AND status NOT IN ('resolved', 'closed')",
                (status, to_microseconds(now), to_microseconds(now), card),
            ).rowcount

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        return dump(self.reader)

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


def dump(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that the engine writes."""
    return {
        table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - fixed names
        for table in TABLES
    }


@contextmanager
def copy_of(template: Path) -> Iterator[World]:
    """A world on a copy of an empty, migrated database: a fresh one for each example of a property."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sentinel.db"
        shutil.copyfile(template, path)
        world = World(Store(path))
        try:
            yield world
        finally:
            world.close()
