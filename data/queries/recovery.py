"""What the engine reads to go on where it stopped."""

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from data.models import Rule, RuleAction, RuleType

_EVENTS_AT_ONCE = 5_000


class StoredEvent(NamedTuple):
    """What the engine's memory is made of, of a stored transaction: cents, microseconds, scores from 0 to 1."""

    seq: int
    card_id: str
    amount_minor: int
    event_time: int
    location: str | None
    latitude: float | None
    longitude: float | None
    merchant_id: str | None
    merchant_category: str | None
    score: float
    model_score: float
    late: bool
    amount_ratio: float | None
    level_rank: int


def next_offset(reader: sqlite3.Connection, source: str, partition: str) -> int:
    """Where to go on in a source; 0 when nothing of it is stored."""
    row = reader.execute(
        "SELECT next_offset FROM source_positions WHERE source = ? AND partition = ?", (source, partition)
    ).fetchone()
    return 0 if row is None else int(row[0])


def partitions(reader: sqlite3.Connection) -> tuple[tuple[str, str], ...]:
    """Every source and partition that anything is stored of."""
    return tuple(reader.execute("SELECT source, partition FROM source_positions ORDER BY id"))


def checkpoint(reader: sqlite3.Connection) -> tuple[int, bytes] | None:
    """The last checkpoint and the sequence number of the last transaction it contains."""
    row = reader.execute("SELECT seq, state FROM engine_checkpoint").fetchone()
    return None if row is None else (int(row[0]), bytes(row[1]))


def checkpoint_seq(reader: sqlite3.Connection) -> int | None:
    """The last transaction that the checkpoint contains, without reading it; None where there is no checkpoint."""
    row = reader.execute("SELECT seq FROM engine_checkpoint").fetchone()
    return None if row is None else int(row[0])


def last_seq(reader: sqlite3.Connection) -> int:
    """The sequence number of the newest transaction, 0 when there is none."""
    return int(reader.execute("SELECT coalesce(max(seq), 0) FROM transactions").fetchone()[0])


_EVENTS = """
SELECT seq, card_id, amount_minor, event_time, location, latitude, longitude, merchant_id, merchant_category,
    score, model_score, late, amount_ratio, level_rank
FROM transactions WHERE seq > ? AND seq <= ? ORDER BY seq
"""


def events_after(reader: sqlite3.Connection, seq: int) -> Iterator[StoredEvent]:
    """The transactions after a sequence number, in the order in which they were scored."""
    return events_between(reader, seq, last_seq(reader))


def events_between(reader: sqlite3.Connection, seq: int, last: int) -> Iterator[StoredEvent]:
    """The transactions after ``seq`` up to ``last``, in the order in which they were scored.

    They are read in portions, so that a long reading does not keep the write-ahead log from being folded back.
    """
    for start in range(seq, last, _EVENTS_AT_ONCE):
        rows = reader.execute(_EVENTS, (start, min(start + _EVENTS_AT_ONCE, last))).fetchall()
        yield from (StoredEvent._make((*row[:11], bool(row[11]), *row[12:])) for row in rows)


KNOWN_SINCE = """
max(t.event_time, (SELECT min(known_at) FROM labels same
    WHERE same.transaction_seq = l.transaction_seq AND same.fraud IS l.fraud AND same.id <= l.id))
"""
"""When a label ``l`` of a transaction ``t`` was first said; a chargeback may confirm it later."""


class StoredLabel(NamedTuple):
    """A label with what the engine needs of its transaction; times in microseconds.

    ``fraud`` None takes back what was said of the transaction before. ``was_fraud`` is what that was. ``applied_seq``
    is the last transaction that had been scored when the engine took it in, None where it has not.
    """

    id: int
    fraud: bool | None
    known_at: int
    applied_seq: int | None
    was_fraud: bool
    transaction_seq: int
    card_id: str
    merchant_id: str | None
    event_time: int
    amount_ratio: float | None
    location: str | None
    latitude: float | None
    longitude: float | None
    merchant_category: str | None


def latest_event_time(reader: sqlite3.Connection, seq: int, last: int) -> int:
    """The highest event time of the transactions after ``seq`` up to ``last``, in microseconds; 0 without any."""
    row = reader.execute(
        "SELECT coalesce(max(event_time), 0) FROM transactions WHERE seq > ? AND seq <= ?", (seq, last)
    ).fetchone()
    return int(row[0])


def seq_before(reader: sqlite3.Connection, time: int, seq: int, last: int) -> int:
    """Of the transactions after ``seq`` up to ``last``, the one before the first at ``time`` or later.

    ``last`` where there is none.
    """
    row = reader.execute(
        "SELECT coalesce(min(seq) - 1, ?2) FROM transactions WHERE seq > ?1 AND seq <= ?2 AND event_time >= ?3",
        (seq, last, time),
    ).fetchone()
    return int(row[0])


_LABELS = f"""
SELECT l.id, l.fraud, {KNOWN_SINCE}, l.applied_seq,
    coalesce((SELECT fraud FROM labels WHERE transaction_seq = l.transaction_seq AND id < l.id
        ORDER BY id DESC LIMIT 1), 0),
    t.seq, t.card_id, t.merchant_id, t.event_time, t.amount_ratio, t.location, t.latitude, t.longitude,
    t.merchant_category
FROM labels l JOIN transactions t ON t.seq = l.transaction_seq
"""


def _stored_labels(rows: sqlite3.Cursor) -> Iterator[StoredLabel]:
    for row in rows:
        yield StoredLabel(row[0], None if row[1] is None else bool(row[1]), row[2], row[3], bool(row[4]), *row[5:])


def labels_to_apply(reader: sqlite3.Connection) -> Iterator[StoredLabel]:
    """The labels that the engine has not taken in yet, in the order in which they were given."""
    return _stored_labels(reader.execute(f"{_LABELS} WHERE l.applied_seq IS NULL ORDER BY l.id"))


def labels_applied_since(reader: sqlite3.Connection, seq: int) -> Iterator[StoredLabel]:
    """The labels that the engine took in when it had scored transaction ``seq`` or a later one, in that order."""
    return _stored_labels(reader.execute(f"{_LABELS} WHERE l.applied_seq >= ? ORDER BY l.applied_seq, l.id", (seq,)))


def known_frauds(reader: sqlite3.Connection, last_id: int, since: int) -> Iterator[StoredLabel]:
    """The frauds at ``since``, in microseconds, or later that held when label ``last_id`` was the latest.

    In the order in which they were known.
    """
    return _stored_labels(
        reader.execute(
            f"{_LABELS} WHERE l.fraud AND l.id <= ?1 AND t.event_time >= ?2 AND NOT EXISTS (SELECT 1 FROM labels later "
            "WHERE later.transaction_seq = l.transaction_seq AND later.id > l.id AND later.id <= ?1) "
            "ORDER BY 3, l.id",
            (last_id, since),
        )
    )


def ranker_memory(reader: sqlite3.Connection) -> tuple[int, bytes] | None:
    """The history of cards as the latest training left it, and the last transaction that it contains."""
    row = reader.execute("SELECT seq, state FROM ranker_memory").fetchone()
    return None if row is None else (int(row[0]), bytes(row[1]))


def origin(reader: sqlite3.Connection) -> bytes | None:
    """The engine's state before the first transaction, where it was not empty."""
    row = reader.execute("SELECT state FROM engine_origin").fetchone()
    return None if row is None else bytes(row[0])


def rules(reader: sqlite3.Connection) -> tuple[Rule, ...]:
    """Every rule, in order of id."""
    rows = reader.execute(
        "SELECT id, name, type, threshold, window_seconds, parameter, weight, action, active, version, hits, "
        "description FROM rules ORDER BY id"
    )
    return tuple(
        Rule(
            id=row[0],
            name=row[1],
            type=RuleType(row[2]),
            threshold=row[3],
            window_seconds=row[4],
            parameter=row[5],
            weight=row[6],
            action=RuleAction(row[7]),
            active=bool(row[8]),
            version=row[9],
            hits=row[10],
            description=row[11],
        )
        for row in rows
    )
