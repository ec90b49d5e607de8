"""The audit log as an auditor reads it: a real process on a database in which something was decided."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.model_registry import ModelRegistry
from data.store import Store

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def sentinel(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sentinel_tui", "audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, text=True)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    store = Store.open(tmp_path / "sentinel.db")
    registry = ModelRegistry(store, "a\x1b[31mna")
    registry.register("m-1", "m-1.npz", "{}", "{}", (1, b""), NOW)
    registry.promote(None, NOW)
    return store.path


def test_the_log_is_shown_with_its_head_and_nothing_that_a_terminal_obeys(database: Path) -> None:
    done = sentinel("--database", database)
    assert done.returncode == 0, done.stderr
    assert "3 entries, the chain holds" in done.stdout
    assert "\x1b" not in done.stdout
    value = json.loads(sentinel("--database", database, "--json", "--limit", 1).stdout)
    assert (value["entries"], len(value["latest"])) == (3, 1)
    assert f"3 {value['head']}" in done.stdout


def test_an_edit_is_one_line_and_exit_code_2(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE audit_log SET actor = 'nobody' WHERE id = 2")
    done = sentinel("--database", database)
    assert done.returncode == 2
    assert "edited, cut or out of order from entry 2 on" in done.stderr
    assert done.stdout == ""


def test_an_empty_log_says_so(tmp_path: Path) -> None:
    Store.open(tmp_path / "new.db")
    assert "Nothing has been decided" in sentinel("--database", tmp_path / "new.db").stdout
