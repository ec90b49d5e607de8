"""The figures equal what slow, obvious counting gives, and scikit-learn's where it defines them."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.metrics import LabelledRows, at_daily_budget, auc_roc, average_precision, card_precision

Row = tuple[bool, float, int, int, float]
ROWS = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 50_000).map(lambda cents: cents / 100),
        st.integers(0, 3),
        st.integers(0, 6),
        st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.25, 0.5])),
    ),
    min_size=1,
    max_size=60,
)


def columns(rows: list[Row]) -> tuple[LabelledRows, NDArray[np.float64]]:
    fraud, amount, day, card, score = zip(*rows, strict=True)
    labelled = LabelledRows(
        np.array(fraud, dtype=np.bool_), np.array(amount), np.array(day, dtype=np.int64), np.array(card, dtype=np.int64)
    )
    return labelled, np.array(score)


def obvious_card_precision(rows: list[Row], k: int) -> float:
    caught: set[int] = set()
    precisions = []
    for day in sorted({row[2] for row in rows}):
        highest: dict[int, float] = {}
        fraud: dict[int, bool] = {}
        for is_fraud, _, of_day, card, score in rows:
            if of_day == day and card not in caught:
                highest[card] = max(score, highest.get(card, score))
                fraud[card] = is_fraud or fraud.get(card, False)
        top = sorted(highest, key=lambda card: (-highest[card], card))[:k]
        found = [card for card in top if fraud[card]]
        caught.update(found)
        precisions.append(len(found) / k)
    return sum(precisions) / len(precisions)


def obvious_budget(rows: list[Row], budget: int) -> tuple[float, float | None, float | None]:
    reviewed: list[Row] = []
    for _, of_day in groupby(sorted(rows, key=lambda row: row[2]), key=lambda row: row[2]):
        reviewed += sorted(of_day, key=lambda row: -row[4])[:budget]
    frauds = [row for row in rows if row[0]]
    found = [row for row in reviewed if row[0]]
    value = sum(row[1] for row in frauds)
    return (
        len(found) / len(reviewed),
        len(found) / len(frauds) if frauds else None,
        sum(row[1] for row in found) / value if value else None,
    )


def obvious_auc(rows: list[Row]) -> float:
    frauds = [row[4] for row in rows if row[0]]
    honest = [row[4] for row in rows if not row[0]]
    wins = sum((fraud > other) + 0.5 * (fraud == other) for fraud in frauds for other in honest)
    return wins / (len(frauds) * len(honest))


def obvious_average_precision(rows: list[Row]) -> float:
    frauds = sum(row[0] for row in rows)
    total, recall_before = 0.0, 0.0
    for threshold in sorted({row[4] for row in rows}, reverse=True):
        above = [row[0] for row in rows if row[4] >= threshold]
        recall = sum(above) / frauds
        total += (recall - recall_before) * sum(above) / len(above)
        recall_before = recall
    return total


@given(ROWS, st.integers(1, 8))
def test_card_precision_equals_counting_by_hand(rows: list[Row], k: int) -> None:
    assert card_precision(*columns(rows), k) == pytest.approx(obvious_card_precision(rows, k), abs=1e-12)


@given(ROWS, st.integers(1, 20))
def test_figures_at_a_daily_budget_equal_counting_by_hand(rows: list[Row], budget: int) -> None:
    figures = at_daily_budget(*columns(rows), budget)
    precision, recall, value = obvious_budget(rows, budget)
    assert figures.precision == pytest.approx(precision)
    assert figures.recall == (None if recall is None else pytest.approx(recall))
    assert figures.value_caught == (None if value is None else pytest.approx(value))


# The first example loads scikit-learn, which takes seconds.
@settings(deadline=None)
@given(ROWS)
def test_auc_and_average_precision_equal_their_definitions(rows: list[Row]) -> None:
    labelled, scores = columns(rows)
    kinds = {row[0] for row in rows}
    assert auc_roc(labelled.fraud, scores) == (pytest.approx(obvious_auc(rows)) if len(kinds) == 2 else None)
    expected = pytest.approx(obvious_average_precision(rows)) if True in kinds else None
    assert average_precision(labelled.fraud, scores) == expected


def test_a_card_that_was_caught_makes_room_for_another_on_the_next_day() -> None:
    rows: list[Row] = [(True, 1.0, 0, 0, 0.9), (True, 1.0, 1, 0, 0.9), (True, 1.0, 1, 1, 0.1)]
    assert card_precision(*columns(rows), 1) == 1.0
    missed_first: list[Row] = [(False, 1.0, 0, 0, 0.9), (True, 1.0, 1, 0, 0.9), (True, 1.0, 1, 1, 0.1)]
    assert card_precision(*columns(missed_first), 1) == 0.5


def test_a_day_with_fewer_cards_than_k_is_still_divided_by_k() -> None:
    assert card_precision(*columns([(True, 1.0, 0, 0, 0.5)]), 100) == 0.01


def test_no_rows_have_no_figures() -> None:
    labelled, scores = columns([(True, 1.0, 0, 0, 0.5)])
    none = np.zeros(1, dtype=np.bool_)
    empty = labelled.take(none)
    assert card_precision(empty, scores[none], 5) is None
    figures = at_daily_budget(empty, scores[none], 5)
    assert (figures.precision, figures.recall, figures.value_caught) == (None, None, None)
