"""Small worlds for the screens: stores written as the engine writes them, and an app on one, under a fixed clock."""

import random
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from math import exp
from pathlib import Path
from typing import Any

import orjson

from data.analyst_writes import AnalystWriter
from data.batches import BatchResult, DeadLetter, NewAlert, ScoredTransaction
from data.engine_writes import EngineWriter
from data.models import DeadLetterReason, RiskLevel
from data.store import Store
from data.timestamps import to_microseconds
from engine.messages import EngineSnapshot, EngineState, SnapshotQueue
from engine.ranker_features import RANKER_FEATURE_NAMES
from screens.workbench import Standing
from sentinel_tui.app import SentinelApp

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
SOURCE = "generator:7"
SIZES = ((80, 24), (120, 40), (200, 60))
MODES = ("dashboard", "alerts", "cases", "analytics", "customers", "model")
LEVELS = (None, *RiskLevel)

_CATEGORIES = ("grocery", "fuel", "electronics", "restaurant", "travel", "online", "clothing", "pharmacy", "other")
_CITIES = ("Austin, TX", "Denver, CO", "Boston, MA", "47.38,8.54", "TOR Exit Node", "Portland, OR", "Miami, FL")
_MERCHANTS = ("Corner Shop", "Blue Fuel 24", "Northside Electronics", "Café Lumière", "Skyways", "Parcel & Co")
_CODES = (
    ("model_score",),
    ("velocity_burst", "model_score"),
    ("high_amount",),
    ("anonymised_location", "model_score"),
    ("card_testing", "velocity_burst"),
    ("impossible_travel",),
)
_RULE_NAMES = {
    "model_score": "Model score",
    "velocity_burst": "Velocity burst",
    "high_amount": "High amount",
    "anonymised_location": "Anonymised location",
    "card_testing": "Card testing",
    "impossible_travel": "Impossible travel",
    "ranked": "Supervised model",
}


def transaction(number: int, at: datetime, level: RiskLevel | None = None, **changes: Any) -> ScoredTransaction:
    """A transaction with plain values, changed as told."""
    values: dict[str, Any] = {
        "transaction_id": f"txn_{number:010d}",
        "card_id": f"card_{number % 40:06d}",
        "amount_minor": 1_999,
        "currency": "USD",
        "event_time": to_microseconds(at),
        "location": "Austin, TX",
        "latitude": None,
        "longitude": None,
        "merchant_id": "m-1",
        "merchant_name": "Corner Shop",
        "merchant_category": "grocery",
        "customer_id": None,
        "score": 0.12 if level is None else 0.45 + level.rank / 8,
        "model_score": 0.12 if level is None else 0.4 + level.rank / 8,
        "velocity": 1 if level is None else 2 * level.rank,
        "level_rank": 0 if level is None else level.rank,
        "status": "completed" if level is None else "flagged",
        "late": 0,
        "is_fraud": None,
        "scenario": None,
        "amount_ratio": 1.0,
        "challenger_score": None,
    }
    return ScoredTransaction(**values | changes)


def reasons(codes: Sequence[str], texts: str | None = None) -> str:
    """The reasons of an alert as the engine stores them; ``texts`` replaces every text field."""
    return orjson.dumps(
        [
            {
                "code": code,
                "rule": texts or _RULE_NAMES[code],
                "value": texts or 7.0,
                "threshold": texts or 5.0,
                "text": texts or "7 transactions in 60 s; the rule allows 5",
            }
            for code in codes
        ]
    ).decode()


SHARES = (
    ("amount_over_mean", 21.4, 1.0, 0.1713),
    ("amount", 842.1, 39.0, 0.1122),
    ("velocity", 6.0, 0.0, 0.0611),
    ("new_merchant", 0.0, 0.0, -0.0084),
    ("day_spend_excess", 3.2, 1.0, 0.0071),
    ("hour_rarity", 0.0, 0.0, -0.0042),
    *((feature, 0.0, 0.0, -0.0011) for feature in ("home_distance", "travel_speed", "merchant_suspicion")),
)
BASE = 0.3917


def evidence(texts: str | None = None) -> str:
    """The evidence of an alert as the engine stores it."""
    shares = SHARES[:1] if texts else SHARES
    return orjson.dumps(
        {
            "anomaly": {"base": BASE, "score": BASE + sum(share for *_, share in shares)},
            "contributions": [
                {"feature": texts or feature, "value": value, "usual": usual, "share": share}
                for feature, value, usual, share in shares
            ],
            "baseline": baseline(texts),
            "shared": shared(texts),
        }
    ).decode()


def ranked_evidence(shares: Sequence[tuple[str, float | None, float]]) -> str:
    """The evidence of an alert that a ranker decided: those features first, and all others without a part in it."""
    named = {feature for feature, *_ in shares}
    others = [(feature, None, 0.0) for feature in RANKER_FEATURE_NAMES if feature not in named]
    base = -5.1428
    log_odds = base + sum(share for *_, share in shares)
    ranked = {
        "model": "boosting-3f9a12c07b5e",
        "probability": 1.0 / (1.0 + exp(-log_odds)),
        "base": base,
        "log_odds": log_odds,
        "contributions": [
            {"feature": feature, "value": value, "usual": None, "share": share}
            for feature, value, share in (*shares, *others)
        ],
    }
    return orjson.dumps(orjson.loads(evidence()) | {"ranked": ranked, "shared": []}).decode()


def shared(texts: str | None = None) -> list[dict[str, Any]]:
    """A merchant and a place that the card shares with cards that had fraud later."""
    return [
        {
            "kind": kind,
            "name": texts or name,
            "since": (NOW - timedelta(days=30)).isoformat(),
            "last_visit": (NOW - timedelta(days=16)).isoformat(),
            "cards_seen": seen,
            "fraud_cards": frauds,
            "expected": expected,
            "lift": frauds / (1.0 + expected),
            "posterior": posterior,
        }
        for kind, name, seen, frauds, expected, posterior in (
            ("merchant", "M-000123", 41, 3, 0.4, 0.86),
            ("place", "30.38, -97.62", 1_204, 9, 2.71, 0.31),
        )
    ]


def evidence_of_earlier_versions() -> str:
    """Evidence whose contributions are the strongest few, and no sum."""
    return orjson.dumps(
        {
            "contributions": [{"feature": "amount", "value": 842.1, "usual": 39.0, "share": 0.1122}],
            "baseline": baseline(),
            "features": {"amount": 6.7},
        }
    ).decode()


def baseline(texts: str | None = None) -> dict[str, Any]:
    """What the card usually does."""
    return {
        "transactions": 41,
        "mean_amount": 39.35,
        "usual_places": texts or "30.27, -97.74",
        "usual_hours": texts or "09-18 h UTC",
        "last_seen": (NOW - timedelta(days=2)).isoformat(),
        "last_location": texts or "30.27, -97.74",
    }


def alert_on(
    index: int, row: ScoredTransaction, codes: Sequence[str], texts: str | None = None, found: str | None = None
) -> NewAlert:
    level = LEVELS[row.level_rank]
    assert level is not None
    return NewAlert(
        index=index,
        alert_id=f"alert-{row.transaction_id}",
        level=level,
        reason_codes=tuple(codes),
        reasons_json=reasons(codes, texts),
        evidence_json=found or evidence(texts),
    )


class World:
    """A store and its writer; ``add`` commits a batch after the last one."""

    def __init__(self, path: Path) -> None:
        self.store = Store.open(path)
        self._writer = EngineWriter(self.store)
        self._numbers = count(1_000_000)

    def add(
        self,
        rows: Sequence[ScoredTransaction],
        *,
        now: datetime = NOW,
        codes: Sequence[str] = ("model_score",),
        texts: str | None = None,
        found: str | None = None,
        dead_letters: Sequence[DeadLetter] = (),
        rule_hits: dict[str, int] | None = None,
        latency_us: int = 1_800,
        source: str = SOURCE,
        review_sample: Sequence[int] = (),
    ) -> None:
        """Commit rows as one batch; each row with a level raises an alert with the given reason codes.

        ``found`` is the evidence of these alerts, where it is not the usual one.
        """
        with closing(self.store.reader()) as reader:
            query = "SELECT max(next_offset) FROM source_positions WHERE source = ?"
            stored = reader.execute(query, (source,)).fetchone()[0] or 0
        batch = BatchResult(
            source=source,
            partition="0",
            first_offset=stored,
            next_offset=stored + len(rows) + len(dead_letters),
            watermark=max((row.event_time for row in rows), default=None),
            transactions=rows,
            alerts=[alert_on(n, row, codes, texts, found) for n, row in enumerate(rows) if row.level_rank],
            dead_letters=dead_letters,
            duplicates=0,
            rule_hits=rule_hits or {},
            latency_us=latency_us,
            review_sample=review_sample,
        )
        self._writer.commit(batch, now)

    def alert(self, alerts: int, level: RiskLevel = RiskLevel.HIGH) -> None:
        """Commit so many new alerts, a second after the last ones."""
        at = NOW + timedelta(seconds=1)
        self.add([transaction(next(self._numbers), at, level) for _ in range(alerts)])

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Write what analysts will: statuses, assignees, comments."""
        with closing(self.store.analyst_writer()) as connection, self.store.transaction(connection):
            connection.execute(statement, parameters)

    def close(self) -> None:
        self._writer.close()


def fill(world: World) -> None:
    """Two weeks of traffic: some 2,600 transactions, 260 alerts, cases in every status, dead letters."""
    dice = random.Random(7)
    number = 0
    for days_ago in range(13, -1, -1):
        day = NOW.replace(hour=0) - timedelta(days=days_ago)
        for hour in range(0, 12 if days_ago == 0 else 24, 2):
            rows = []
            for second in sorted(dice.randrange(7200) for _ in range(10 + dice.randrange(12))):
                number += 1
                level = dice.choices(LEVELS, (86, 6, 4, 2, 2))[0]
                rows.append(_ordinary(dice, number, day + timedelta(hours=hour, seconds=second), level))
            codes = dice.choice(_CODES)
            world.add(
                rows,
                now=day + timedelta(hours=hour + 2),
                codes=codes,
                rule_hits={code: dice.randrange(1, 9) for code in codes},
                latency_us=dice.randrange(900, 9_000),
            )
    for reason, letters in ((DeadLetterReason.NOT_JSON, 5), (DeadLetterReason.MISSING_FIELD, 3)):
        for _ in range(letters):
            world.add((), dead_letters=(_dead_letter(world, reason),))
    _work_on_cases(world)


def _ordinary(dice: random.Random, number: int, at: datetime, level: RiskLevel | None) -> ScoredTransaction:
    amount = dice.randrange(150, 9_000) if level is None else dice.randrange(9_000, 900_000)
    return transaction(
        number,
        at,
        level,
        card_id=f"card_{dice.randrange(120):06d}",
        amount_minor=amount,
        currency=dice.choice(("USD", "USD", "EUR", None)),
        location=dice.choice((*_CITIES, None)),
        merchant_name=dice.choice((*_MERCHANTS, None)),
        merchant_category=dice.choice((*_CATEGORIES, None)),
        customer_id=f"cust-{dice.randrange(90):04d}",
        score=dice.uniform(0, 0.4) if level is None else min(0.99, 0.42 + level.rank * 0.13 + dice.uniform(0, 0.05)),
    )


def _dead_letter(world: World, reason: DeadLetterReason) -> DeadLetter:
    with closing(world.store.reader()) as reader:
        offset = reader.execute("SELECT max(next_offset) FROM source_positions").fetchone()[0] or 0
    return DeadLetter(offset, reason, "unexpected end of data", b"{")


def _work_on_cases(world: World) -> None:
    """What analysts do in the meantime: cases are assigned, some are resolved, one has a comment."""
    statuses = ("resolved", "investigating", "resolved", "closed", "escalated", "closed", "resolved", "pending_info")
    with closing(world.store.reader()) as reader:
        cases = [row[0] for row in reader.execute("SELECT id FROM cases ORDER BY id")]
        alerts = [row[0] for row in reader.execute("SELECT id FROM alerts ORDER BY id")]
    for n, case_id in enumerate(cases[:-12]):
        status = statuses[n % len(statuses)]
        ended = status in {"resolved", "closed"}
        world.execute(
            "UPDATE cases SET status = ?, assignee = ?, "
            "resolved_at = CASE WHEN ? THEN opened_at + 5400000000 END WHERE id = ?",
            (status, ("maria", "jonas", None)[n % 3], ended, case_id),
        )
    world.execute(
        "INSERT INTO case_comments (case_id, author, at, visibility, text) VALUES (?, 'maria', ?, 'internal', ?)",
        (cases[-1], to_microseconds(NOW), "Called the customer; no answer."),
    )
    for n, alert_id in enumerate(alerts[:-60]):
        status = ("resolved", "false_positive", "reviewing", "escalated")[n % 4]
        world.execute("UPDATE alerts SET status = ? WHERE id = ?", (status, alert_id))


RANKED_SHARES: tuple[tuple[tuple[str, float | None, float], ...], ...] = (
    (
        ("merchant_fraud_share_28d", 34.375, 4.2216),
        ("amount_over_median", 21.4, 2.9071),
        ("new_merchant_spend", 23.1, 0.8812),
        ("card_days_since_first_fraud", None, -0.4105),
        ("merchant_unexplained_share_28d", 31.25, 0.3008),
        ("far_14d", 3.0, 0.1904),
    ),
    (
        ("novelty_run", 12.25, 14.5071),
        ("travel_speed", 12_345.67, -2.5071),
        ("merchant_days_since_first_unexplained", 23.75, 1.9071),
        ("merchant_fraud_share_of_last_5", 20.0, 0.4071),
        ("amount_rank", 98.0, 0.4002),
    ),
)
"""The strongest features of two alerts: one by known fraud, and one with the widest titles and figures."""


def fill_with_ranked_alerts(world: World) -> None:
    """Two alerts that a ranker decided, and before them one that the anomaly model did."""
    for number, shares in enumerate((None, *RANKED_SHARES)):
        at = NOW - timedelta(minutes=9 - number)
        row = transaction(number, at, RiskLevel.CRITICAL, card_id="card_000007", amount_minor=84_210)
        if shares is None:
            world.add((row,))
        else:
            world.add((row,), codes=("ranked", "high_amount"), found=ranked_evidence(shares))


HOSTILE = (
    "[/red]",
    "[@click=app.quit]press me[/]",
    "\x1b]52;c;aGFja2Vk\x07\x1b[2J",
    "\x9b31mred\x9d0;title\x9c",
    "\u202egnp.exe\u2066\u2069",
    "zero\u200bwidth\u2060joined\ufeff",
    "nul\x00byte",
    "line\nbreak\r\ttab\u2028separator",
    "x" * 1_000_000,
    "漢字カタカナ全角" * 9,
    "👩\u200d👩\u200d👧 🎉 flag 🇨🇭",
    "e\u0301\u0323\u0301" * 60,
    "{0!r} %s $text \\[bold]",
)
"""What strangers may put into any field."""


def fill_with_hostile_text(world: World) -> None:
    """Every text column of the store holds every hostile string once."""
    for n, text in enumerate(HOSTILE):
        row = transaction(
            n,
            NOW - timedelta(minutes=len(HOSTILE) - n),
            RiskLevel.CRITICAL,
            transaction_id=f"{text}{n}",
            card_id=f"{text}{n}",
            location=text,
            merchant_id=text,
            merchant_name=text,
            merchant_category=text,
            customer_id=text,
            currency=text,
        )
        world.add((row,), codes=(text, "model_score"), texts=text, source=text)
        case_id = n + 1
        moment = to_microseconds(NOW)
        world.execute("UPDATE cases SET assignee = ?, escalated_to = ? WHERE id = ?", (text, text, case_id))
        world.execute(
            "INSERT INTO case_activities (case_id, type, actor, at, detail) VALUES (?, 'commented', ?, ?, ?)",
            (case_id, text, moment, text),
        )
        world.execute(
            "INSERT INTO case_comments (case_id, author, at, visibility, text) VALUES (?, ?, ?, 'internal', ?)",
            (case_id, text, moment, text),
        )
        world.execute(
            'INSERT INTO dead_letters (source, partition, "offset", reason, detail, raw, raw_size, received_at) '
            "VALUES (?, ?, ?, ?, ?, ?, 1, ?)",
            (text, text, n, text, text, b"{", moment),
        )
        world.execute("UPDATE rules SET name = ? WHERE rowid = ?", (text, n + 1))


def running(**changes: Any) -> EngineSnapshot:
    """An engine at work."""
    values: dict[str, Any] = {
        "state": EngineState.RUNNING,
        "source": SOURCE,
        "watermark": NOW - timedelta(seconds=2),
        "records": 128_404,
        "transactions": 128_396,
        "alerts": 263,
        "critical_alerts": 41,
        "cases_opened": 73,
        "dead_letters": 8,
        "duplicates": 12,
        "rate": 52.4,
        "latency_p50": 1.9,
        "latency_p95": 4.2,
        "latency_p99": 9.7,
    }
    return EngineSnapshot(**values | changes)


def app_on(
    store: Store, snapshot: EngineSnapshot | None = None, theme: str | None = None, analyst: str | None = None
) -> SentinelApp:
    """The app under the fixed clock; without a snapshot it is attached to an engine elsewhere."""
    snapshots = None
    if snapshot is not None:
        snapshots = SnapshotQueue()
        snapshots.put(snapshot)
    standing = Standing.ATTACHED if snapshots is None else Standing.OWNER
    app = SentinelApp(
        store, snapshots, lambda: NOW, standing, None if analyst is None else AnalystWriter(store, analyst)
    )
    app.animation_level = "none"
    if theme is not None:
        app.theme = theme
    return app
