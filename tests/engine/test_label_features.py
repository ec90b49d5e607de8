"""A fraud counts from the moment it is known and never before, and the features equal what a recount gives."""

from math import isnan, nan
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.features import FEATURE_NAMES, Event, amount_ratio
from engine.label_features import (
    DAY_US,
    LABEL_FEATURE_NAMES,
    LAST_OUTCOMES,
    WINDOWS_DAYS,
    KnownFraud,
    LabelState,
)
from engine.ranker_features import RANKER_FEATURE_NAMES, RankerFeatures
from engine.sealed import CheckpointError

DELAY_DAYS = 7
NEUTRAL = (0.0,) * len(FEATURE_NAMES)


class Past(NamedTuple):
    """A transaction, and the day its fraud is known on; None is honest."""

    day: float
    card: str
    merchant: str
    known_day: float | None
    ratio: float


def event(day: float, amount: float = 10.0, card: str = "c1", merchant: str | None = "m1") -> Event:
    return Event(card, amount, round(day * DAY_US), None, None, True, merchant, None)


def told(past: Past) -> KnownFraud:
    known_day = nan if past.known_day is None else past.known_day
    return KnownFraud(round(known_day * DAY_US), round(past.day * DAY_US), past.card, past.merchant, past.ratio)


def state_after(stream: list[Past]) -> LabelState:
    state = LabelState(DELAY_DAYS * DAY_US)
    for past in stream:
        state.advance(round(past.day * DAY_US))
        state.observe(event(past.day, card=past.card, merchant=past.merchant))
        if past.known_day is not None:
            state.tell(told(past))
    return state


def features(state: LabelState, card: str, merchant: str | None, day: float) -> dict[str, float]:
    state.advance(round(day * DAY_US))
    return dict(zip(LABEL_FEATURE_NAMES, state.features(card, merchant, round(day * DAY_US)), strict=True))


def ages(days: list[float], now: float) -> tuple[float, float]:
    return (now - max(days), now - min(days)) if days else (nan, nan)


def recount(stream: list[Past], card: str, merchant: str, now: float) -> dict[str, float]:
    """The features at a midnight, when no day is cut through."""
    end = now - DELAY_DAYS
    known = [each for each in stream if each.known_day is not None and each.known_day <= now]
    in_memory = [each for each in known if each.day > end - 60]
    frauds = [each for each in in_memory if each.merchant == merchant]
    of_card = [each.day for each in in_memory if each.card == card]

    def share(part: list[Past], after: float) -> float:
        counted = sum(after < each.day <= end for each in part)
        everything = sum(int(after) <= int(each.day) < end for each in stream if each.merchant == merchant)
        return counted / max(counted, everything) if counted else 0.0

    plain = [each for each in frauds if each.ratio < 2.5]
    result = {f"merchant_fraud_share_{days}d": share(frauds, end - days) for days in WINDOWS_DAYS}
    for count in LAST_OUTCOMES:
        back = 0
        while back < 60 and sum(end - back <= each.day < end for each in stream if each.merchant == merchant) < count:
            back += 1
        result[f"merchant_fraud_share_of_last_{count}"] = share(
            [each for each in frauds if each.day >= end - back], end - back
        )
    result["merchant_unexplained_share_28d"] = share(plain, end - 28)
    result["merchant_frauds_28d"] = sum(each.day > end - 28 for each in frauds)
    result["merchant_early_frauds"] = sum(each.day > end for each in frauds)
    result["merchant_days_since_fraud"], result["merchant_days_since_first_fraud"] = ages(
        [each.day for each in frauds], now
    )
    result["merchant_days_since_unexplained"], result["merchant_days_since_first_unexplained"] = ages(
        [each.day for each in plain], now
    )
    result["card_frauds_14d"] = sum(day > end - 14 for day in of_card)
    result["card_frauds_60d"] = len(of_card)
    result["card_days_since_fraud"], result["card_days_since_first_fraud"] = ages(of_card, now)
    return result


STREAMS = st.lists(
    st.builds(
        lambda halves, card, merchant, after, ratio: Past(
            100.25 + halves / 2, card, merchant, None if after is None else 100.25 + halves / 2 + after / 2, ratio
        ),
        # Half days, off midnight: no transaction lies on the edge of a window that is recounted.
        st.integers(0, 300),
        st.sampled_from(["c1", "c2"]),
        st.sampled_from(["m1", "m2"]),
        st.sampled_from([None, 0, 1, 14, 14, 40]),
        st.sampled_from([1.0, 2.5, 4.0]),
    ),
    max_size=60,
).map(lambda stream: sorted(stream, key=lambda each: each.day))


@settings(deadline=None)
@given(STREAMS, st.integers(1, 80))
def test_label_features_equal_a_recount_of_the_whole_past(stream: list[Past], later: int) -> None:
    now = float(int(stream[-1].day if stream else 100.0) + later)
    expected = recount(stream, "c1", "m1", now)
    assert features(state_after(stream), "c1", "m1", now) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(STREAMS, st.integers(0, 60))
def test_a_restored_state_answers_the_same_and_dumps_the_same_bytes(stream: list[Past], cut: int) -> None:
    whole, before = state_after(stream), state_after(stream[:cut])
    after = LabelState(DELAY_DAYS * DAY_US)
    after.load(before.dump())
    assert after.dump() == before.dump()
    for past in stream[cut:]:
        for state in (before, after):
            state.advance(round(past.day * DAY_US))
            state.observe(event(past.day, card=past.card, merchant=past.merchant))
            if past.known_day is not None:
                state.tell(told(past))
        assert repr(features(after, "c1", "m1", past.day)) == repr(features(before, "c1", "m1", past.day))
    for state in (whole, after):
        state.advance(300 * DAY_US)
    assert after.dump() == whole.dump()


@settings(deadline=None)
@given(STREAMS, st.randoms())
def test_the_order_in_which_frauds_are_told_does_not_matter(stream: list[Past], random: Random) -> None:
    shuffled = [each for each in stream if each.known_day is not None]
    random.shuffle(shuffled)
    states = []
    for frauds in (shuffled, sorted(shuffled, key=lambda each: each.known_day or 0.0)):
        state = LabelState(DELAY_DAYS * DAY_US)
        for past in frauds:
            state.tell(told(past))
        state.advance(270 * DAY_US)
        states.append(state.dump())
    assert states[0] == states[1]


def test_a_damaged_memory_or_one_of_another_delay_is_refused_and_changes_nothing() -> None:
    stream = [Past(100.25 + day, "c1", f"m{day % 3}", 100.25 + day + 7, 1.0) for day in range(9)]
    state = state_after(stream)
    sound = state.dump()
    for at in range(len(sound)):
        with pytest.raises(CheckpointError):
            state.load(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
    for damaged in (b"", sound[:-1], sound + b"\0"):
        with pytest.raises(CheckpointError):
            state.load(damaged)
    assert state.dump() == sound
    with pytest.raises(CheckpointError, match="delay"):
        LabelState(DAY_US).load(sound)


@pytest.mark.parametrize("delay_days", [0, 7, 365])
def test_a_fraud_counts_from_its_delay_on_and_not_a_microsecond_earlier(delay_days: int) -> None:
    column = RANKER_FEATURE_NAMES.index("merchant_frauds_28d")
    for early, expected in ((1, 0.0), (0, 1.0)):
        labels = LabelState(delay_days * DAY_US)
        rows = RankerFeatures(labels)
        first = event(100.0)
        ratio = amount_ratio(rows.observe(first, NEUTRAL))
        labels.observe(first)
        labels.tell(KnownFraud(first.time + delay_days * DAY_US, first.time, "c1", "m1", ratio))
        other = Event("c2", 10.0, (100 + delay_days) * DAY_US - early, None, None, True, "m1", None)
        assert rows.observe(other, NEUTRAL)[column] == expected


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=30), st.integers(0, 40))
def test_no_row_depends_on_labels_younger_than_the_delay(drawn: list[tuple[int, bool]], at: int) -> None:
    """Flipping every label that is not yet known at a row changes nothing in that row."""
    stream = sorted(drawn)
    delay = 28  # quarters of a day

    def rows(flip_from: int) -> list[tuple[float, ...]]:
        labels = LabelState(delay * DAY_US // 4)
        state = RankerFeatures(labels)
        result = []
        for quarter, fraud in stream:
            each = event(quarter / 4, merchant=f"m{quarter % 2}")
            result.append(state.observe(each, NEUTRAL))
            labels.observe(each)
            if fraud ^ (quarter > flip_from):
                labels.tell(KnownFraud(each.time + labels.delay_us, each.time, each.card_id, each.merchant, 1.0))
        return result

    moment = stream[at % len(stream)][0]
    for (quarter, _), plain, flipped in zip(stream, rows(1_000), rows(moment - delay), strict=True):
        if quarter <= moment:
            assert plain == pytest.approx(flipped, nan_ok=True)


def test_what_no_window_reaches_any_more_is_forgotten() -> None:
    state = state_after([Past(100.5, f"c{index}", f"m{index}", 107.5, 1.0) for index in range(50)])
    state.advance(110 * DAY_US)
    assert state.has_labels
    full = len(state.dump())
    state.advance(200 * DAY_US)
    assert not state.has_labels
    empty = LabelState(DELAY_DAYS * DAY_US)
    empty.advance(200 * DAY_US)
    assert state.dump() == empty.dump()
    assert len(state.dump()) < full


def test_honest_traffic_takes_no_memory_but_its_merchants() -> None:
    state = LabelState(DELAY_DAYS * DAY_US)
    sizes = []
    for rounds in (10, 1_000):
        for number in range(rounds):
            state.observe(event(100.0 + number / rounds, card=f"c{number}", merchant=f"m{number % 5}"))
        sizes.append(len(state._known.counts))
    assert sizes == [5, 5]
    assert not state._known.cards
    assert not state._known.pending


def test_a_fraud_with_an_impossible_ratio_or_known_too_soon_is_refused() -> None:
    state = LabelState(0)
    for ratio in (nan, float("inf"), -1.0):
        with pytest.raises(ValueError, match="ratio"):
            state.tell(KnownFraud(1, 1, "c1", "m1", ratio))
    with pytest.raises(ValueError, match="before"):
        state.tell(KnownFraud(0, 1, "c1", "m1", 1.0))
    with pytest.raises(ValueError, match="negative"):
        LabelState(-1)


def test_a_missing_merchant_has_no_label_features_but_its_card_does() -> None:
    labels = LabelState(0)
    rows = RankerFeatures(labels)
    labels.tell(KnownFraud(100 * DAY_US, 100 * DAY_US, "c1", None, 1.0))
    row = dict(zip(RANKER_FEATURE_NAMES, rows.observe(event(101.0, merchant=None), NEUTRAL), strict=True))
    assert isnan(row["merchant_days_since_fraud"])
    assert isnan(row["merchant_mean"])
    assert row["card_frauds_14d"] == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1.0, 9.0])), min_size=1, max_size=8), st.booleans())
def test_taking_one_fraud_back_leaves_its_twins(drawn: list[tuple[int, float]], known: bool) -> None:
    frauds = [KnownFraud(DAY_US, 0, f"c{card}", "m", ratio) for card, ratio in drawn]
    state, without = LabelState(7 * DAY_US), LabelState(7 * DAY_US)
    for fraud in frauds:
        state.tell(fraud)
    for fraud in frauds[1:]:
        without.tell(fraud)
    if known:
        state.advance(DAY_US)
    state.retract(frauds[0])
    for each in (state, without):
        each.advance(2 * DAY_US)
    assert state.dump() == without.dump()
