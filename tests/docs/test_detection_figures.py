"""The comparison's own measures: bursts, budgets in money, and an interval that is that of scikit-learn's precision."""

import numpy as np
import pytest
from detection_figures import Bootstrap, WeightedPrecision, figures_of, first_of_burst
from detection_rows import HandbookRows
from detection_systems import System
from handbook_baseline import DAY_US, Payments
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from engine.metrics import LabelledRows, at_daily_budget

ROW = st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3))


@given(st.lists(ROW, min_size=1, max_size=20))
def test_weighted_average_precision_is_that_of_scikit_learn(rows: list[tuple[bool, int, int]]) -> None:
    fraud, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    found = WeightedPrecision(fraud, scores / 5).average(weights)
    if not weights[fraud].any():
        assert found == 0.0
        return
    assert found == pytest.approx(average_precision_score(fraud, scores / 5, sample_weight=weights))


def test_a_fraud_begins_a_burst_unless_its_card_had_one_in_the_week_before() -> None:
    days = [0, 1, 2, 8, 9, 20, 20]
    cards = [0, 1, 0, 0, 1, 0, 1]
    fraud = [True, True, True, True, True, False, True]
    count = len(days)
    columns = np.zeros(count, dtype=np.int64)
    rows = HandbookRows(
        Payments(np.array(days) * DAY_US, np.array(cards), columns, columns + 100, np.array(fraud)),
        np.array(days),
        ("a", "b"),
        ("m",),
        np.zeros(count),
        np.zeros(count),
        np.zeros((count, 0)),
    )
    assert first_of_burst(rows).tolist() == [True, True, False, False, True, False, True]


def test_a_budget_is_spent_on_each_day_and_pays_for_every_review() -> None:
    rng = np.random.default_rng(1)
    count = 600
    rows = LabelledRows(
        rng.random(count) < 0.2, rng.integers(1, 100, count) * 1.0, np.repeat([3, 5], count // 2), np.arange(count)
    )
    first = rows.fraud & (np.arange(count) % 3 == 0)
    ranking = rng.random(count) + rows.fraud
    figures = figures_of(rows, first, {System.RANKER_WEEK: ranking, System.PERFECT: rows.fraud * rows.amount}, 2.0)
    ours, perfect = figures[System.RANKER_WEEK], figures[System.PERFECT]
    for found, budget in zip(ours.budgets, (20, 50, 100), strict=True):
        engine = at_daily_budget(rows, ranking, budget)
        assert (found.precision, found.recall) == pytest.approx((engine.precision, engine.recall))
        assert found.value_caught == pytest.approx(engine.value_caught)
        caught = found.value_caught * rows.amount[rows.fraud].sum()
        assert found.net == pytest.approx(caught / 2 - 2.0 * budget)
    for found, best in zip(ours.budgets, perfect.budgets, strict=True):
        assert best.net >= found.net
        assert best.first_recall >= found.first_recall
    assert perfect.budgets[0].first_recall == pytest.approx(40 / first.sum())


def test_a_lead_is_taken_in_the_same_samples() -> None:
    wide = np.linspace(0.2, 0.8, 201)
    sampled = Bootstrap({System.RANKER_WEEK: wide + 0.1, System.PUBLISHED: wide})
    assert sampled.interval(System.PUBLISHED) == pytest.approx((0.215, 0.785))
    assert sampled.lead(System.RANKER_WEEK, System.PUBLISHED) == pytest.approx((0.1, 0.1))
