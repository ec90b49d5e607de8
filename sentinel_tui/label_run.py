"""The label command: a file of labels into the store, and what became of every line of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.label_writes import GivenLabel, LabelCounts, LabelWriter, RefusedLabel
from data.models import LabelSource
from engine.label_file import LabelFile, UnreadableLabel
from sentinel_tui.plain_text import printable

LISTED = 20
"""Refused lines that are shown; ``--json`` has all of them."""
_LINES_AT_ONCE = 10_000
UNREADABLE = "unreadable"


@dataclass(slots=True)
class LabelOutcome:
    """Every line of the file is in exactly one of the counts or lists."""

    fraud: int = 0
    honest: int = 0
    known_before: int = 0
    corrected: int = 0
    refused: list[RefusedLabel] = field(default_factory=list)
    unreadable: list[UnreadableLabel] = field(default_factory=list)

    def add(self, counts: LabelCounts) -> None:
        """Take in what became of one lot."""
        self.fraud += counts.fraud
        self.honest += counts.honest
        self.known_before += counts.known_before
        self.corrected += counts.corrected
        self.refused += counts.refused

    @property
    def problems(self) -> list[tuple[int, str, str, str]]:
        """Line, transaction, problem and detail of everything that was not taken, in order of lines."""
        refused = [
            (each.given.line, each.given.transaction_id, each.problem.value, each.detail) for each in self.refused
        ]
        return sorted([*refused, *((each.line, "", UNREADABLE, each.detail) for each in self.unreadable)])


class LabelRun:
    """Reads a file and writes its labels, lot by lot; ``progress`` is told the share read, and may raise to stop."""

    def __init__(
        self,
        file: LabelFile,
        writer: LabelWriter,
        delay: timedelta,
        *,
        correct: bool,
        now: datetime,
        progress: Callable[[float | None, int], None],
    ) -> None:
        self._file = file
        self._writer = writer
        self._delay_us = delay // timedelta(microseconds=1)
        self._correct = correct
        self._now = now
        self._progress = progress
        self._outcome = LabelOutcome()
        self._lines = 0

    def run(self) -> LabelOutcome:
        """Write everything.

        Raises:
            SourceError, StoreError: as reading and writing raise them; what came before is written.
        """
        asyncio.run(self._run())
        return self._outcome

    async def _run(self) -> None:
        waiting: list[GivenLabel] = []
        async with aclosing(self._file.lots()) as lots:
            async for lot in lots:
                waiting += lot.labels
                self._outcome.unreadable += lot.unreadable
                self._lines += len(lot.labels) + len(lot.unreadable)
                if len(waiting) >= _LINES_AT_ONCE:
                    self._write(waiting)
                    waiting = []
                self._progress(lot.fraction_read, self._lines)
        self._write(waiting)

    def _write(self, labels: Sequence[GivenLabel]) -> None:
        for counts in self._writer.add(
            labels, LabelSource.CHARGEBACK, self._now, delay_us=self._delay_us, correct=self._correct
        ):
            self._outcome.add(counts)
            self._progress(None, self._lines)


def labels_as_json(outcome: LabelOutcome) -> str:
    """The outcome as one JSON object, with every line that was not taken."""
    value = {
        "fraud": outcome.fraud,
        "honest": outcome.honest,
        "known_before": outcome.known_before,
        "corrected": outcome.corrected,
        "refused": dict(sorted(Counter(problem for _, _, problem, _ in outcome.problems).items())),
        "lines": [
            {"line": line, "transaction_id": transaction, "problem": problem, "detail": detail}
            for line, transaction, problem, detail in outcome.problems
        ],
    }
    return orjson.dumps(value).decode()


def print_labels(outcome: LabelOutcome, console: Console) -> None:
    """The outcome for people, with the first lines that were not taken."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("labels taken", f"{outcome.fraud:,} fraud, {outcome.honest:,} honest")
    if outcome.corrected:
        table.add_row("of these corrections", f"{outcome.corrected:,}")
    table.add_row("known already", f"{outcome.known_before:,}")
    problems = outcome.problems
    for problem, count in sorted(Counter(problem for _, _, problem, _ in problems).items()):
        table.add_row(f"refused, {problem.replace('_', ' ')}", f"{count:,}")
    console.print(table)
    for line, transaction, problem, detail in problems[:LISTED]:
        console.print(Text(printable(f"  line {line:,}: {transaction} {problem.replace('_', ' ')}: {detail}")))
    if len(problems) > LISTED:
        console.print(f"  … and {len(problems) - LISTED:,} more; --json lists all of them")
