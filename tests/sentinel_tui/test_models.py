"""Models as a user has them: labels in, trained, in shadow, compared, promoted, rolled back, all by real processes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from data.store import Store

from ..card_stream import HEADER
from .processes import PATIENCE_S, RECORDS, TAUGHT, as_json, chargebacks, copy_of, rows, sentinel, start

KILLS = 3


def ranked_alerts(database: Path) -> list[int]:
    """The transactions that a ranker raised an alert for."""
    query = "SELECT transaction_seq FROM alerts WHERE ' ' || reason_codes || ' ' LIKE '% ranked %' ORDER BY id"
    return [seq for (seq,) in rows(database, query)]


def decisions(database: Path) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT seq, transaction_id, score, challenger_score, level_rank FROM transactions")


def stored(database: Path) -> int:
    return int(rows(database, "SELECT coalesce(max(seq), 0) FROM transactions")[0][0])


def replay(stream: Path, database: Path) -> None:
    sentinel("replay", stream, "--preset", "handbook", "--database", database)


def test_a_challenger_is_compared_on_what_it_scored_in_shadow_promoted_and_rolled_back(
    database: Path, stream: Path
) -> None:
    replay(stream, database)
    sentinel("label", "-", "--database", database, stdin=chargebacks(RECORDS[TAUGHT:]))
    shadow = as_json("model", "compare", "--database", database)
    compared = shadow["comparison"]
    assert shadow["champion"] is None
    assert shadow["scored"] == len(RECORDS) - TAUGHT
    assert compared["rows"] == shadow["scored"] - shadow["unknown"] > 0
    assert compared["challenger"]["average_precision"] > compared["champion"]["average_precision"] + 0.1
    assert ranked_alerts(database) == []

    sentinel("model", "promote", "--yes", "--database", database)
    listed = as_json("model", "list", "--database", database)
    assert (listed["champion"], listed["challenger"]) == (shadow["challenger"], None)
    assert "no challenger to compare" in sentinel("model", "compare", "--database", database, code=2)

    assert "anomaly model decides" in sentinel("model", "rollback", "--yes", "--database", database)
    listed = as_json("model", "list", "--database", database)
    assert (listed["champion"], listed["models"][0]["role"]) == (None, None)


def test_the_models_are_listed_within_80_columns(database: Path) -> None:
    printed = sentinel("model", "list", "--database", database)
    version = as_json("model", "list", "--database", database)["models"][0]["version"]
    assert version in printed
    assert "challenger" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_an_engine_in_another_process_follows_a_promotion_and_a_rollback_without_a_restart(database: Path) -> None:
    def feed(records: list[str]) -> None:
        before = stored(database)
        assert engine.stdin is not None
        engine.stdin.write("".join(f"{record}\n" for record in records))
        engine.stdin.flush()
        deadline = time.monotonic() + PATIENCE_S
        while stored(database) < before + len(records):
            assert time.monotonic() < deadline, "what was fed is not scored"
            time.sleep(0.02)

    third = (len(RECORDS) - TAUGHT) // 3
    shadow, served, alone = (RECORDS[TAUGHT + n * third : TAUGHT + (n + 1) * third] for n in range(3))
    with start("replay", "-", "--preset", "handbook", "--database", database) as engine:
        assert engine.stdin is not None
        engine.stdin.write(f"{HEADER}\n")
        feed(shadow)
        sentinel("model", "promote", "--yes", "--database", database)
        feed(served)
        sentinel("model", "rollback", "--yes", "--database", database)
        feed(alone)
        engine.stdin.close()
        assert engine.wait(PATIENCE_S) == 0
    ranked = ranked_alerts(database)
    assert ranked
    assert TAUGHT + third < min(ranked) <= max(ranked) <= TAUGHT + 2 * third


@pytest.mark.parametrize(
    "damage",
    [lambda file: file.unlink(), lambda file: file.write_bytes(b"of another version")],
    ids=["missing", "incompatible"],
)
def test_without_its_file_a_champion_leaves_the_decision_to_the_anomaly_model(
    damage: Any, database: Path, stream: Path, tmp_path: Path
) -> None:
    without = copy_of(database, tmp_path / "without.db")
    sentinel("model", "promote", "--yes", "--database", database)
    (file,) = Path(f"{database}.models").iterdir()
    damage(file)
    replay(stream, database)
    assert stored(database) == len(RECORDS)
    assert ranked_alerts(database) == []
    assert f"{file.stem} does not serve" in (tmp_path / "xdg-data/sentinel-tui/sentinel.log").read_text()
    replay(stream, without)
    scores = "SELECT seq, score, level_rank FROM transactions"
    assert rows(database, scores) == rows(without, scores)


def test_an_engine_killed_while_a_promoted_model_decides_ends_as_an_uninterrupted_one(
    database: Path, stream: Path, tmp_path: Path
) -> None:
    sentinel("model", "promote", "--yes", "--database", database)
    killed = copy_of(database, tmp_path / "killed.db")
    replay(stream, database)
    for number in range(KILLS):
        before = stored(killed)
        with start("replay", stream, "--preset", "handbook", "--database", killed, start_new_session=True) as engine:
            while engine.poll() is None and stored(killed) == before:
                time.sleep(0.005)
            time.sleep(0.03 * number)
            os.killpg(engine.pid, signal.SIGKILL)
        assert engine.returncode == -signal.SIGKILL, "the engine must be alive each time it is killed"
    replay(stream, killed)
    assert decisions(killed) == decisions(database)
    assert len(ranked_alerts(killed)) > 10
    assert ranked_alerts(killed) == ranked_alerts(database)
    Store(killed).engine_lock().release()
