"""The published baseline's features are those of a slow, obvious computation, and its forest learns from them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from handbook_baseline import DAY_US, HOUR_US, Payments, forest_scores, handbook_features
from hypothesis import given
from hypothesis import strategies as st

from data.timestamps import from_microseconds, to_microseconds

FRIDAY_NOON = to_microseconds(datetime(2018, 6, 1, 12, tzinfo=UTC))

Row = tuple[int, int, int, int, bool]
"""Time, card, merchant, cents, fraud."""


def payments(rows: list[Row]) -> Payments:
    time, card, merchant, cents, fraud = zip(*rows, strict=True)
    return Payments(np.array(time), np.array(card), np.array(merchant), np.array(cents), np.array(fraud))


def obvious(rows: list[Row]) -> list[list[float]]:
    """Every window by looking at every row."""
    result = []
    for index, (time, card, merchant, cents, _) in enumerate(rows):
        at = from_microseconds(time)
        own = [cents / 100, float(at.isoweekday() in {6, 7}), float(at.hour <= 6)]
        for days in (1, 7, 30):
            spent = [row[3] / 100 for row in rows[: index + 1] if row[1] == card and row[0] > time - days * DAY_US]
            own += [len(spent), sum(spent) / len(spent)]
        for days in (1, 7, 30):
            known = [
                row[4]
                for row in rows
                if row[2] == merchant and time - (days + 7) * DAY_US < row[0] <= time - 7 * DAY_US
            ]
            own += [len(known), sum(known) / len(known) if known else 0.0]
        result.append(own)
    return result


def test_features_of_a_small_sample_are_those_of_the_definition() -> None:
    day = DAY_US
    rows: list[Row] = [
        (FRIDAY_NOON - 20 * day, 0, 1, 1_000, True),
        (FRIDAY_NOON - 7 * day, 1, 1, 2_000, True),
        (FRIDAY_NOON - 7 * day + 1, 2, 1, 2_000, True),
        (FRIDAY_NOON - day, 0, 2, 3_000, False),
        (FRIDAY_NOON, 0, 1, 5_000, False),
        (FRIDAY_NOON + 18 * HOUR_US, 0, 1, 4_000, False),
        (FRIDAY_NOON + 19 * HOUR_US, 0, 1, 4_000, False),
    ]
    features = handbook_features(payments(rows))
    # At noon on Friday, the transaction of exactly a day before is outside the day, and the label of exactly seven
    # days before is known.
    assert features[4].tolist() == [50, 0, 0, 1, 50, 2, 40, 3, 30, 1, 1, 1, 1, 2, 1]
    assert features[5, :3].tolist() == [40, 1, 1]
    assert features[6, :3].tolist() == [40, 1, 0]
    assert features == pytest.approx(np.array(obvious(rows)))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60 * 24).map(lambda hours: FRIDAY_NOON + hours * HOUR_US),
            st.integers(0, 2),
            st.integers(0, 2),
            st.integers(1, 50_000),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_features_are_those_of_the_definition_whatever_the_times_and_ties(rows: list[Row]) -> None:
    in_order = sorted(rows, key=lambda row: row[0])
    assert handbook_features(payments(in_order)) == pytest.approx(np.array(obvious(in_order)))


def test_the_forest_is_the_same_on_every_run_and_ranks_what_it_was_shown() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 15))
    fraud = features[:, 2] > 1
    first = np.arange(400) < 200
    scores = forest_scores(features, fraud, first, ~first)
    assert scores.shape == (200,)
    assert scores[fraud[~first]].mean() > 3 * scores[~fraud[~first]].mean()
    assert (forest_scores(features, fraud, first, ~first) == scores).all()
