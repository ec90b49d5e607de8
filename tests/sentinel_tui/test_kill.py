"""A replay that is killed again and again ends where an uninterrupted one does."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

KILLS = 10
COUNTED = (
    "transactions",
    "alerts",
    "cases",
    "case_activities",
    "customers",
    "dead_letters",
    "source_positions",
    "rollup_minute",
    "rollup_hour",
    "rollup_category",
    "rollup_reason",
)
EQUAL_COLUMNS = """
SELECT seq, transaction_id, score, model_score, velocity, level_rank, late FROM transactions ORDER BY seq
"""


def replay_command(file: Path, database: Path) -> list[str]:
    return [
        sys.executable, "-m", "sentinel_tui", "replay", str(file), "--label", "is_fraud", "--json",
        "--database", str(database),
    ]  # fmt: skip


def finish(file: Path, database: Path) -> dict[str, object]:
    done = subprocess.run(replay_command(file, database), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def stored_offset(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT next_offset FROM source_positions").fetchone()
            return 0 if row is None else int(row[0])
    except sqlite3.OperationalError:
        return 0


def kill_once_it_moves(file: Path, database: Path, delay: float) -> int:
    """Start the replay, kill -9 it ``delay`` seconds after it stored something new; its return code."""
    before = stored_offset(database)
    process = subprocess.Popen(
        replay_command(file, database), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    with process:
        while process.poll() is None and stored_offset(database) == before:
            time.sleep(0.01)
        time.sleep(delay)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def row_counts(database: Path) -> dict[str, int]:
    with closing(sqlite3.connect(database)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - names are ours
            for table in COUNTED
        }


def decisions(database: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(EQUAL_COLUMNS).fetchall()


def test_killed_replay_ends_as_an_uninterrupted_one(
    traffic: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_PATH", str(model_file))
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    expected = finish(traffic, whole)

    chance = random.Random(20260302)
    codes = [kill_once_it_moves(traffic, killed, chance.uniform(0, 0.15)) for _ in range(KILLS)]
    assert codes.count(-signal.SIGKILL) == KILLS, "the replay must be alive each time it is killed"
    resumed = finish(traffic, killed)

    assert resumed["alerts_digest"] == expected["alerts_digest"]
    for key in ("transactions", "duplicates", "dead_letters", "alerts", "cases", "labels"):
        assert resumed[key] == expected[key]
    assert row_counts(killed) == row_counts(whole)
    assert decisions(killed) == decisions(whole)
