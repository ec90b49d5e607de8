"""How far traffic has moved: what the engine counts of each day against a reference window, and how it is stored."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson


class Window(StrEnum):
    """Which transactions a reference was taken from."""

    TRAINING = "training"
    """Those that the model was trained and calibrated on."""
    SITE = "site"
    """The first of this site's own, of cards with a history."""


@dataclass(frozen=True, slots=True)
class SignalBins:
    """One signal, a feature or a score, in the reference window.

    Bin k holds the values above ``edges[k - 1]`` and up to ``edges[k]``; the last has no upper end. ``counts`` are the
    transactions of the window in each bin.
    """

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DriftReference:
    """What days are compared with.

    ``alert_share`` is the share of honest traffic that the running calibration states to reach ``alert_score``;
    ``signals_json`` is ready to store, as ``signals_json`` makes it.
    """

    model_version: str
    window: Window
    alert_score: float
    alert_share: float
    signals_json: str


@dataclass(frozen=True, slots=True)
class DriftCount:
    """Transactions of one UTC day, ``day`` in seconds since the epoch, counted against one reference.

    ``alerts`` are those whose model score reached the reference's ``alert_score``; ``counts`` are the transactions in
    each bin, the bins of the reference's first signal first.
    """

    reference: DriftReference
    day: int
    transactions: int
    alerts: int
    counts: Sequence[int]


def signals_json(signals: Sequence[SignalBins]) -> str:
    """The bins of a reference as text; ``signals_of`` reads them back."""
    return orjson.dumps(signals).decode()


def signals_of(text: str) -> tuple[SignalBins, ...]:
    """The bins that ``signals_json`` wrote."""
    return tuple(SignalBins(each["name"], tuple(each["edges"]), tuple(each["counts"])) for each in orjson.loads(text))


def add_to_drift(connection: sqlite3.Connection, counted: Sequence[DriftCount]) -> None:
    """Add counts to those of their day, inside the caller's transaction."""
    for each in counted:
        key = (_reference_id(connection, each.reference), each.day)
        stored = connection.execute(_COUNTS, key).fetchone()
        counts: Sequence[int] = each.counts
        if stored is not None:
            counts = [before + new for before, new in zip(orjson.loads(stored[0]), counts, strict=True)]
        text = orjson.dumps(counts).decode()
        connection.execute(_UPSERT_DAY, (*key, each.transactions, each.alerts, text))


def _reference_id(connection: sqlite3.Connection, reference: DriftReference) -> int:
    key = (reference.model_version, reference.window.value, reference.signals_json)
    stored = connection.execute(_REFERENCE_ID, key).fetchone()
    if stored is not None:
        return int(stored[0])
    cursor = connection.execute(_INSERT_REFERENCE, (*key, reference.alert_score, reference.alert_share))
    return int(cursor.lastrowid or 0)


_REFERENCE_ID = 'SELECT id FROM drift_references WHERE model_version = ? AND "window" = ? AND signals = ?'

_INSERT_REFERENCE = """
INSERT INTO drift_references (model_version, "window", signals, alert_score, alert_share) VALUES (?, ?, ?, ?, ?)
"""

_COUNTS = "SELECT counts FROM drift_days WHERE reference_id = ? AND day = ?"

_UPSERT_DAY = """
INSERT INTO drift_days VALUES (?, ?, ?, ?, ?) ON CONFLICT (reference_id, day) DO UPDATE SET
    transactions = transactions + excluded.transactions,
    alerts = alerts + excluded.alerts,
    counts = excluded.counts
"""
