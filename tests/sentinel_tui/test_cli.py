"""The commands as a user runs them: a real process, its output and its exit code."""

import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.review_sample import is_drawn
from sentinel_tui.settings import Settings

KEYS = {
    "source", "seed", "transactions", "duplicates", "dead_letters", "alerts", "cases", "labels", "throughput_per_s",
    "latency_ms", "alerts_digest", "database", "drift",
}  # fmt: skip


def sentinel(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "sentinel_tui", *arguments], input=stdin, capture_output=True, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def with_model(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PATH", str(model_file))


def ok(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


@pytest.mark.usefixtures("with_model")
def test_demo_prints_one_json_object_and_the_same_digest_on_every_run() -> None:
    first, second = (ok(sentinel("--demo", "--json", "--seed", "3", "--transactions", "5000")) for _ in range(2))
    assert set(first) == KEYS
    assert first["source"] == "generator"
    assert first["seed"] == 3
    assert int(str(first["transactions"])) + int(str(first["dead_letters"])) == 5000
    assert int(str(first["dead_letters"])) > 0
    assert first["alerts_digest"] == second["alerts_digest"]
    other = ok(sentinel("--demo", "--json", "--seed", "4", "--transactions", "5000"))
    assert other["alerts_digest"] != first["alerts_digest"]


@pytest.mark.usefixtures("with_model")
def test_demo_reports_figures_that_a_recount_of_its_database_gives() -> None:
    report = ok(sentinel("--demo", "--json", "--transactions", "5000"))
    with closing(sqlite3.connect(str(report["database"]))) as connection:
        (transactions, frauds, caught) = connection.execute(
            "SELECT count(*), sum(is_fraud), sum(is_fraud AND level_rank > 0) FROM transactions"
        ).fetchone()
        (alerts,) = connection.execute("SELECT count(*) FROM alerts").fetchone()
        (cases,) = connection.execute("SELECT count(*) FROM cases").fetchone()
        drawn = {row[0] for row in connection.execute("SELECT transaction_seq FROM review_sample")}
        quiet = connection.execute("SELECT seq, transaction_id FROM transactions WHERE level_rank = 0 AND NOT late")
        assert drawn == {seq for seq, name in quiet if is_drawn(name, Settings().REVIEW_SAMPLE_SHARE)} != set()
    assert report["transactions"] == transactions
    assert report["cases"] == {"opened": cases}
    totals = report["alerts"]
    assert isinstance(totals, dict)
    assert totals["total"] == alerts == sum(totals[level] for level in ("CRITICAL", "HIGH", "MEDIUM", "LOW"))
    labels = report["labels"]
    assert isinstance(labels, dict)
    assert labels["fraud"] == frauds
    assert labels["recall"] == pytest.approx(caught / frauds, abs=1e-6)
    assert labels["precision"] == pytest.approx(caught / alerts, abs=1e-6)


@pytest.mark.usefixtures("with_model")
def test_demo_report_for_people_names_every_scenario_and_how_to_open_the_result(tmp_path: Path) -> None:
    database = tmp_path / "a demo.db"
    done = sentinel("--demo", "--transactions", "3000", "--database", str(database))
    assert done.returncode == 0, done.stderr
    for word in ("velocity_burst", "recall", "precision", "dead letters", "p50 / p95 / p99"):
        assert word in done.stdout
    assert re.search(r"sentinel-tui --database\s+'", done.stdout)


@pytest.mark.usefixtures("with_model")
def test_replay_reads_csv_ndjson_gzip_and_standard_input_alike(traffic: Path, tmp_path: Path) -> None:
    lines = traffic.read_bytes().splitlines(keepends=True)[:2000]
    plain = tmp_path / "part.ndjson"
    plain.write_bytes(b"".join(lines))
    packed = tmp_path / "part.ndjson.gz"
    packed.write_bytes(gzip.compress(b"".join(lines)))
    reports = [
        ok(sentinel("replay", str(plain), "--json", "--label", "is_fraud")),
        ok(sentinel("replay", str(packed), "--json", "--label", "is_fraud")),
        ok(sentinel("replay", "-", "--json", "--label", "is_fraud", stdin=b"".join(lines))),
    ]
    assert len({str(report["alerts_digest"]) for report in reports}) == 1
    for report in reports:
        assert sum(int(str(report[key])) for key in ("transactions", "duplicates", "dead_letters")) == 2000


@pytest.mark.usefixtures("with_model")
def test_replaying_a_finished_file_again_changes_nothing(traffic: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.ndjson"
    part.write_bytes(b"".join(traffic.read_bytes().splitlines(keepends=True)[:1000]))
    first = ok(sentinel("replay", str(part), "--json"))
    again = ok(sentinel("replay", str(part), "--json"))
    for key in ("transactions", "duplicates", "dead_letters", "alerts", "cases", "alerts_digest"):
        assert again[key] == first[key]
    assert again["throughput_per_s"] is None


@pytest.mark.usefixtures("with_model")
def test_a_bad_record_is_a_dead_letter_and_its_neighbours_are_stored(tmp_path: Path) -> None:
    def record(number: int) -> bytes:
        return b'{"transaction_id":"t%d","card_id":"c","amount":%d,"timestamp":"2026-03-02T09:%02d:00Z"}\n' % (
            number, number, number,
        )  # fmt: skip

    file = tmp_path / "some.ndjson"
    file.write_bytes(record(1) + b"not json\n" + record(2) + record(2) + record(2).replace(b":2,", b":3,") + record(4))
    report = ok(sentinel("replay", str(file), "--json"))
    assert (report["transactions"], report["duplicates"], report["dead_letters"]) == (3, 1, 2)
    with closing(sqlite3.connect(str(report["database"]))) as connection:
        letters = connection.execute('SELECT "offset", reason, raw FROM dead_letters ORDER BY "offset"').fetchall()
    assert [(offset, reason) for offset, reason, _ in letters] == [(1, "not_json"), (4, "id_conflict")]
    assert letters[0][2] == b"not json"


@pytest.mark.usefixtures("with_model")
def test_sigterm_ends_a_demo_after_a_whole_batch_and_the_same_command_goes_on(tmp_path: Path) -> None:
    database = tmp_path / "demo.db"
    command = [sys.executable, "-m", "sentinel_tui", "--demo", "--json", "--transactions", "60000",
               "--database", str(database)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                    if connection.execute("SELECT next_offset FROM source_positions").fetchone():
                        break
            except sqlite3.OperationalError:
                pass
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == b""
    assert b"the same command goes on from there" in stderr
    report = ok(sentinel(*command[3:]))
    assert int(str(report["transactions"])) + int(str(report["dead_letters"])) == 60_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "/nowhere/file.csv"], ["/nowhere/file.csv"]),
        (["replay", "HERE/t.csv", "--map", "card=X"], ["card", "card_id"]),
        (["replay", "HERE/t.csv", "--map", "card_id=NO_SUCH"], ["NO_SUCH", "transaction_id"]),
        (["replay", "HERE/t.csv", "--label", "NO_LABEL"], ["NO_LABEL"]),
        (["replay", "HERE/t.csv", "--preset", "visa"], ["visa", "handbook"]),
        (["--demo", "--set", "VELOCITY_TRESHOLD=3"], ["VELOCITY_TRESHOLD", "VELOCITY_THRESHOLD"]),
        (["--demo", "--set", "FRAUD_SCORE_THRESHOLD=7"], ["FRAUD_SCORE_THRESHOLD", "'7'"]),
        (["--demo", "--set", "DATABASE_URL=postgresql://x/y"], ["postgresql"]),
        (["--demo", "--database", "HERE"], ["HERE", "folder"]),
        (["--demo", "--database", "HERE/t.csv/x.db"], ["t.csv"]),
        (["--demo", "--database", "HERE/t.csv"], ["t.csv", "not a sound SQLite database"]),
        (["--demo", "--set", "MODEL_PATH=HERE/t.csv"], ["t.csv", "MODEL_PATH"]),
        (["--json"], ["--demo"]),
        ([], ["--demo", "terminal"]),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("transaction_id,card_id,amount,timestamp\n" + "x," * 4000 + "\n")
    done = sentinel(*(each.replace("HERE", str(tmp_path)) for each in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word.replace("HERE", str(tmp_path)) in done.stderr


def test_config_says_where_each_value_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELOCITY_THRESHOLD", "4")
    monkeypatch.setenv("COLUMNS", "200")
    done = sentinel("config", "--set", "LOG_LEVEL=debug")
    assert done.returncode == 0
    assert re.search(r"VELOCITY_THRESHOLD +4 +environment", done.stdout)
    assert re.search(r"LOG_LEVEL +DEBUG +flag", done.stdout)
    assert re.search(r"FRAUD_SCORE_THRESHOLD +0\.5 +default", done.stdout)
