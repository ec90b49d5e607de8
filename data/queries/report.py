"""What a run came to, read back from the store: it is the same whether the run was interrupted or not."""

import hashlib
import sqlite3
from dataclasses import dataclass

from data.models import RiskLevel
from data.queries.rows import level_of


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
    """Frauds of one scenario, and those of them that were alerted."""

    scenario: str
    frauds: int
    alerted: int
    honest_alerted: int

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
    rows = reader.execute(
        "SELECT is_fraud, CASE WHEN is_fraud THEN coalesce(scenario, 'unnamed') END AS kind, count(*), "
        "sum(level_rank > 0) FROM transactions t JOIN source_positions p ON p.id = t.source_id "
        "WHERE is_fraud IS NOT NULL AND p.source = ? AND p.partition = ? GROUP BY is_fraud, kind ORDER BY kind",
        (source, partition),
    ).fetchall()
    honest = [(count, alerted) for fraud, _, count, alerted in rows if not fraud]
    honest_total, honest_alerted = honest[0] if honest else (0, 0)
    scenarios = tuple(
        ScenarioFigures(kind, count, alerted, honest_alerted) for fraud, kind, count, alerted in rows if fraud
    )
    frauds = sum(each.frauds for each in scenarios)
    return LabelFigures(
        labelled=honest_total + frauds,
        frauds=frauds,
        frauds_alerted=sum(each.alerted for each in scenarios),
        honest_alerted=honest_alerted,
        scenarios=scenarios,
    )
