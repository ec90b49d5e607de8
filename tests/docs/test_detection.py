"""The comparison runs from a file to a document, the same on every run, and finds in labels what no amount shows."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

import pytest
from detection_comparison import Comparison, average_precision, compare, targets
from detection_report import document
from detection_rows import HandbookRows, handbook_rows, replay
from detection_systems import ReviewLoop, System, known_a_week_late, weeks

from data.errors import SettingError
from engine.model import AnomalyModel

from ..card_stream import card_stream, write_stream

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SCRIPT = Path(__file__).parents[2] / "docs" / "detection.py"


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 days, at any time with two merchants of 60 compromised."""
    return write_stream(tmp_path_factory.mktemp("stream") / "stream.csv", card_stream(60, cards=80, merchants=60))


@pytest.fixture(scope="module")
def found(stream: Path, model: AnomalyModel) -> Comparison:
    return compare(stream, model, 5.0, NOW)


def test_the_perfect_ranking_bounds_every_system_and_chance_finds_next_to_nothing(found: Comparison) -> None:
    for figures in found.figures:
        perfect = figures[System.PERFECT]
        assert (perfect.auc, perfect.average_precision) == (pytest.approx(1.0), pytest.approx(1.0))
        for each in figures.values():
            assert each.card_precision <= perfect.card_precision
            for at, best in zip(each.budgets, perfect.budgets, strict=True):
                assert at.net <= best.net
                assert at.first_recall <= best.first_recall
    assert mean(found.of(System.CHANCE, average_precision)) < 0.2


def test_labels_find_what_no_amount_shows(found: Comparison) -> None:
    cold = mean(found.of(System.FUSED, average_precision))
    for system in (System.PUBLISHED, System.RANKER_WEEK, System.RANKER_ALL, System.LOOP):
        assert mean(found.of(system, average_precision)) > cold + 0.1


def test_the_five_runs_are_spread_over_the_file_and_the_last_ends_with_it(found: Comparison) -> None:
    assert [run.first for run in found.runs] == [30, 32, 34, 36, 39]
    assert found.runs[-1].test_first + 7 == found.days == 60


def test_the_document_states_its_command_every_system_and_every_target(found: Comparison) -> None:
    text = document(found)
    assert "`make detection FILE=stream.csv`" in text
    for system in System:
        assert text.count(f"| {system.value} |") == 5
    missed = sum(not each.reached for each in targets(found))
    assert text.count("**missed**") == missed
    assert text.count("| reached |") == len(targets(found)) - missed


@pytest.fixture(scope="module")
def replayed(stream: Path, model: AnomalyModel) -> HandbookRows:
    return handbook_rows(replay(stream, model))


@pytest.fixture(scope="module")
def turned(replayed: HandbookRows) -> HandbookRows:
    """The same rows, of which all from day 20 on are called fraud."""
    fraud = replayed.fraud | (replayed.day >= 20)
    return replace(replayed, payments=replace(replayed.payments, fraud=fraud))


def test_a_label_is_not_used_before_a_week_has_passed(replayed: HandbookRows, turned: HandbookRows) -> None:
    before, after = known_a_week_late(replayed), known_a_week_late(turned)
    unseen = replayed.day < 27
    assert before.prior[unseen].max() > 0
    assert before.features[unseen].tobytes() == after.features[unseen].tobytes()
    assert before.prior[unseen].tobytes() == after.prior[unseen].tobytes()
    assert before.features[~unseen].tobytes() != after.features[~unseen].tobytes()


def test_the_loop_knows_what_was_reviewed_the_day_after_and_nothing_before(
    replayed: HandbookRows, turned: HandbookRows
) -> None:
    before, after = (ReviewLoop(rows, (), NOW).run() for rows in (replayed, turned))
    unseen = replayed.day < 21
    assert before[unseen].tobytes() == after[unseen].tobytes()
    assert before[replayed.day == 21].tobytes() != after[replayed.day == 21].tobytes()


def test_a_file_that_is_too_short_is_refused_in_words(tmp_path: Path, model: AnomalyModel) -> None:
    file = write_stream(tmp_path / "short.csv", card_stream(20))
    with pytest.raises(SettingError, match="20 days: give one of 55 days or more"):
        weeks(handbook_rows(replay(file, model)))


def test_the_script_writes_the_document_and_prints_it(
    stream: Path, tmp_path: Path, found: Comparison, model_file: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the docs extra is not installed")
    done = subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            str(stream),
            "--model",
            str(model_file),
            "--folder",
            str(tmp_path),
            "--review-cost",
            "5",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == (0 if all(each.reached for each in targets(found)) else 1)
    assert done.stdout == (tmp_path / "detection.md").read_text(encoding="utf-8") == document(found)
    assert (tmp_path / "detection.svg").read_text(encoding="utf-8").count("<svg") == 1


def test_the_plot_is_the_same_on_every_run(found: Comparison, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the docs extra is not installed")
    from detection_plot import draw  # noqa: PLC0415 - it cannot be loaded without matplotlib

    files = [tmp_path / name for name in ("first.svg", "second.svg")]
    for file in files:
        draw(found, file)
    assert files[0].read_bytes() == files[1].read_bytes()
