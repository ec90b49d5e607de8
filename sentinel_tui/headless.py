"""Runs the engine without the app: on a thread of its own, with live progress on a terminal."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from engine.messages import EngineSnapshot, SnapshotQueue
from engine.pipeline import RunTotals
from sentinel_tui.runtime import EngineRun, Job

POLL_S = 0.2

Result = TypeVar("Result")


class Interrupted(Exception):  # noqa: N818 - it is a stop that was asked for, not an error
    """SIGINT, SIGTERM or SIGHUP ended the run after a whole batch; its text says what became of the work."""

    def __init__(
        self, outcome: str = "stopped; what was scored is stored, and the same command goes on from there"
    ) -> None:
        super().__init__(outcome)


def run_headless(run: EngineRun, job: Job, snapshots: SnapshotQueue) -> RunTotals:
    """Run to the end of the source, showing progress on stderr when that is a terminal.

    Raises:
        SentinelError: as the engine raised it.
        Interrupted: a signal ended the run; what was scored is stored.
    """
    return run_with_progress(lambda: run.run(job), run.stop, snapshots)


def run_with_progress(work: Callable[[], Result | None], stop: Callable[[], None], snapshots: SnapshotQueue) -> Result:
    """Do ``work`` on a thread of its own, showing the snapshots it leaves on stderr when that is a terminal.

    Raises:
        Exception: as ``work`` raised it.
        Interrupted: a signal called ``stop``, or ``work`` returned None.
    """
    outcome: list[Result | BaseException | None] = []

    def keep_outcome() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=keep_outcome, name="engine", daemon=True)
    with _stop_on_signals(stop) as interrupted:
        thread.start()
        with _progress() as progress:
            task = progress.add_task("starting", total=None, figures="")
            while thread.is_alive():
                thread.join(POLL_S)
                _show(progress, task, snapshots.latest())
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    if interrupted or result is None:
        raise Interrupted
    return result


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _show(progress: Progress, task: TaskID, snapshot: EngineSnapshot | None) -> None:
    if snapshot is None:
        return
    share = snapshot.fraction_done
    figures = f"{snapshot.records:,} records  {snapshot.rate:,.0f}/s  {snapshot.alerts:,} alerts"
    if snapshot.notice:
        figures += f"  ! {snapshot.notice}"
    progress.update(
        task,
        description=snapshot.state.value,
        completed=0.0 if share is None else share,
        total=None if share is None else 1.0,
        figures=figures if snapshot.records else "",
    )


@contextmanager
def _stop_on_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Let the first signal end the run in order; a second one does what it always does."""
    received: list[int] = []
    previous: dict[signal.Signals, Any] = {}

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, previous[signal.Signals(number)])
        stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        previous[number] = signal.signal(number, handle)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
