"""A few known frauds accuse a small merchant at once, and a huge one hardly."""

from hypothesis import given
from hypothesis import strategies as st

from engine.features import Event
from engine.label_features import DAY_US, KnownFraud, LabelState
from engine.prior import fraud_prior

DELAY_DAYS = 7
NOW = 140 * DAY_US


def event(time: int, merchant: str | None = "m") -> Event:
    return Event("c", 10.0, time, None, None, True, merchant, None)


def state(a_day: int, frauds: int, ratio: float = 1.0, known_after: int = DELAY_DAYS) -> LabelState:
    """A merchant with transactions on each of 40 days before ``NOW``, the last of them frauds known after some days."""
    labels = LabelState(DELAY_DAYS * DAY_US)
    decided = NOW - known_after * DAY_US
    for day in range(100, 140):
        for number in range(a_day):
            labels.observe(event(day * DAY_US + number * DAY_US // a_day))
    for number in range(frauds):
        time = decided - number * DAY_US // a_day
        labels.tell(KnownFraud(time + known_after * DAY_US, time, f"victim {number}", "m", ratio))
    labels.advance(NOW)
    return labels


def prior(labels: LabelState, card: str = "c", merchant: str | None = "m") -> float:
    return fraud_prior(labels, card, merchant, NOW)


def test_without_a_known_fraud_nothing_is_suspected() -> None:
    assert prior(state(3, 0)) == 0.0
    assert prior(state(3, 5), merchant="another") == 0.0
    assert prior(state(3, 5), merchant=None) == 0.0


def test_more_fraud_at_a_small_merchant_is_more_suspicious() -> None:
    grades = [prior(state(1, frauds)) for frauds in (1, 2, 4, 8)]
    assert grades == sorted(grades)
    assert 0.4 < grades[0] < 0.6
    assert 0.8 < grades[-1] < 1.0


def test_one_fraud_among_ten_thousand_transactions_moves_nothing() -> None:
    assert prior(state(360, 1)) < 0.005


def test_fraud_that_its_amount_explains_does_not_accuse_the_merchant() -> None:
    assert prior(state(1, 3, ratio=4.0)) == 0.0


def test_a_disposition_counts_before_the_delay_is_over() -> None:
    assert prior(state(1, 3, known_after=1)) > 0.3


def test_a_card_with_known_fraud_is_a_little_suspicious_at_every_merchant() -> None:
    labels = state(1, 1, ratio=4.0)
    assert 0.0 < prior(labels, card="victim 0", merchant="another") < 0.1
    assert 0.0 < prior(labels, card="victim 0", merchant=None) < 0.1


@given(st.integers(1, 5), st.integers(0, 60), st.sampled_from([0, 1, 7]))
def test_a_prior_is_a_probability_below_one(a_day: int, frauds: int, known_after: int) -> None:
    assert 0.0 <= prior(state(a_day, frauds, known_after=known_after)) < 1.0
