"""The engine and the data layer run where no UI library is installed: a fresh interpreter imports all of both."""

import subprocess
import sys

IMPORT_ALL = """
import importlib, pkgutil, sys
import data, engine

names = [
    module.name
    for package in (data, engine)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
]
for name in names:
    importlib.import_module(name)
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(len(names), *loaded)
"""

UI = {"textual", "textual_plotext", "plotext", "rich", "typer", "screens", "sentinel_tui"}


def loaded_by(script: str) -> tuple[int, set[str]]:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    count, *loaded = run.stdout.split()
    return int(count), set(loaded)


def test_engine_and_data_load_without_any_ui_library() -> None:
    modules, loaded = loaded_by(IMPORT_ALL)
    assert modules >= 15
    assert {"data", "engine", "pydantic"} <= loaded
    assert not loaded & UI


def test_data_loads_without_the_engine() -> None:
    _, loaded = loaded_by(IMPORT_ALL.replace("data, engine\n", "data\n").replace("(data, engine)", "(data,)"))
    assert "data" in loaded
    assert not loaded & (UI | {"engine"})
