"""The report of a headless run, for people and as one JSON object."""

import resource
import shlex
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.drift import Window
from data.models import RiskLevel
from data.queries.report import (
    AlertTotals,
    LabelFigures,
    ScenarioFigures,
    SourceTotals,
    alert_totals,
    label_figures,
    source_totals,
)
from engine.drift import WHAT_TO_DO, Drift, read_drift
from engine.pipeline import RunTotals
from engine.site_calibration import SITE_ROWS
from screens.safe import clean

TOP_REASONS = 8


@dataclass(frozen=True, slots=True)
class Report:
    """What a source came to in a store, and what the run that just ended measured."""

    source: str
    seed: int | None
    totals: SourceTotals
    alerts: AlertTotals
    labels: LabelFigures
    drift: Drift | None
    run: RunTotals
    database: Path

    @property
    def throughput(self) -> float | None:
        """Records per second of this run; None when it read nothing."""
        return self.run.records / self.run.seconds if self.run.records and self.run.seconds else None


def read_report(
    reader: sqlite3.Connection, source: str, partition: str, seed: int | None, run: RunTotals, database: Path
) -> Report:
    """Read a source's results back from the store."""
    totals = source_totals(reader, source, partition) or SourceTotals(0, 0, 0, (), 0)
    return Report(
        source=source,
        seed=seed,
        totals=totals,
        alerts=alert_totals(reader, source, partition),
        labels=label_figures(reader, source, partition),
        drift=read_drift(reader),
        run=run,
        database=database,
    )


def as_json(report: Report) -> str:
    """One JSON object on one line."""
    labels = report.labels
    p50, p95, p99 = report.run.latency_ms
    levels = {level.value: count for level, count in reversed(report.alerts.by_level)}
    return orjson.dumps(
        {
            "source": report.source,
            "seed": report.seed,
            "transactions": report.totals.transactions,
            "duplicates": report.totals.duplicates,
            "dead_letters": report.totals.dead_letters,
            "alerts": {"total": report.alerts.total, **levels},
            "cases": {"opened": report.alerts.cases_opened},
            "labels": {
                "fraud": labels.frauds if labels.labelled else None,
                "precision": _rounded(labels.precision, 6),
                "recall": _rounded(labels.recall, 6),
                "scenarios": {each.scenario: _scenario(each) for each in labels.scenarios},
            },
            "drift": None if report.drift is None else _drift_values(report.drift),
            "throughput_per_s": _rounded(report.throughput, 1),
            "latency_ms": {"p50": _rounded(p50, 3), "p95": _rounded(p95, 3), "p99": _rounded(p99, 3)},
            "alerts_digest": report.alerts.digest,
            "database": str(report.database),
        }
    ).decode()


def print_report(report: Report, console: Console) -> None:
    """Everything the run came to, and the command that opens it."""
    totals = report.totals
    console.print(
        Text(f"{report.source}: {_count(totals.transactions + totals.duplicates + totals.dead_letters)} records")
    )
    console.print(_overview(report))
    if totals.dead_letter_reasons:
        _section(console, "Dead letters", _counts(totals.dead_letter_reasons))
    _section(console, "Why alerts were raised", _counts(report.alerts.top_reasons[:TOP_REASONS]))
    if report.labels.labelled:
        _section(console, f"Against {_count(report.labels.labelled)} labels", _labels(report.labels))
        console.print(Text("precision of a scenario: of the alerts on it or on honest traffic, the share on it"))
        console.print(Text("first, after: on which fraud of an attack its first alert came, and when (medians)"))
    console.print()
    if report.run.places_unreliable:
        console.print(
            Text(
                "! Most journeys in this source are impossible: its places are not where the cards are, "
                "so travel and distance were left out of scoring."
            )
        )
    if report.drift is not None:
        console.print(Text(_drift_line(report.drift)))
    console.print(Text(f"alerts digest {report.alerts.digest}"))
    # Unwrapped, so that the command can be copied whole.
    console.print(Text(f"open it with: sentinel-tui --database {shlex.quote(str(report.database))}"), soft_wrap=True)


def _overview(report: Report) -> Table:
    totals, alerts = report.totals, report.alerts
    levels = dict(alerts.by_level)
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = [
        ("transactions stored", _count(totals.transactions)),
        ("duplicates", _count(totals.duplicates)),
        ("dead letters", _count(totals.dead_letters)),
        ("late, in no window", _count(totals.late)),
        ("alerts", f"{_count(alerts.total)} ({_share(alerts.total, totals.transactions)} of transactions)"),
        *((f"  {level}", _count(levels[level])) for level in reversed(RiskLevel)),
        ("cases opened", _count(alerts.cases_opened)),
        ("throughput", "nothing new to read" if report.throughput is None else f"{report.throughput:,.0f} records/s"),
        ("latency p50 / p95 / p99", " / ".join(_milliseconds(value) for value in report.run.latency_ms)),
        ("peak memory", f"{_peak_memory_mb():,.0f} MB"),
    ]
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def _section(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(title, "bold"))
    console.print(table)


def _counts(counts: tuple[tuple[str, int], ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("reason")
    table.add_column("count", justify="right")
    for name, count in counts:
        table.add_row(Text(clean(name)), Text(_count(count)))
    return table


def _labels(labels: LabelFigures) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("scenario")
    for name in ("alerted", "recall", "precision", "attacks caught", "first", "after"):
        table.add_column(name, justify="right")
    for each in labels.scenarios:
        table.add_row(
            Text(clean(each.scenario)),
            Text(f"{_count(each.alerted)}/{_count(each.frauds)}"),
            Text(f"{each.recall:.3f}"),
            Text(_ratio(each.precision)),
            Text(f"{_count(each.attacks_caught)}/{_count(each.attacks)}"),
            Text("-" if each.first_alert_at is None else f"{each.first_alert_at:g}"),
            Text("-" if each.first_alert_after_us is None else _duration(each.first_alert_after_us)),
        )
    table.add_row(
        Text("all"),
        Text(f"{_count(labels.frauds_alerted)}/{_count(labels.frauds)}"),
        Text(_ratio(labels.recall)),
        Text(_ratio(labels.precision)),
    )
    return table


def _drift_values(drift: Drift) -> dict[str, object]:
    rate = drift.alert_rate
    return {
        "level": drift.level.value.replace(" ", "_"),
        "alarm": drift.alarm,
        "reference": drift.window.value,
        "settled": drift.is_settled,
        "transactions": drift.transactions,
        "from": f"{drift.since:%Y-%m-%d}",
        "to": f"{drift.until:%Y-%m-%d}",
        "scores": {each.name: _rounded(each.index, 4) for each in drift.scores},
        "features": {each.name: _rounded(each.index, 4) for each in drift.features},
        "alert_rate": {
            "share": _rounded(rate.share, 6),
            "target": _rounded(rate.target, 6),
            "ratio": _rounded(rate.ratio, 3),
            "ratio_interval": [_rounded(end, 3) for end in rate.ratio_interval],
        },
    }


def _learning(drift: Drift) -> str:
    if drift.settled_on is not None:
        return f"this site's first week, before {drift.settled_on:%Y-%m-%d}, is what later days are compared with"
    seen = f"{_count(drift.watched)} of the {_count(SITE_ROWS)} transactions"
    return f"{seen} seen by which it is decided what to compare with"


def _drift_line(drift: Drift) -> str:
    if drift.alarm is not None:
        return f"! Drift: {drift.alarm}; {WHAT_TO_DO}"
    if not drift.is_settled:
        return f"drift: {_learning(drift)}"
    against = "the training window" if drift.window is Window.TRAINING else "this site's first week"
    largest = max((*drift.scores, *drift.features), key=lambda each: each.index)
    return f"drift against {against}: {drift.level.value}; largest PSI {largest.index:.2f}, {largest.title}"


def _scenario(figures: ScenarioFigures) -> dict[str, int | float | None]:
    after_us = figures.first_alert_after_us
    return {
        "frauds": figures.frauds,
        "alerted": figures.alerted,
        "recall": _rounded(figures.recall, 6),
        "precision": _rounded(figures.precision, 6),
        "attacks": figures.attacks,
        "attacks_caught": figures.attacks_caught,
        "attack_recall": _rounded(figures.attack_recall, 6),
        "first_alert_at": figures.first_alert_at,
        "first_alert_after_s": None if after_us is None else round(after_us / 1e6, 3),
    }


def _duration(microseconds: float) -> str:
    seconds = round(microseconds / 1e6)
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _count(value: int) -> str:
    return f"{value:,}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


def _peak_memory_mb() -> float:
    """The process's peak resident memory; the kernel counts in KiB on Linux, in bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
