"""The program as real processes, on a labelled stream with fraud that can be learnt."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from ..card_stream import card_stream

CARDS, MERCHANTS, DAYS, TAUGHT_DAYS = 80, 50, 26, 16
PER_DAY = 4 * CARDS
TAUGHT = TAUGHT_DAYS * PER_DAY
RECORDS = card_stream(DAYS, CARDS, MERCHANTS)
PATIENCE_S = 60.0


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sentinel_tui", *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def sentinel(*arguments: object, stdin: str = "", code: int = 0) -> str:
    """What a command prints on stdout, or on stderr where it is to fail."""
    with start(*arguments) as process:
        printed, complaint = process.communicate(stdin)
    assert process.returncode == code, complaint
    return complaint if code else printed


def as_json(*arguments: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(sentinel(*arguments, "--json"))
    return value


def chargebacks(records: Iterable[str]) -> str:
    """The frauds among some records, as a bank tells them."""
    split = [record.split(",") for record in records]
    return "\n".join(json.dumps({"transaction_id": row[0], "fraud": 1}) for row in split if row[5] == "1")


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def copy_of(database: Path, path: Path) -> Path:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    shutil.copytree(f"{database}.models", f"{path}.models")
    return path
