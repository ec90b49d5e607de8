from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.drift import DriftCount, DriftReference, SignalBins, Window, signals_json, signals_of
from data.models import RiskLevel
from data.queries.drift import DAYS, FIRST_DAYS, drift_figures, label_rate, serving_model
from data.store import Store
from data.timestamps import to_microseconds

from .builders import DAY, NOON, World, copy_of, scored

DAY_S = 86_400
TODAY = to_microseconds(NOON) // 1_000_000 // DAY_S * DAY_S
SIGNALS = (SignalBins("amount", (0.0, 1.5), (5, 3, 2)), SignalBins("[b]score", (0.25,), (9, 1)))


def reference(version: str = "m-1", window: Window = Window.TRAINING) -> DriftReference:
    return DriftReference(version, window, 0.5, 0.005, signals_json(SIGNALS))


def count(day: int, *counts: int, alerts: int = 0, to: DriftReference | None = None) -> DriftCount:
    return DriftCount(to or reference(), TODAY - day * DAY_S, sum(counts[:3]), alerts, counts)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "sentinel.db"
    Store.open(path)
    return path


def test_bins_are_read_back_as_they_were_written() -> None:
    assert signals_of(signals_json(SIGNALS)) == SIGNALS


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2), st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any)), max_size=4
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None)
def test_a_days_counts_add_up_over_batches(template: Path, batches: list[list[tuple[int, list[int]]]]) -> None:
    totals: dict[int, Counter[int]] = {}
    with copy_of(template) as world:
        for batch in batches:
            world.add(drift=[count(day, *counts, alerts=1) for day, counts in batch])
            for day, counts in batch:
                totals.setdefault(day, Counter()).update(dict(enumerate(counts)), n=sum(counts[:3]), alerts=1)
        figures = drift_figures(world.reader, "m-1")
        if not totals:
            assert figures is None
            return
        assert figures is not None
        assert [TODAY - to_microseconds(day.day) // 1_000_000 for day in figures.days] == [
            day * DAY_S for day in sorted(totals)
        ]
        for day, number in zip(figures.days, sorted(totals), strict=True):
            total = totals[number]
            assert day.counts == tuple(total[place] for place in range(5))
            assert (day.transactions, day.alerts) == (total["n"], total["alerts"])
        assert figures.watched == sum(total["n"] for total in totals.values())


def test_the_latest_reference_of_a_model_counts_and_all_that_was_watched(world: World) -> None:
    site = reference(window=Window.SITE)
    world.add(drift=[count(2, 1, 2, 3, 4, 5)])
    world.add(drift=[count(1, 1, 1, 1, 1, 1), count(1, 2, 2, 2, 2, 2, to=site)])
    world.add(drift=[count(0, 7, 0, 0, 0, 0, to=reference("m-2"))])
    figures = drift_figures(world.reader, "m-1")
    assert figures is not None
    assert figures.window is Window.SITE
    assert figures.signals == SIGNALS
    assert [day.counts for day in figures.days] == [(2, 2, 2, 2, 2)]
    assert figures.watched == 6 + 3 + 6
    assert figures.settled_on == NOON.replace(hour=0) - DAY + FIRST_DAYS * DAY


def test_a_sites_first_week_belongs_to_its_reference_and_no_other_days_do(world: World) -> None:
    site = reference(window=Window.SITE)
    world.add(drift=[count(day, day, 0, 0, day, 0, to=site) for day in (30, 29, 24, 23, 2)])
    figures = drift_figures(world.reader, "m-1")
    assert figures is not None
    assert [day.transactions for day in figures.first_days] == [24, 29, 30]
    assert [day.transactions for day in figures.days] == [2, 23, 24, 29]
    world.add(drift=[count(0, 1, 0, 0, 1, 0, to=reference("m-2"))])
    trained = drift_figures(world.reader, "m-2")
    assert trained is not None
    assert trained.first_days == ()
    assert trained.settled_on is None


def test_days_long_ago_are_left_out(world: World) -> None:
    world.add(drift=[count(day, 1, 0, 0, 0, 1) for day in (0, DAYS - 1, DAYS)])
    figures = drift_figures(world.reader, "m-1")
    assert figures is not None
    assert len(figures.days) == 2


def test_the_model_that_was_started_last_serves(world: World) -> None:
    assert serving_model(world.reader) is None
    world.writer.serve_model("m-1", "{}", NOON)
    world.writer.serve_model("m-2", '{"a": 1}', NOON + DAY)
    serving = serving_model(world.reader)
    assert serving is not None
    assert (serving.version, serving.card, serving.served_at) == ("m-2", '{"a": 1}', NOON + DAY)
    world.writer.serve_model("m-1", "{}", NOON + 2 * DAY)
    serving = serving_model(world.reader)
    assert serving is not None
    assert serving.version == "m-1"


def label(world: World, transaction_id: str, fraud: int | None, known: timedelta) -> None:
    world.writer.connection.execute(
        "INSERT INTO labels (transaction_seq, fraud, known_at, source, actor, added_at) "
        "SELECT seq, ?, ?, 'review', 'maria', 0 FROM transactions WHERE transaction_id = ?",
        (fraud, to_microseconds(NOON + known), transaction_id),
    )
    world.writer.connection.commit()


def test_label_rate_counts_what_became_known_lately_beside_what_it_can_be_about(world: World) -> None:
    empty = label_rate(world.reader)
    assert (empty.known, empty.transactions, empty.alerts, empty.latest_alerts, empty.labelled_alerts) == (0,) * 5
    world.add(*(scored(f"t-{n}", at=NOON, level=RiskLevel.LOW if n < 3 else None) for n in range(10)))
    label(world, "t-0", 1, DAY)
    label(world, "t-0", 0, 2 * DAY)
    label(world, "t-1", 1, -40 * DAY)
    label(world, "t-2", None, DAY)
    label(world, "t-9", 0, -DAY)
    rate = label_rate(world.reader)
    assert (rate.known, rate.transactions, rate.alerts) == (2, 10, 3)
    assert (rate.labelled_alerts, rate.latest_alerts) == (2, 3)
