"""What is stored of the serving model and of how far traffic has moved, and how many labels come back."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

import orjson

from data.drift import SignalBins, Window, signals_of
from data.timestamps import from_microseconds

DAYS = 28
"""UTC days, the latest included, that are looked at."""
FIRST_DAYS = 7
"""UTC days from the first on that belong to a site's own reference: a week has every hour and every weekday."""
DAY_S = 86_400
LATEST_ALERTS = 1_000


@dataclass(frozen=True, slots=True)
class ServingModel:
    """The anomaly model that the engine was last started with; ``card`` is its JSON text."""

    version: str
    card: str
    served_at: datetime


@dataclass(frozen=True, slots=True)
class DayCounts:
    """One UTC day, as ``data.drift.DriftCount`` has it; ``day`` is its start."""

    day: datetime
    transactions: int
    alerts: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """A reference and days that were counted against it, the newest first: the ``first_days``, and the latest ``days``.

    ``first_days`` belong to the reference where it is the site's own, else there are none. ``settled_on`` is the day
    after them. ``watched`` are all transactions that were ever counted for the model.
    """

    model_version: str
    window: Window
    alert_score: float
    alert_share: float
    signals: tuple[SignalBins, ...]
    first_days: tuple[DayCounts, ...]
    settled_on: datetime | None
    days: tuple[DayCounts, ...]
    watched: int


@dataclass(frozen=True, slots=True)
class LabelRate:
    """Labels that became known in the ``DAYS`` days to the watermark, beside what they can be about.

    ``labelled_alerts`` are those of the ``latest_alerts`` newest alerts of which it is known whether they were fraud.
    """

    known: int
    transactions: int
    alerts: int
    latest_alerts: int
    labelled_alerts: int


def serving_model(reader: sqlite3.Connection) -> ServingModel | None:
    """The serving model, None before an engine has run."""
    row = reader.execute(
        "SELECT version, card, served_at FROM anomaly_models ORDER BY served_at DESC, id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else ServingModel(row[0], row[1], from_microseconds(row[2]))


def drift_figures(reader: sqlite3.Connection, model_version: str) -> DriftFigures | None:
    """The latest reference of a model with its days; None before a transaction was counted."""
    row = reader.execute(
        'SELECT id, "window", alert_score, alert_share, signals FROM drift_references WHERE model_version = ? '
        "ORDER BY id DESC LIMIT 1",
        (model_version,),
    ).fetchone()
    if row is None:
        return None
    (watched,) = reader.execute(
        "SELECT coalesce(sum(d.transactions), 0) FROM drift_days d JOIN drift_references r ON r.id = d.reference_id "
        "WHERE r.model_version = ?",
        (model_version,),
    ).fetchone()
    first, last = reader.execute(
        "SELECT min(day), max(day) FROM drift_days WHERE reference_id = ?", (row[0],)
    ).fetchone()
    settled = first + FIRST_DAYS * DAY_S
    own = Window(row[1]) is Window.SITE
    return DriftFigures(
        model_version=model_version,
        window=Window(row[1]),
        alert_score=row[2],
        alert_share=row[3],
        signals=signals_of(row[4]),
        first_days=_days(reader, row[0], first, settled - DAY_S) if own else (),
        settled_on=from_microseconds(settled * 1_000_000) if own else None,
        days=_days(reader, row[0], last - (DAYS - 1) * DAY_S, last),
        watched=watched,
    )


def _days(reader: sqlite3.Connection, reference_id: int, first: int, last: int) -> tuple[DayCounts, ...]:
    rows = reader.execute(
        "SELECT day, transactions, alerts, counts FROM drift_days WHERE reference_id = ? AND day BETWEEN ? AND ? "
        "ORDER BY day DESC",
        (reference_id, first, last),
    )
    return tuple(
        DayCounts(from_microseconds(day * 1_000_000), transactions, alerts, tuple(orjson.loads(counts)))
        for day, transactions, alerts, counts in rows
    )


def label_rate(reader: sqlite3.Connection) -> LabelRate:
    """How much of what the scores were worth comes back."""
    (watermark,) = reader.execute("SELECT coalesce(max(watermark), 0) FROM source_positions").fetchone()
    since = watermark // 1_000_000 // DAY_S * DAY_S - (DAYS - 1) * DAY_S
    (known,) = reader.execute(
        "SELECT count(*) FROM current_labels WHERE known_at >= ?", (since * 1_000_000,)
    ).fetchone()
    transactions, alerts = reader.execute(
        "SELECT coalesce(sum(transactions), 0), coalesce(sum(low + medium + high + critical), 0) "
        "FROM rollup_hour WHERE hour >= ?",
        (since,),
    ).fetchone()
    latest, labelled = reader.execute(
        "SELECT count(*), coalesce(sum(EXISTS (SELECT 1 FROM current_labels l "
        "WHERE l.transaction_seq = a.transaction_seq)), 0) "
        "FROM (SELECT transaction_seq FROM alerts ORDER BY id DESC LIMIT ?) a",
        (LATEST_ALERTS,),
    ).fetchone()
    return LabelRate(known, transactions, alerts, latest, labelled)
