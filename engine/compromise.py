"""How far more fraud than expected follows from an entity speaks for cards being taken there.

A Gamma-Poisson mixture (DuMouchel, 1999, "Bayesian data mining in large frequency tables"): the number of cards whose
fraud followed a visit is Poisson with mean ``lift * expected``; the lift of an ordinary entity is Gamma distributed
around 1, that of one where cards are taken around 10, widely. Counts may be fractions, as evidence that decays is.
"""

from collections.abc import Sequence
from math import exp, lgamma, log
from typing import Final

ORDINARY: Final = (10.0, 10.0)
COMPROMISED: Final = (1.5, 0.15)
"""Shape and rate of the Gamma distribution of the lift. An ordinary entity's varies by 32 %: cards that share one
entity share others, among them those where cards are taken."""
PRIOR_ODDS: Final = 1e-2
"""About one entity in a hundred has cards taken there within two months."""
WORTH_SAYING: Final = 0.1
"""The posterior from which on an analyst is told: ten times what it is of any entity."""


def effective_cards(weights: Sequence[float]) -> float:
    """How many cards of equal weight are as good as cards of these weights (Kish, 1965): ``(Σw)² / Σw²``."""
    return sum(weights) ** 2 / sum(weight * weight for weight in weights)


def log_bayes_factor(observed: float, expected: float) -> float:
    """Log of how much likelier a count is where cards are taken than where they are not; ``expected`` is above 0."""
    return _log_marginal(observed, expected, *COMPROMISED) - _log_marginal(observed, expected, *ORDINARY)


def _log_marginal(observed: float, expected: float, shape: float, rate: float) -> float:
    """Of the negative binomial distribution, without the factors that both hypotheses share."""
    return (
        lgamma(shape + observed)
        - lgamma(shape)
        + shape * log(rate / (rate + expected))
        - observed * log(rate + expected)
    )


def posterior(log_factor: float) -> float:
    """The probability that cards are taken there, in [0, 1)."""
    log_odds = max(-700.0, min(log_factor + log(PRIOR_ODDS), 30.0))
    return 1.0 / (1.0 + exp(-log_odds))


def shrunk_lift(observed: float, expected: float, probability: float) -> float:
    """The posterior mean of the lift, given the probability that cards are taken there."""
    compromised = (COMPROMISED[0] + observed) / (COMPROMISED[1] + expected)
    ordinary = (ORDINARY[0] + observed) / (ORDINARY[1] + expected)
    return probability * compromised + (1.0 - probability) * ordinary
