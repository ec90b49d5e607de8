"""What a run came to, read back from the store: it is the same whether the run was interrupted or not."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Final, NamedTuple

from data.models import RiskLevel
from data.queries.rows import level_of

LONGEST_PAUSE_US: Final = 2 * 86_400_000_000
"""Between two frauds of one attack (two days): sources say what kind of fraud a transaction is, not of which attack."""


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """Every record of a source is in exactly one of the three counts."""

    transactions: int
    duplicates: int
    dead_letters: int
    dead_letter_reasons: tuple[tuple[str, int], ...]
    late: int


@dataclass(frozen=True, slots=True)
class AlertTotals:
    """``digest`` is a SHA-256 over the alerts in order: transaction id, score to six places, level, reason codes."""

    total: int
    by_level: tuple[tuple[RiskLevel, int], ...]
    cases_opened: int
    top_reasons: tuple[tuple[str, int], ...]
    digest: str


@dataclass(frozen=True, slots=True)
class ScenarioFigures:
    """Frauds of one scenario, and those of them that were alerted; then its attacks, and those of them with an alert.

    An attack is the frauds of one scenario on one card, apart from the next where two days pass without one. Of the
    attacks that were caught, ``first_alert_at`` is the median number of the fraud that was the first to be alerted,
    from 1, and ``first_alert_after_us`` the median time from the first fraud to it; None where none was caught.
    """

    scenario: str
    frauds: int
    alerted: int
    honest_alerted: int
    attacks: int
    attacks_caught: int
    first_alert_at: float | None
    first_alert_after_us: float | None

    @property
    def attack_recall(self) -> float:
        """Share of this scenario's attacks that had an alert."""
        return self.attacks_caught / self.attacks

    @property
    def recall(self) -> float:
        """Share of this scenario's frauds that were alerted."""
        return self.alerted / self.frauds

    @property
    def precision(self) -> float | None:
        """Of the alerts on this scenario or on honest traffic, the share on this scenario."""
        alerts = self.alerted + self.honest_alerted
        return self.alerted / alerts if alerts else None


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """Alerts judged by the ground truth that the source carried; rates are None where nothing is counted."""

    labelled: int
    frauds: int
    frauds_alerted: int
    honest_alerted: int
    scenarios: tuple[ScenarioFigures, ...]

    @property
    def precision(self) -> float | None:
        """Share of the alerts that are fraud."""
        alerts = self.frauds_alerted + self.honest_alerted
        return self.frauds_alerted / alerts if alerts else None

    @property
    def recall(self) -> float | None:
        """Share of the frauds that were alerted."""
        return self.frauds_alerted / self.frauds if self.frauds else None


def source_totals(reader: sqlite3.Connection, source: str, partition: str) -> SourceTotals | None:
    """Where every record of a source went; None when nothing of it was stored."""
    row = reader.execute(
        "SELECT id, duplicates FROM source_positions WHERE source = ? AND partition = ?", (source, partition)
    ).fetchone()
    if row is None:
        return None
    source_id, duplicates = row
    transactions, late = reader.execute(
        "SELECT count(*), coalesce(sum(late), 0) FROM transactions WHERE source_id = ?", (source_id,)
    ).fetchone()
    reasons = reader.execute(
        "SELECT reason, count(*) AS n FROM dead_letters WHERE source = ? AND partition = ? "
        "GROUP BY reason ORDER BY n DESC, reason",
        (source, partition),
    ).fetchall()
    return SourceTotals(
        transactions=transactions,
        duplicates=duplicates,
        dead_letters=sum(count for _, count in reasons),
        dead_letter_reasons=tuple(reasons),
        late=late,
    )


def alert_totals(reader: sqlite3.Connection, source: str, partition: str) -> AlertTotals:
    """The alerts on a source's transactions."""
    counts = dict.fromkeys(RiskLevel, 0)
    reasons: dict[str, int] = {}
    digest = hashlib.sha256()
    rows = reader.execute(
        "SELECT t.transaction_id, a.score, a.level_rank, a.reason_codes FROM alerts a "
        "JOIN transactions t ON t.seq = a.transaction_seq JOIN source_positions p ON p.id = t.source_id "
        "WHERE p.source = ? AND p.partition = ? ORDER BY a.id",
        (source, partition),
    )
    for transaction_id, score, rank, codes in rows:
        level = level_of(rank)
        counts[level] += 1
        for code in codes.split():
            reasons[code] = reasons.get(code, 0) + 1
        digest.update(f"{transaction_id}\t{score:.6f}\t{level}\t{codes}\n".encode())
    (opened,) = reader.execute(
        "SELECT count(*) FROM (SELECT min(transaction_seq) AS seq FROM alerts WHERE case_id IS NOT NULL "
        "GROUP BY case_id) first JOIN transactions t ON t.seq = first.seq "
        "JOIN source_positions p ON p.id = t.source_id WHERE p.source = ? AND p.partition = ?",
        (source, partition),
    ).fetchone()
    return AlertTotals(
        total=sum(counts.values()),
        by_level=tuple(counts.items()),
        cases_opened=opened,
        top_reasons=tuple(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
        digest=digest.hexdigest(),
    )


def label_figures(reader: sqlite3.Connection, source: str, partition: str) -> LabelFigures:
    """How the alerts on a source's transactions stand against its ground truth."""
    honest, honest_alerted = reader.execute(
        "SELECT count(*), coalesce(sum(level_rank > 0), 0) FROM transactions t "
        "JOIN source_positions p ON p.id = t.source_id WHERE is_fraud = 0 AND p.source = ? AND p.partition = ?",
        (source, partition),
    ).fetchone()
    frauds = reader.execute(
        "SELECT coalesce(scenario, 'unnamed') AS kind, card_id, event_time, level_rank > 0 FROM transactions t "
        "JOIN source_positions p ON p.id = t.source_id WHERE is_fraud = 1 AND p.source = ? AND p.partition = ? "
        "ORDER BY kind, card_id, event_time, seq",
        (source, partition),
    )
    scenarios = tuple(
        _scenario_figures(kind, [_Fraud(*row[1:]) for row in rows], honest_alerted)
        for kind, rows in groupby(frauds, key=lambda row: str(row[0]))
    )
    total = sum(each.frauds for each in scenarios)
    return LabelFigures(
        labelled=honest + total,
        frauds=total,
        frauds_alerted=sum(each.alerted for each in scenarios),
        honest_alerted=honest_alerted,
        scenarios=scenarios,
    )


class _Fraud(NamedTuple):
    card_id: str
    event_time: int
    alerted: int


def _scenario_figures(scenario: str, frauds: list[_Fraud], honest_alerted: int) -> ScenarioFigures:
    attacks = list(_attacks(frauds))
    caught = [(attack, first) for attack in attacks if (first := _first_alert(attack)) is not None]
    return ScenarioFigures(
        scenario=scenario,
        frauds=len(frauds),
        alerted=sum(fraud.alerted for fraud in frauds),
        honest_alerted=honest_alerted,
        attacks=len(attacks),
        attacks_caught=len(caught),
        first_alert_at=median(first + 1 for _, first in caught) if caught else None,
        first_alert_after_us=(
            median(attack[first].event_time - attack[0].event_time for attack, first in caught) if caught else None
        ),
    )


def _attacks(frauds: list[_Fraud]) -> Iterator[list[_Fraud]]:
    """The frauds of one scenario, in order of card and time, by attack."""
    attack: list[_Fraud] = []
    for fraud in frauds:
        if attack and (
            fraud.card_id != attack[-1].card_id or fraud.event_time - attack[-1].event_time > LONGEST_PAUSE_US
        ):
            yield attack
            attack = []
        attack.append(fraud)
    yield attack


def _first_alert(attack: list[_Fraud]) -> int | None:
    return next((number for number, fraud in enumerate(attack) if fraud.alerted), None)
