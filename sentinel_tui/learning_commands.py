"""The commands by which the engine learns: labels in, models trained, compared, promoted and rolled back."""

import threading
from typing import Annotated

import typer
from rich.console import Console

from data.label_writes import LabelWriter
from engine.backtest_plan import parse_delay
from engine.label_file import label_columns, open_labels
from engine.messages import EngineSnapshot, EngineState, SnapshotQueue
from sentinel_tui.command_options import (
    DatabaseOption,
    JsonOption,
    SetOption,
    analyst,
    existing_store,
    flags,
    log_to_file,
    unless_stopped,
)
from sentinel_tui.headless import Interrupted, run_with_progress
from sentinel_tui.label_run import LabelRun, labels_as_json, print_labels
from sentinel_tui.runtime import SYSTEM_CLOCKS, StoppedError
from sentinel_tui.settings import load_settings


def label(
    file: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON or CSV, plain or gzip; - is standard input.")],
    preset_name: Annotated[str | None, typer.Option("--preset", help="Columns of a known format: handbook.")] = None,
    mapping: Annotated[
        str | None,
        typer.Option("--map", metavar="FIELD=COLUMN,…", help="Columns of transaction_id, fraud (0/1), known_at."),
    ] = None,
    delay: Annotated[
        str,
        typer.Option(
            "--delay", metavar="7d", help="How long after its transaction a label without known_at was known."
        ),
    ] = "7d",
    correct: Annotated[
        bool, typer.Option("--correct", help="Replace labels that say the opposite, instead of refusing.")
    ] = False,
    as_json_object: JsonOption = False,
    database: DatabaseOption = None,
    overrides: SetOption = None,
) -> None:
    """Import chargebacks: which transactions were fraud, and when that was known."""
    settings = load_settings(flags(overrides)).values
    labels = open_labels(file, label_columns(preset_name, mapping), monotonic=SYSTEM_CLOCKS.monotonic)
    store = existing_store(settings, database)
    writer = LabelWriter(store, analyst(store))
    log_to_file(settings)
    snapshots = SnapshotQueue()
    stopping = threading.Event()

    def progress(share: float | None, lines: int) -> None:
        if stopping.is_set():
            raise StoppedError
        snapshots.put(EngineSnapshot(EngineState.RUNNING, "labels", records=lines, fraction_done=share))

    run = LabelRun(labels, writer, parse_delay(delay), correct=correct, now=SYSTEM_CLOCKS.now(), progress=progress)
    try:
        outcome = run_with_progress(unless_stopped(run.run), stopping.set, snapshots)
    except Interrupted:
        raise Interrupted(
            "stopped; the labels that were written stay, and the same file again changes nothing"
        ) from None
    if as_json_object:
        print(labels_as_json(outcome))
    else:
        print_labels(outcome, Console())
