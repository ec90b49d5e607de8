"""A label counts from the moment it is known and never before, and the features equal what a recount gives."""

from math import isnan, nan
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.features import FEATURE_NAMES, Event
from engine.label_features import LABEL_FEATURE_NAMES, LABELS_KEPT, WINDOWS_DAYS, KnownLabel, LabelState
from engine.ranker_features import RANKER_FEATURE_NAMES, RankerFeatures

DAY_US = 86_400_000_000
NEUTRAL = (0.0,) * len(FEATURE_NAMES)


class Known(NamedTuple):
    known_day: float
    day: float
    card: str
    merchant: str
    fraud: bool
    ratio: float


def label_of(known: Known) -> KnownLabel:
    return KnownLabel(
        round(known.known_day * DAY_US), round(known.day * DAY_US), known.card, known.merchant, known.fraud, known.ratio
    )


def features(state: LabelState, card: str, merchant: str | None, day: float) -> dict[str, float]:
    return dict(zip(LABEL_FEATURE_NAMES, state.features(card, merchant, round(day * DAY_US)), strict=True))


def share(labels: list[Known]) -> float:
    return sum(each.fraud for each in labels) / len(labels) if labels else 0.0


def recount(known: list[Known], card: str, merchant: str, day: float) -> dict[str, float]:
    of_merchant = [each for each in known if each.merchant == merchant]
    fraud_days = sorted(each.day for each in of_merchant if each.fraud and each.day >= day - 60)
    plain_days = sorted(each.day for each in of_merchant if each.fraud and each.ratio < 2.5 and each.day >= day - 60)
    of_card = [each.day for each in known if each.card == card and each.fraud]
    month = [each for each in of_merchant if each.known_day >= day - 28]
    result = {
        f"merchant_fraud_share_{days}d": share([each for each in of_merchant if each.known_day >= day - days])
        for days in WINDOWS_DAYS
    }
    result |= {
        "merchant_frauds_28d": sum(each.fraud for each in month),
        "merchant_unexplained_share_28d": share(
            [each._replace(fraud=each.fraud and each.ratio < 2.5) for each in month]
        ),
        "merchant_days_since_fraud": day - fraud_days[-1] if fraud_days else nan,
        "merchant_days_since_first_fraud": day - fraud_days[0] if fraud_days else nan,
        "merchant_days_since_unexplained": day - plain_days[-1] if plain_days else nan,
        "merchant_days_since_first_unexplained": day - plain_days[0] if plain_days else nan,
        "merchant_last_label": share(of_merchant[-1:]) if of_merchant else nan,
        "merchant_last_3_labels": share(of_merchant[-3:]) if of_merchant else nan,
        "merchant_last_5_labels": share(of_merchant[-5:]) if of_merchant else nan,
        "card_frauds_14d": sum(each >= day - 14 for each in of_card),
        "card_days_since_fraud": day - max(of_card) if of_card else nan,
    }
    # Where the merchant's latest fraud is out of memory, its windows are not looked into.
    if not fraud_days:
        result |= dict.fromkeys([name for name in result if "share" in name or name == "merchant_frauds_28d"], 0.0)
    return result


KNOWN = st.lists(
    st.builds(
        lambda known_day, delay, card, merchant, fraud, ratio: Known(
            known_day, known_day - delay, card, merchant, fraud, ratio
        ),
        # Quarters of a day are exact, so that both sides of a window's edge are met.
        st.integers(0, 360).map(lambda quarters: 100 + quarters / 4),
        st.integers(0, 40).map(lambda quarters: quarters / 4),
        st.sampled_from(["c1", "c2"]),
        st.sampled_from(["m1", "m2"]),
        st.booleans(),
        st.sampled_from([1.0, 2.5, 4.0]),
    ),
    max_size=40,
).map(lambda labels: sorted(labels, key=lambda each: each.known_day))


@settings(deadline=None)
@given(KNOWN, st.integers(0, 100).map(lambda quarters: quarters / 4))
def test_label_features_equal_a_recount_of_all_known_labels(known: list[Known], later: float) -> None:
    day = (known[-1].known_day if known else 100.0) + later
    state = LabelState()
    for each in known:
        state.learn(label_of(each))
    expected = recount(known, "c1", "m1", day)
    assert features(state, "c1", "m1", day) == pytest.approx(expected, nan_ok=True)


def event(day: float, amount: float = 10.0, card: str = "c1", merchant: str | None = "m1") -> Event:
    return Event(card, amount, round(day * DAY_US), None, None, True, merchant, None)


def test_a_label_counts_from_its_delay_on_and_not_a_microsecond_earlier() -> None:
    column = RANKER_FEATURE_NAMES.index("merchant_last_label")

    def last_label(time_us: int) -> float:
        state = RankerFeatures(7 * DAY_US)
        state.observe(event(100.0), NEUTRAL, True)
        other = Event("c2", 10.0, 100 * DAY_US + time_us, None, None, True, "m1", None)
        return state.observe(other, NEUTRAL, False)[column]

    assert isnan(last_label(7 * DAY_US - 1))
    assert last_label(7 * DAY_US) == 1.0


def test_a_transaction_never_sees_its_own_label_even_without_delay() -> None:
    rows = []
    for fraud in (False, True):
        state = RankerFeatures(0)
        state.observe(event(100.0), NEUTRAL, False)
        rows.append(state.observe(event(101.0), NEUTRAL, fraud))
    assert rows[0] == pytest.approx(rows[1], nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=30), st.integers(0, 40))
def test_no_row_depends_on_labels_younger_than_the_delay(drawn: list[tuple[int, bool]], at: int) -> None:
    """Flipping every label that is not yet known at a row changes nothing in that row."""
    stream = sorted(drawn)
    delay = 28  # quarters of a day

    def rows(flip_from: int) -> list[tuple[float, ...]]:
        state = RankerFeatures(delay * DAY_US // 4)
        return [
            state.observe(event(quarter / 4, merchant=f"m{quarter % 2}"), NEUTRAL, fraud ^ (quarter > flip_from))
            for quarter, fraud in stream
        ]

    moment = stream[at % len(stream)][0]
    for (quarter, _), plain, flipped in zip(stream, rows(1_000), rows(moment - delay), strict=True):
        if quarter <= moment:
            assert plain == pytest.approx(flipped, nan_ok=True)


def test_memory_of_a_busy_merchant_is_bounded_and_sees_the_latest_labels() -> None:
    state = LabelState()
    for index in range(5 * LABELS_KEPT):
        state.learn(KnownLabel(index, index, "c1", "m1", index >= 4 * LABELS_KEPT, 1.0))
    seen = features(state, "c1", "m1", 0.001)
    assert seen["merchant_fraud_share_60d"] >= 0.5
    assert seen["merchant_frauds_28d"] <= 2 * LABELS_KEPT
    assert seen["merchant_last_5_labels"] == 1.0


def test_an_unlabelled_transaction_teaches_no_label_and_a_missing_merchant_has_none() -> None:
    state = RankerFeatures(0)
    state.observe(event(100.0), NEUTRAL, None)
    row = dict(zip(RANKER_FEATURE_NAMES, state.observe(event(101.0, merchant=None), NEUTRAL, None), strict=True))
    assert isnan(row["merchant_last_label"])
    assert isnan(row["merchant_mean"])
    assert row["card_frauds_14d"] == 0.0
