"""A backtest scores as the pipeline does, judges the rows it should, and refuses what cannot be judged."""

import asyncio
import csv
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data.engine_writes import EngineWriter
from data.errors import SettingError
from data.queries import recovery
from data.store import Store
from engine.backtest import BacktestResult, judge, last_needed
from engine.backtest_figures import figures
from engine.backtest_plan import BacktestPlan, DateRange, Labels
from engine.backtest_prior import first_days, scores_with_prior
from engine.backtest_replay import Replay
from engine.backtest_rows import ReplayedRows
from engine.columns import preset
from engine.decode import CsvDecoder
from engine.features import EventReader, FeatureState
from engine.gazetteer import Gazetteer
from engine.messages import SnapshotQueue
from engine.metrics import LabelledRows
from engine.model import AnomalyModel
from engine.pipeline import Clocks, Pipeline
from engine.records import Batch
from engine.rules import RuleSet
from engine.scorer import Scorer
from engine.scoring import Thresholds

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
READER = EventReader(Gazetteer())
CLOCKS = Clocks(now=lambda: NOW, monotonic=lambda: 0.0)


def new_scorer(model: AnomalyModel, gazetteer: Gazetteer, store: Store) -> Scorer:
    with closing(store.reader()) as reader:
        rules = recovery.rules(reader)
    return Scorer(FeatureState(60, 2.0, 600), EventReader(gazetteer), model, RuleSet(rules), Thresholds())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "sentinel.db")


@pytest.fixture
def scorer(model: AnomalyModel, gazetteer: Gazetteer, store: Store) -> Scorer:
    return new_scorer(model, gazetteer, store)


def days(first: int, last: int) -> DateRange:
    return DateRange.parse("--test", f"2026-01-{first:02d}..2026-01-{last:02d}")


class LinesSource:
    """The records of a CSV file, from memory."""

    name = "lines"
    partition = "p0"
    fraction_read = None

    def __init__(self, file: Path) -> None:
        header, *records = file.read_bytes().splitlines()
        self.header = header.decode().split(",")
        self._records = tuple(records)

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        for at in range(start_offset, len(self._records), 500):
            yield Batch(self.partition, at, self._records[at : at + 500], 0.0)


def replayed(file: Path, scorer: Scorer, label: str = "TX_FRAUD", until: int | None = None) -> ReplayedRows:
    source = LinesSource(file)
    decoder = CsvDecoder(preset("handbook").with_label(label), source.header)
    replay = Replay(source, decoder, scorer, READER, label, lambda share, records: None, for_ranker=True)
    return asyncio.run(replay.run(until))


def run(file: Path, scorer: Scorer, plan: BacktestPlan, label: str = "TX_FRAUD") -> BacktestResult:
    return judge(replayed(file, scorer, label, last_needed(plan)), plan, Thresholds(), NOW)


def test_figures_are_those_of_the_scores_that_the_pipeline_stores(
    labelled_stream: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    result = run(labelled_stream, new_scorer(model, gazetteer, store), BacktestPlan(cold=True, test=days(8, 20)))

    source = LinesSource(labelled_stream)
    decoder = CsvDecoder(preset("handbook").with_label("TX_FRAUD"), source.header)
    writer = EngineWriter(store)
    scorer = new_scorer(model, gazetteer, store)
    asyncio.run(Pipeline(source, decoder, scorer, writer, CLOCKS, SnapshotQueue()).run())
    writer.close()
    start, end = days(8, 20).start, days(8, 20).end
    with closing(store.reader()) as reader:
        stored = reader.execute(
            "SELECT score, model_score, level_rank > 0, is_fraud, amount_minor / 100.0, event_time / 86400000000, "
            "card_id FROM transactions WHERE event_time >= ? AND event_time < ? ORDER BY seq",
            (start, end),
        ).fetchall()
    score, model_score, alerted, fraud, amount, day, card = (np.array(column) for column in zip(*stored, strict=True))
    rows = LabelledRows(fraud == 1, amount, day, np.unique(card, return_inverse=True)[1])
    assert result.fused == figures(rows, score, alerted == 1, 100)
    assert result.models["isolation_forest"] == figures(rows, model_score, model_score >= 0.5, 100)
    assert (result.test_rows, result.test_frauds) == (len(stored), fraud.sum())
    assert result.train_rows == 0


def test_a_perfect_ranking_is_perfect_and_no_score_is_better(labelled_stream: Path, scorer: Scorer) -> None:
    result = run(labelled_stream, scorer, BacktestPlan(cold=True, budget=5))
    perfect = result.perfect
    assert (perfect.auc_roc, perfect.average_precision) == (pytest.approx(1.0), pytest.approx(1.0))
    for name in ("card_precision_at_100", "precision_at_budget", "recall_at_budget", "value_caught"):
        assert getattr(perfect, name) >= getattr(result.fused, name)


def test_scenarios_share_out_all_frauds(labelled_stream: Path, scorer: Scorer) -> None:
    result = run(labelled_stream, scorer, BacktestPlan(cold=True))
    assert {each.scenario for each in result.scenarios} == {"amount_over_220", "compromised_terminal"}
    assert sum(each.frauds for each in result.scenarios) == result.test_frauds
    caught = sum(each.frauds * (each.recall_at_budget or 0.0) for each in result.scenarios)
    assert caught == pytest.approx(result.test_frauds * (result.fused.recall_at_budget or 0.0))


def test_cards_whose_fraud_is_known_when_the_test_starts_are_left_out(labelled_stream: Path, scorer: Scorer) -> None:
    plan = BacktestPlan(cold=True, train=days(3, 5), test=days(13, 16))
    result = run(labelled_stream, scorer, plan)
    with labelled_stream.open(newline="") as stream:
        records = list(csv.DictReader(stream))
    known = {
        record["CUSTOMER_ID"]
        for record in records
        if record["TX_FRAUD"] == "1" and "2026-01-03" <= record["TX_DATETIME"] < "2026-01-06"
    }
    tested = [record for record in records if "2026-01-13" <= record["TX_DATETIME"] < "2026-01-17"]
    assert known
    assert result.cards_left_out == len(known & {record["CUSTOMER_ID"] for record in tested})
    assert result.test_rows == sum(record["CUSTOMER_ID"] not in known for record in tested)


def test_what_cannot_be_judged_is_counted_and_left_out(
    labelled_stream: Path, tmp_path: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    plan = BacktestPlan(cold=True, test=days(8, 9))
    before = run(labelled_stream, new_scorer(model, gazetteer, store), plan)
    lines = labelled_stream.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if "2026-01-09T" in line)
    lines[at:at] = [
        lines[at - 1],
        "too,few,columns",
        "late,2026-01-08T00:00:00Z,c1,m1,5,1,1",
        f"unlabelled,{lines[at].split(',')[1]},c-new,m-new,5,,",
    ]
    file = tmp_path / "odd.csv"
    file.write_text("\n".join(lines) + "\n")
    after = run(file, new_scorer(model, gazetteer, store), plan)
    assert (after.test_rows, after.test_frauds) == (before.test_rows, before.test_frauds)
    counts = after.counts
    assert (counts.duplicates, counts.dead_letters, counts.late, counts.unlabelled) == (1, 1, 1, 1)


def test_reading_stops_after_the_test_range(labelled_stream: Path, scorer: Scorer) -> None:
    result = run(labelled_stream, scorer, BacktestPlan(cold=True, test=days(2, 8)))
    assert result.counts.records < 0.5 * (len(labelled_stream.read_text().splitlines()) - 1)


@pytest.mark.parametrize(
    ("plan", "label", "problem"),
    [
        (BacktestPlan(cold=True, test=DateRange.parse("", "2027-01-01..2027-01-02")), "TX_FRAUD", "2026-01-30"),
        (BacktestPlan(cold=True, test=days(1, 1)), "TX_FRAUD", "no fraud"),
        (BacktestPlan(cold=True), "TX_AMOUNT", "0, 1, true or false is expected"),
    ],
)
def test_a_range_without_data_or_fraud_and_another_column_are_refused_in_words(
    plan: BacktestPlan, label: str, problem: str, labelled_stream: Path, tmp_path: Path, scorer: Scorer
) -> None:
    lines = labelled_stream.read_text().splitlines()
    honest_first_day = [
        line if "2026-01-01T" not in line else ",".join([*line.split(",")[:5], "0", "0"]) for line in lines
    ]
    file = tmp_path / "stream.csv"
    file.write_text("\n".join(honest_first_day) + "\n")
    with pytest.raises(SettingError, match=problem):
        run(file, scorer, plan, label)


def test_a_file_without_labels_or_rows_is_refused_in_words(tmp_path: Path, scorer: Scorer) -> None:
    header = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
    file = tmp_path / "stream.csv"
    file.write_text(f"{header}\n")
    with pytest.raises(SettingError, match="no transaction"):
        run(file, scorer, BacktestPlan(cold=True))
    file.write_text(f"{header}\n1,2026-01-01T00:00:00Z,c,m,5,\n")
    with pytest.raises(SettingError, match="TX_FRAUD"):
        run(file, scorer, BacktestPlan(cold=True))


SUPERVISED = BacktestPlan(cold=False, train=days(8, 14), delay=timedelta(days=3), test=days(18, 24), budget=10)


def test_known_labels_find_what_no_amount_shows(
    labelled_stream: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    result = run(labelled_stream, new_scorer(model, gazetteer, store), SUPERVISED)
    cold = run(labelled_stream, new_scorer(model, gazetteer, store), replace(SUPERVISED, cold=True))
    assert result.train_rows == 7 * 160
    assert (result.test_rows, result.cards_left_out) == (cold.test_rows, cold.cards_left_out)
    assert result.models["isolation_forest"] == cold.models["isolation_forest"]
    assert set(result.models) == {"isolation_forest", "gradient_boosting"}
    terminal = next(each for each in result.scenarios if each.scenario == "compromised_terminal")
    terminal_cold = next(each for each in cold.scenarios if each.scenario == "compromised_terminal")
    assert (terminal.average_precision or 0.0) > 3 * (terminal_cold.average_precision or 0.0)


def test_what_is_not_known_at_the_test_cannot_change_its_ranking(
    labelled_stream: Path, tmp_path: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    """With all labels from the last delay before the test's end on turned round, the ranking of honest rows is kept."""
    plan = replace(SUPERVISED, test=days(18, 20))
    turned = []
    for line in labelled_stream.read_text().splitlines():
        fields = line.split(",")
        if "2026-01-18" <= fields[1] < "2026-01-22":
            fields[5] = "0" if fields[5] == "1" else "1"
        turned.append(",".join(fields))
    file = tmp_path / "turned.csv"
    file.write_text("\n".join(turned) + "\n")
    before = run(labelled_stream, new_scorer(model, gazetteer, store), plan)
    after = run(file, new_scorer(model, gazetteer, store), plan)
    assert after.test_rows == before.test_rows
    # The same scores under opposite truths: the areas add up to one.
    areas = [(each.models["gradient_boosting"].auc_roc or 0.0) for each in (before, after)]
    assert sum(areas) == pytest.approx(1.0)


def test_one_replay_serves_any_number_of_plans(
    labelled_stream: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    rows = replayed(labelled_stream, new_scorer(model, gazetteer, store))
    plans = (SUPERVISED, replace(SUPERVISED, test=days(18, 20)), REVIEWED, replace(SUPERVISED, cold=True), SUPERVISED)
    judged = [judge(rows, plan, Thresholds(), NOW) for plan in plans]
    assert judged[0] == judged[-1]
    assert judged[0] != judged[1] != judged[3] != judged[0]
    alone = run(labelled_stream, new_scorer(model, gazetteer, store), REVIEWED)
    assert replace(alone, counts=rows.counts) == judged[2]


REVIEWED = replace(SUPERVISED, labels=Labels.DISPOSITIONS, capacity=1)


def test_analysts_and_chargebacks_teach_about_as_much_as_all_labels(
    labelled_stream: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    rows = replayed(labelled_stream, new_scorer(model, gazetteer, store))
    all_labels, reviewed = (judge(rows, plan, Thresholds(), NOW) for plan in (SUPERVISED, REVIEWED))
    assert reviewed.train_rows == all_labels.train_rows
    assert (reviewed.fused.average_precision or 0.0) > 0.8 * (all_labels.fused.average_precision or 0.0)


def test_what_is_younger_than_the_delay_and_was_not_reviewed_is_not_learnt_from(
    labelled_stream: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    rows = replayed(labelled_stream, new_scorer(model, gazetteer, store))
    to_the_eve = replace(REVIEWED, train=days(8, 17))
    learnt = judge(rows, to_the_eve, Thresholds(), NOW).train_rows
    # What is older than the delay, and some of the three days that are younger.
    assert 7 * 160 < learnt < 8 * 160


def test_the_prior_loses_nothing_in_the_first_days_of_labels_and_gains_with_them(
    labelled_stream: Path, model: AnomalyModel, gazetteer: Gazetteer, store: Store
) -> None:
    rows = replayed(labelled_stream, new_scorer(model, gazetteer, store))
    days_seen = first_days(rows, 3 * 86_400_000_000, Thresholds(), 10)
    assert [each.day.isoformat() for each in days_seen] == [f"2026-01-{day:02d}" for day in range(4, 14)]
    assert sum(each.with_prior or 0.0 for each in days_seen) > 1.2 * sum(each.cold or 0.0 for each in days_seen)
    scores = scores_with_prior(rows, 3 * 86_400_000_000, Thresholds())
    assert (scores - np.array(rows.fused)).min() > -1e-15


def test_a_train_range_without_data_is_refused_in_words(labelled_stream: Path, scorer: Scorer) -> None:
    plan = replace(SUPERVISED, train=DateRange.parse("", "2025-12-01..2025-12-20"))
    with pytest.raises(SettingError, match=r"--train 2025-12-01\.\.2025-12-20 has no labelled"):
        run(labelled_stream, scorer, plan)


def test_a_train_range_with_too_little_fraud_is_refused_in_words(
    labelled_stream: Path, tmp_path: Path, scorer: Scorer
) -> None:
    honest = []
    for line in labelled_stream.read_text().splitlines():
        fields = line.split(",")
        if "2026-01-08" <= fields[1] < "2026-01-15":
            fields[5] = "0"
        honest.append(",".join(fields))
    file = tmp_path / "honest.csv"
    file.write_text("\n".join(honest) + "\n")
    with pytest.raises(SettingError, match="0 frauds among 1,120 transactions are too few"):
        run(file, scorer, SUPERVISED)
