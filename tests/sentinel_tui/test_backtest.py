"""The backtest command as a user runs it: its figures, its words, its exit code."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

FIGURES = {
    "auc_roc", "average_precision", "card_precision_at_100", "precision_at_budget", "recall_at_budget",
    "value_caught", "alerts_per_day",
}  # fmt: skip


def backtest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sentinel_tui", "backtest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def with_model(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PATH", str(model_file))


def test_a_cold_backtest_prints_one_json_object_and_stores_nothing(labelled_stream: Path, tmp_path: Path) -> None:
    done = backtest(str(labelled_stream), "--preset", "handbook", "--label", "TX_FRAUD", "--cold", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert FIGURES | {"train_rows", "test_rows", "seconds", "models"} <= set(report)
    assert set(report["models"]["isolation_forest"]) == FIGURES
    assert report["train_rows"] == 0
    assert report["test_rows"] == 4_800
    assert 0 < report["average_precision"] < 1
    assert not list(tmp_path.rglob("*.db"))


def test_a_supervised_backtest_prints_each_model_and_the_same_figures_on_every_run(labelled_stream: Path) -> None:
    arguments = ("--preset", "handbook", "--label", "TX_FRAUD", *RANGES, "--json")
    reports = []
    for _ in range(2):
        done = backtest(str(labelled_stream), *arguments)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout) | {"seconds": None})
    assert reports[0] == reports[1]
    assert set(reports[0]["models"]) == {"isolation_forest", "gradient_boosting"}
    assert reports[0]["train_rows"] == 1_120
    assert reports[0]["average_precision"] > reports[0]["models"]["isolation_forest"]["average_precision"]


def test_a_backtest_for_people_names_scores_and_scenarios(labelled_stream: Path) -> None:
    arguments = ("--preset", "handbook", "--label", "TX_FRAUD", "--cold", "--test", "2026-01-08..2026-01-20")
    done = backtest(str(labelled_stream), *arguments, "--budget", "7")
    assert done.returncode == 0, done.stderr
    for word in ("fused", "isolation forest", "perfect ranking", "P@7", "CP@100", "compromised_terminal"):
        assert word in done.stdout


def test_a_signal_ends_a_backtest_in_one_line(labelled_stream: Path) -> None:
    header, *records = labelled_stream.read_bytes().splitlines(keepends=True)
    command = [sys.executable, "-m", "sentinel_tui", "backtest", "-", "--preset", "handbook", "--label", "TX_FRAUD",
               "--cold"]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        # More than a pipe holds: it is written when the engine reads, and by then signals are looked after.
        process.stdin.write(header + b"".join(records[:4_000]))
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        with suppress(BrokenPipeError):
            while process.poll() is None:
                process.stdin.write(records[-1])
                process.stdin.flush()
                time.sleep(0.05)
        process.wait(60)
        assert process.returncode == 130
        assert process.stderr is not None
        assert process.stderr.read().decode().splitlines() == ["stopped; nothing of a backtest is kept"]


RANGES = ("--train", "2026-01-08..2026-01-14", "--delay", "3d", "--test", "2026-01-18..2026-01-24")


def test_a_backtest_whose_labels_analysts_find_prints_the_same_figures_on_every_run(labelled_stream: Path) -> None:
    arguments = ("--preset", "handbook", "--label", "TX_FRAUD", "--train", "2026-01-08..2026-01-17", *RANGES[2:],
                 "--labels", "dispositions", "--json")  # fmt: skip
    reports = []
    for capacity in ("1", "1", "10"):
        done = backtest(str(labelled_stream), *arguments, "--capacity", capacity)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout) | {"seconds": None})
    assert reports[0] == reports[1] != reports[2]
    assert reports[0]["average_precision"] > reports[0]["models"]["isolation_forest"]["average_precision"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--label", "TX_FRAUD"], "--cold"),
        (["--cold"], "--label"),
        (["--cold", "--label", "NO_SUCH"], "NO_SUCH"),
        (["--cold", "--label", "TX_FRAUD", "--test", "2026-01-40..2026-02-01"], "--test"),
        (["--cold", "--label", "TX_FRAUD", "--test", "2020-01-01..2020-01-02"], "no transactions"),
        (
            ["--label", "TX_FRAUD", "--train", "2026-01-01..2026-01-09", "--test", "2026-01-10..2026-01-11"],
            "2026-01-17",
        ),
        (["--label", "TX_FRAUD", "--train", "2026-01-01..2026-01-09"], "--test"),
        (["--cold", "--label", "TX_FRAUD", "--budget", "0"], "--budget"),
        (["--cold", "--label", "TX_FRAUD", "--delay", "soon"], "--delay"),
        (["--label", "TX_FRAUD", *RANGES, "--capacity", "5"], "--labels dispositions"),
        (["--label", "TX_FRAUD", *RANGES, "--labels", "dispositions", "--capacity", "0"], "--capacity 0"),
        (["--label", "TX_FRAUD", *RANGES, "--labels", "dispositions"], "--capacity N"),
        (["--label", "TX_FRAUD", *RANGES, "--labels", "some"], "--labels 'some'"),
        (["--cold", "--label", "TX_FRAUD", "--labels", "dispositions", "--capacity", "5"], "--cold"),
        (["--cold", "--label", "TX_AMOUNT"], "0, 1, true or false"),
        (
            [
                "--label",
                "TX_FRAUD",
                "--labels",
                "dispositions",
                "--capacity",
                "5",
                "--train",
                "2026-01-08..2026-01-18",
                "--test",
                "2026-01-18..2026-01-24",
            ],
            "2026-01-19",
        ),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments: list[str], word: str, labelled_stream: Path) -> None:
    done = backtest(str(labelled_stream), "--preset", "handbook", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert word in done.stderr


def test_a_test_range_without_fraud_is_refused_in_words(labelled_stream: Path, tmp_path: Path) -> None:
    honest = [
        line if "2026-01-20T" not in line else ",".join([*line.split(",")[:5], "0", "0"])
        for line in labelled_stream.read_text().splitlines()
    ]
    file = tmp_path / "honest.csv"
    file.write_text("\n".join(honest) + "\n")
    arguments = ("--preset", "handbook", "--label", "TX_FRAUD", "--cold", "--test", "2026-01-20..2026-01-20")
    done = backtest(str(file), *arguments)
    assert done.returncode == 2
    assert "--test 2026-01-20..2026-01-20 has no fraud" in done.stderr
