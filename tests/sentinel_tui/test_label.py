"""Labels as a user imports them: a real process on the database of a replay."""

import gzip
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest


def sentinel(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sentinel_tui", *map(str, arguments)],
        input=stdin, capture_output=True, check=False, text=True,
    )  # fmt: skip


@pytest.fixture
def database(tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A replay of ten transactions, an hour apart."""
    monkeypatch.setenv("MODEL_PATH", str(model_file))
    start = datetime(2026, 3, 1, tzinfo=UTC)
    lines = [
        {
            "transaction_id": f"t-{n}",
            "card_id": "c-1",
            "amount": 10,
            "timestamp": (start + timedelta(hours=n)).isoformat(),
        }
        for n in range(10)
    ]
    stream = tmp_path / "stream.ndjson"
    stream.write_text("\n".join(map(json.dumps, lines)))
    path = tmp_path / "labels.db"
    done = sentinel("replay", stream, "--database", path)
    assert done.returncode == 0, done.stderr
    return path


def labels(database: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(
            "SELECT t.transaction_id, l.fraud, (l.known_at - t.event_time) / 86400000000 FROM current_labels l "
            "JOIN transactions t ON t.seq = l.transaction_seq ORDER BY t.seq"
        ).fetchall()


def test_a_csv_of_chargebacks_is_taken_and_a_second_time_changes_nothing(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "chargebacks.csv.gz"
    file.write_bytes(gzip.compress(b"ID,FRAUD,WHEN\nt-1,1,2026-03-12\nt-2,0,\n"))
    command = ("label", file, "--map", "transaction_id=ID,fraud=FRAUD,known_at=WHEN", "--database", database, "--json")
    first = json.loads(sentinel(*command).stdout)
    assert (first["fraud"], first["honest"], first["refused"]) == (1, 1, {})
    assert labels(database) == [("t-1", 1, 10), ("t-2", 0, 7)]
    again = json.loads(sentinel(*command).stdout)
    assert (again["fraud"], again["honest"], again["known_before"]) == (0, 0, 2)


def test_every_line_that_is_not_taken_is_listed_with_its_reason(database: Path) -> None:
    stream = "\n".join(
        [
            '{"transaction_id": "t-1", "fraud": 0}',
            '{"transaction_id": "t-1", "fraud": 1}',
            '{"transaction_id": "nobody", "fraud": 1}',
            '{"transaction_id": "t-2", "fraud": 1, "known_at": "2190-01-01"}',
            '{"transaction_id": "t-3", "fraud": 1, "known_at": "1999-01-01"}',
            '{"transaction_id": "t-4", "fraud": "maybe"}',
            '{"transaction_id": "t-5"}',
            '{"transaction_id": "t-6", "fraud": 1, "known_at": "soon"}',
            "{",
        ]
    )
    done = sentinel("label", "-", "--database", database, "--json", stdin=stream)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["honest"] == 1
    assert [(each["line"], each["problem"]) for each in outcome["lines"]] == [
        (2, "contradiction"),
        (3, "unknown_transaction"),
        (4, "from_the_future"),
        (5, "before_the_transaction"),
        (6, "unreadable"),
        (7, "unreadable"),
        (8, "unreadable"),
        (9, "unreadable"),
    ]
    assert labels(database) == [("t-1", 0, 7)]
    for_people = sentinel("label", "-", "--database", database, stdin=stream)
    assert "line 6:" in for_people.stdout
    assert "0, 1, true or false is expected" in for_people.stdout
    corrected = sentinel("label", "-", "--database", database, "--correct", stdin='{"transaction_id":"t-1","fraud":1}')
    assert "of these corrections" in corrected.stdout
    assert labels(database) == [("t-1", 1, 7)]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("missing.csv",), "there is no file missing.csv"),
        (("-", "--map", "card=X"), "the fields of a label are transaction_id, fraud, known_at"),
        (("-", "--preset", "platform"), "choose one of handbook"),
        (("-", "--delay", "soon"), "write days or hours"),
    ],
)
def test_a_bad_call_is_one_line_and_exit_code_2(database: Path, arguments: tuple[str, ...], complaint: str) -> None:
    done = sentinel("label", *arguments, "--database", database)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_typing_error_in_the_name_of_the_database_makes_no_empty_one(tmp_path: Path) -> None:
    done = sentinel("label", "-", "--database", tmp_path / "sentinal.db")
    assert done.returncode == 2
    assert "there is no database" in done.stderr
    assert list(tmp_path.glob("*.db")) == []
