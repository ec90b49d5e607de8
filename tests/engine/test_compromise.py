"""More fraud than expected speaks for a merchant where cards are taken, less never does."""

from hypothesis import given
from hypothesis import strategies as st

from engine.compromise import log_bayes_factor, posterior, shrunk_lift

EXPECTED = st.floats(0.001, 1_000)


@given(st.floats(0, 1_000), st.floats(0.01, 100), EXPECTED)
def test_more_cards_at_the_same_expectation_are_more_evidence(observed: float, more: float, expected: float) -> None:
    weaker, stronger = log_bayes_factor(observed, expected), log_bayes_factor(observed + more, expected)
    if observed > 2 * expected:
        assert stronger > weaker
    assert 0.0 <= posterior(weaker) < 1.0


@given(EXPECTED)
def test_as_many_as_expected_speak_for_nothing(expected: float) -> None:
    assert log_bayes_factor(expected, expected) < 0.0


@given(st.floats(0, 1_000), EXPECTED)
def test_the_lift_is_drawn_towards_what_is_usual(observed: float, expected: float) -> None:
    probability = posterior(log_bayes_factor(observed, expected))
    lift = shrunk_lift(observed, expected, probability)
    ratio = observed / expected
    assert min(ratio, 1.0) - 1e-9 <= lift <= max(ratio, 10.0) + 1e-9


def test_three_cards_by_chance_do_not_convince_and_seven_do() -> None:
    assert posterior(log_bayes_factor(1.0, 0.5)) < 0.01
    assert posterior(log_bayes_factor(7.0, 0.5)) > 0.9
