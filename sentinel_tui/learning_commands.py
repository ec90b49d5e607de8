"""The commands by which the engine learns: labels in, models trained, compared, promoted and rolled back."""

import sys
import threading
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from data.errors import SettingError
from data.label_writes import LabelWriter
from data.model_registry import (
    UNSUPERVISED,
    ModelRegistry,
    RegisteredModel,
    holders,
    latest_role_id,
    models,
    predecessor,
)
from engine.backtest_plan import parse_delay
from engine.label_file import label_columns, open_labels
from engine.messages import EngineSnapshot, EngineState, SnapshotQueue
from engine.shadow import compare_in_shadow
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
from sentinel_tui.model_report import (
    models_as_json,
    print_models,
    print_shadow,
    print_training,
    shadow_as_json,
    training_as_json,
)
from sentinel_tui.model_run import Trained, train_model
from sentinel_tui.runtime import SYSTEM_CLOCKS, StoppedError, thresholds_of
from sentinel_tui.settings import load_settings
from sentinel_tui.training_process import serve_supervisor, tell_supervisor


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


models_app = typer.Typer(
    name="model",
    help="Models that learn from labels: list, train, compare, promote, roll back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@models_app.command("list")
def list_models(
    as_json_object: JsonOption = False, database: DatabaseOption = None, overrides: SetOption = None
) -> None:
    """Show all models, their data, their trials, and which of them decides or competes."""
    store = existing_store(load_settings(flags(overrides)).values, database)
    with closing(store.reader()) as reader:
        found, held = models(reader), holders(reader)
    if as_json_object:
        print(models_as_json(found, held))
    else:
        print_models(found, held, Console())


@models_app.command()
def train(
    as_json_object: JsonOption = False,
    supervised: Annotated[
        bool, typer.Option("--supervised", hidden=True, help="At low priority, for a program that reads the progress.")
    ] = False,
    database: DatabaseOption = None,
    overrides: SetOption = None,
) -> None:
    """Train a model on all labels, try it on the latest days, and let it compete as challenger."""
    if supervised:
        serve_supervisor()
    settings = load_settings(flags(overrides)).values
    store = existing_store(settings, database)
    actor = analyst(store)
    log_to_file(settings)
    snapshots = SnapshotQueue()
    stopping = threading.Event()

    def progress(share: float) -> None:
        if stopping.is_set():
            raise StoppedError
        snapshots.put(EngineSnapshot(EngineState.TRAINING, "labels", fraction_done=share))
        if supervised:
            tell_supervisor(share)

    def work() -> Trained:
        return train_model(store, settings, actor, SYSTEM_CLOCKS.now(), progress)

    try:
        trained = run_with_progress(unless_stopped(work), stopping.set, snapshots)
    except Interrupted:
        raise Interrupted("stopped; no model was entered") from None
    if as_json_object:
        print(training_as_json(trained))
    else:
        print_training(trained, Console())


@models_app.command()
def compare(as_json_object: JsonOption = False, database: DatabaseOption = None, overrides: SetOption = None) -> None:
    """Compare champion and challenger on the transactions that both have scored."""
    settings = load_settings(flags(overrides)).values
    shadow = compare_in_shadow(existing_store(settings, database), thresholds_of(settings))
    if as_json_object:
        print(shadow_as_json(shadow))
    else:
        print_shadow(shadow, Console())


YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


@models_app.command()
def promote(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Which model; without it, the challenger.")
    ] = None,
    yes: YesOption = False,
    database: DatabaseOption = None,
    overrides: SetOption = None,
) -> None:
    """Let a model decide from the engine's next batch on."""
    store = existing_store(load_settings(flags(overrides)).values, database)
    with closing(store.reader()) as reader:
        as_of, held = latest_role_id(reader), holders(reader)
    chosen = version or (None if held.challenger is None else held.challenger.version)
    if chosen is not None and not yes:
        _confirm(f"Let {chosen} decide, in the place of {_name(held.champion)}?")
    registry = ModelRegistry(store, analyst(store))
    print(f"{registry.promote(version, SYSTEM_CLOCKS.now(), as_of)} decides from the engine's next batch on")


@models_app.command()
def rollback(yes: YesOption = False, database: DatabaseOption = None, overrides: SetOption = None) -> None:
    """Let that model decide again which did before the present champion; the anomaly model alone at the last."""
    store = existing_store(load_settings(flags(overrides)).values, database)
    with closing(store.reader()) as reader:
        as_of, champion, before = latest_role_id(reader), holders(reader).champion, predecessor(reader)
    if champion is not None and not yes:
        _confirm(f"Let {_name(before)} decide again, in the place of {champion.version}?")
    registry = ModelRegistry(store, analyst(store))
    print(f"{registry.rollback(SYSTEM_CLOCKS.now(), as_of)} decides from the engine's next batch on")


def _name(model: RegisteredModel | None) -> str:
    return UNSUPERVISED if model is None else model.version


def _confirm(question: str) -> None:
    """
    Raises:
        SettingError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise SettingError(f"{question} There is no terminal to answer on: add --yes")
    typer.confirm(question, abort=True)
