"""What several commands share: options, settings from flags, the store they work on, the analyst, the log."""

import getpass
import logging
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from data.analyst_writes import AnalystWriter
from data.errors import SettingError, StoreError
from data.store import Store
from sentinel_tui.runtime import SYSTEM_CLOCKS, StoppedError
from sentinel_tui.settings import Settings, data_folder

MAX_LOG_BYTES = 5_000_000

Result = TypeVar("Result")

DatabaseOption = Annotated[
    Path | None, typer.Option("--database", metavar="FILE", help="SQLite file; over DATABASE_URL.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a setting; may be repeated.", show_default=False),
]
PresetOption = Annotated[str | None, typer.Option("--preset", help="Columns of a known format: handbook or platform.")]
MapOption = Annotated[
    str | None, typer.Option("--map", metavar="FIELD=COLUMN,…", help="Columns of the fields; refines a preset.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")]


def flags(overrides: list[str] | None) -> dict[str, str]:
    """The settings that ``--set`` names, with their texts.

    Raises:
        SettingError: one of them is not NAME=VALUE.
    """
    given = {}
    for override in overrides or []:
        name, equals, value = override.partition("=")
        if not equals:
            raise SettingError(f"--set {override[:80]!r} has no value: write --set NAME=VALUE")
        given[name.strip()] = value
    return given


def existing_store(settings: Settings, database: Path | None) -> Store:
    """The store that a command works on, which must be there already: a typing error must not make an empty one.

    Raises:
        StoreError: there is no such file, or it cannot be opened.
    """
    path = database or settings.database_path or data_folder() / "sentinel.db"
    if not path.exists():
        raise StoreError(f"there is no database {path}: name the one you mean with --database")
    return Store.open(path)


def analyst(store: Store) -> str:
    """The user of the operating system, signed in."""
    return AnalystWriter(store, getpass.getuser()).sign_in(SYSTEM_CLOCKS.now()).name


def unless_stopped(work: Callable[[], Result]) -> Callable[[], Result | None]:
    """The same work, which comes to None where a stop was asked for."""

    def run() -> Result | None:
        try:
            return work()
        except StoppedError:
            return None

    return run


def log_to_file(settings: Settings) -> None:
    """Let the log of this process go to a file in the data folder, and nowhere else.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = data_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = RotatingFileHandler(folder / "sentinel.log", maxBytes=MAX_LOG_BYTES, backupCount=2, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written ({error.strerror}): set XDG_DATA_HOME to a folder of yours"
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=settings.LOG_LEVEL.value, handlers=[handler], force=True)
