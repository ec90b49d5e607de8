"""The command line. Every failure a user can act on is one line on stderr and exit code 2."""

import hashlib
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.errors import SentinelError, SettingError
from data.store import Store
from engine.backtest_plan import DEFAULT_BUDGET, BacktestPlan, DateRange, Labels, parse_delay
from engine.columns import ColumnMap, parse_map, preset
from engine.decode import JsonDecoder
from engine.files import open_file
from engine.generator import GeneratorConfig, GeneratorSource
from engine.messages import SnapshotQueue
from engine.pipeline import RunTotals
from sentinel_tui import __version__, audit_command, learning_commands, rings_command
from sentinel_tui.backtest_report import backtest_as_json, print_backtest
from sentinel_tui.backtest_run import BacktestRun
from sentinel_tui.command_options import (
    DatabaseOption,
    JsonOption,
    MapOption,
    PresetOption,
    SetOption,
    flags,
    log_to_file,
)
from sentinel_tui.headless import Interrupted, run_headless, run_with_progress
from sentinel_tui.report import as_json, print_report, read_report
from sentinel_tui.runtime import SYSTEM_CLOCKS, EngineRun, Job
from sentinel_tui.settings import LoadedSettings, Settings, data_folder, load_settings
from sentinel_tui.training_watch import TrainingWatch

FAILURE = 2
DEMO_START = datetime(2026, 1, 5, tzinfo=UTC)
DEMO_TRANSACTIONS = 20_000
DEMO_SEED = 7

app = typer.Typer(
    name="sentinel-tui",
    help="Real-time card-fraud detection and triage in the terminal.",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"sentinel-tui {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main_command(
    context: typer.Context,
    demo: Annotated[bool, typer.Option("--demo", help="Run the whole pipeline headless on the generator.")] = False,
    transactions: Annotated[
        int | None,
        typer.Option("--transactions", min=1, help="With --demo: how many records to draw.", show_default="20000"),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the generator.", show_default="7")] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            min=0.1,
            help="Records per second in real time. Without it, --demo runs as fast as it can.",
            show_default=False,
        ),
    ] = None,
    as_json_object: JsonOption = False,
    database: DatabaseOption = None,
    overrides: SetOption = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Open the app, or with --demo run headless and report."""
    if context.invoked_subcommand is not None:
        return
    loaded = load_settings(flags(overrides))
    seed = DEMO_SEED if seed is None else seed
    if demo:
        _demo(loaded, transactions or DEMO_TRANSACTIONS, seed, rate, database, as_json_object)
        return
    if transactions is not None or as_json_object:
        raise SettingError("--transactions and --json go with --demo: add it, or leave them out")
    _open_app(loaded, seed, rate, database)


@app.command()
def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON or CSV, plain or gzip; - is standard input.")],
    preset_name: PresetOption = None,
    mapping: MapOption = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="Ground truth (0/1), for precision and recall.")
    ] = None,
    as_json_object: JsonOption = False,
    database: DatabaseOption = None,
    overrides: SetOption = None,
) -> None:
    """Score a file. Run again, it goes on where it stopped."""
    loaded = load_settings(flags(overrides))
    columns = _columns(preset_name, mapping, label)
    source, decoder = open_file(file, columns, monotonic=SYSTEM_CLOCKS.monotonic)
    path = database or loaded.values.database_path or data_folder() / _replay_database(file, source.partition)
    job = Job(source, decoder, simulated_time=False)
    _run_and_report(loaded, path, job, seed=None, as_json_object=as_json_object)


@app.command()
def bench(
    transactions: Annotated[
        int, typer.Option("--transactions", min=1_000, help="Records through the pipeline.")
    ] = 20_000,
    cards: Annotated[int, typer.Option("--cards", min=10_000, help="Cards in memory, against 10,000.")] = 1_000_000,
    latency_seconds: Annotated[
        float, typer.Option("--latency-seconds", min=1, help="Seconds at 500 records a second.")
    ] = 10.0,
    as_json_object: JsonOption = False,
) -> None:
    """Measure what a transaction costs on this machine."""
    from sentinel_tui.bench import BenchSize, run_bench  # noqa: PLC0415 - loads only when it is asked for

    def tell(what: str) -> None:
        print(f"measuring: {what}", file=sys.stderr)

    figures = run_bench(
        BenchSize(transactions, cards, latency_seconds), tell if sys.stderr.isatty() else lambda _: None
    )
    rounded = figures.rounded()
    if as_json_object:
        print(orjson.dumps(rounded).decode())
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rounded.items():
        for part, figure in value.items() if isinstance(value, dict) else [("", value)]:
            table.add_row(f"{name} {part}".strip(), f"{figure:,}")
    Console().print(table)


@app.command()
def backtest(
    file: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON or CSV, plain or gzip; - is standard input.")],
    preset_name: PresetOption = None,
    mapping: MapOption = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="Ground truth (0/1).", show_default=False)
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Use no labels: what the engine finds on its first day.")
    ] = False,
    train: Annotated[
        str | None,
        typer.Option("--train", metavar="A..B", help="Days to learn from, such as 2018-06-03..2018-06-09."),
    ] = None,
    delay: Annotated[
        str, typer.Option("--delay", metavar="7d", help="How long after a transaction its label is known.")
    ] = "7d",
    test: Annotated[
        str | None, typer.Option("--test", metavar="C..D", help="Days to test on; without it, all of them.")
    ] = None,
    budget: Annotated[
        int, typer.Option("--budget", help="Transactions that analysts can review in a day.")
    ] = DEFAULT_BUDGET,
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="all|dispositions",
            help="Each label is known --delay late, or analysts dispose of cards and chargebacks come --delay late.",
        ),
    ] = Labels.ALL.value,
    capacity: Annotated[
        int | None,
        typer.Option("--capacity", help="Cards that analysts dispose of in a day.", show_default=False),
    ] = None,
    as_json_object: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Replay a labelled file through the engine, in event time, and say what its scores were worth."""
    settings = load_settings(flags(overrides)).values
    plan = BacktestPlan(
        cold=cold,
        train=None if train is None else DateRange.parse("--train", train),
        delay=parse_delay(delay),
        test=None if test is None else DateRange.parse("--test", test),
        budget=budget,
        labels=Labels.parse(labels),
        capacity=capacity,
    )
    columns = _columns(preset_name, mapping, label)
    if columns.label is None:
        raise SettingError("a backtest needs ground truth: name its column with --label COLUMN")
    source, decoder = open_file(file, columns, monotonic=SYSTEM_CLOCKS.monotonic)
    log_to_file(settings)
    snapshots = SnapshotQueue()
    run = BacktestRun(source, decoder, columns.label, plan, settings, SYSTEM_CLOCKS, snapshots)
    try:
        report = run_with_progress(run.run, run.stop, snapshots)
    except Interrupted:
        raise Interrupted("stopped; nothing of a backtest is kept") from None
    if as_json_object:
        print(backtest_as_json(report))
    else:
        print_backtest(report, plan, Console())


app.command()(learning_commands.label)
app.command()(rings_command.rings)
app.command()(audit_command.audit)
app.add_typer(learning_commands.models_app)


@app.command()
def config(overrides: SetOption = None) -> None:
    """Print every setting, its value, and where the value came from."""
    loaded = load_settings(flags(overrides))
    Console().print(_settings_table(loaded))
    print(f"settings file: {loaded.file}{'' if loaded.file.exists() else ' (not there)'}")
    print(f"data folder:   {data_folder()}")


def main() -> None:
    """The console script's entry: no traceback reaches a user."""
    command = typer.main.get_command(app)
    try:
        sys.exit(command.main(standalone_mode=True))
    except SentinelError as error:
        _fail(str(error))
    except Interrupted as stopped:
        print(str(stopped), file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _fail(message: str) -> None:
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    print(f"sentinel-tui: {line}", file=sys.stderr)
    sys.exit(FAILURE)


def _demo(
    loaded: LoadedSettings,
    transactions: int,
    seed: int,
    rate: float | None,
    database: Path | None,
    as_json_object: bool,
) -> None:
    settings = loaded.values
    config = GeneratorConfig(
        seed=seed,
        start=DEMO_START if rate is None else SYSTEM_CLOCKS.now(),
        rate=rate,
        records=transactions,
        fraud_probability=settings.FRAUD_PROBABILITY,
        velocity_attack_probability=settings.VELOCITY_ATTACK_PROBABILITY,
    )
    source = GeneratorSource(config, SYSTEM_CLOCKS.now, SYSTEM_CLOCKS.monotonic)
    path = database or settings.database_path
    if path is None:
        path = data_folder() / "demo.db"
        _remove_demo(path)
    columns = ColumnMap(label="is_fraud", scenario="scenario")
    job = Job(source, JsonDecoder(columns), simulated_time=rate is None)
    _run_and_report(loaded, path, job, seed=seed, as_json_object=as_json_object)


def _remove_demo(path: Path) -> None:
    """Each demo starts from nothing, unless a database was named; one that is open elsewhere is left alone."""
    if not path.exists():
        return
    with Store(path).engine_lock():
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def _run_and_report(loaded: LoadedSettings, path: Path, job: Job, *, seed: int | None, as_json_object: bool) -> None:
    settings = loaded.values
    store = Store.open(path)
    log_to_file(settings)
    snapshots = SnapshotQueue()
    run = EngineRun(store, settings, SYSTEM_CLOCKS, snapshots)
    with TrainingWatch(store, SYSTEM_CLOCKS, loaded.flags, automatic=settings.TRAIN_AUTOMATICALLY):
        totals: RunTotals = run_headless(run, job, snapshots)
    with closing(store.reader()) as reader:
        report = read_report(reader, job.source.name, job.source.partition, seed, totals, store.path)
    if as_json_object:
        print(as_json(report))
    else:
        print_report(report, Console())


def _open_app(loaded: LoadedSettings, seed: int, rate: float | None, database: Path | None) -> None:
    settings = loaded.values
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        _fail("there is no terminal here: use `sentinel-tui --demo` to run headless")
    if settings.KAFKA_BOOTSTRAP_SERVERS:
        raise SettingError(
            "KAFKA_BOOTSTRAP_SERVERS is set, but this version does not read from Kafka yet: unset it to use the "
            "generator, or score a file with `sentinel-tui replay FILE --preset platform`"
        )
    from sentinel_tui.workbench import open_workbench  # noqa: PLC0415 - Textual loads only when the app is shown

    log_to_file(settings)
    path = database or settings.database_path or data_folder() / "sentinel.db"
    open_workbench(Store.open(path), loaded, seed, rate or settings.TRANSACTIONS_PER_SECOND)


def _columns(preset_name: str | None, mapping: str | None, label: str | None) -> ColumnMap:
    columns = ColumnMap() if preset_name is None else preset(preset_name)
    if mapping is not None:
        columns = parse_map(mapping, columns)
    return columns if label is None else columns.with_label(label)


def _replay_database(file: str, partition: str) -> str:
    """A database for each file, so that files of different periods do not disturb each other's event time."""
    if file == "-":
        return "replay-stdin.db"
    name = Path(file).name.split(".", 1)[0] or "file"
    return f"replay-{name}-{hashlib.sha256(partition.encode()).hexdigest()[:12]}.db"


def _settings_table(loaded: LoadedSettings) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("setting", "value", "from", "what it is"):
        table.add_column(column, overflow="fold")
    for name, field in Settings.model_fields.items():
        value = getattr(loaded.values, name)
        shown = "" if value is None else str(value)
        table.add_row(name, Text(shown), loaded.origins[name].value, field.description or "")
    return table
