"""The population stability index, what it is called, and the uncertainty of a rate: the arithmetic of drift."""

from collections.abc import Sequence
from enum import StrEnum
from math import log, sqrt
from typing import Final

SHIFTING: Final = 0.1
DRIFTED: Final = 0.25
FEWEST_TRANSACTIONS: Final = 1_000
"""From which an index says something: where nothing has moved it averages (bins - 1) / transactions, here 0.01."""
DRIFTED_FEATURES: Final = 3
"""Features that must have drifted before their drift is an alarm: one alone is often a change of the source."""
SMALLEST_SHARE: Final = 1e-4
"""What an empty bin is taken to hold: without it, one transaction in it would make the index infinite."""
DEVIATES_95: Final = 1.959964
"""Standard normal deviate of a two-sided interval of 95 %."""


class DriftLevel(StrEnum):
    """Siddiqi's bands (Credit Risk Scorecards, 2006): below 0.1 stable, from 0.25 on drifted."""

    UNKNOWN = "too few"
    STABLE = "stable"
    SHIFTING = "shifting"
    DRIFTED = "drifted"


def population_stability_index(expected: Sequence[int], actual: Sequence[int]) -> float:
    """How far shares of bins have moved (Siddiqi, 2006): ``sum((a - e) * ln(a / e))``, 0 where none has.

    Args:
        expected: transactions of the reference in each bin.
        actual: transactions now in each of the same bins.

    Raises:
        ValueError: other numbers of bins, or no transactions.
    """
    total = 0.0
    for e, a in zip(_shares(expected), _shares(actual), strict=True):
        total += (a - e) * log(a / e)
    return total


def level_of(index: float, transactions: int) -> DriftLevel:
    """The band of an index over so many transactions."""
    if transactions < FEWEST_TRANSACTIONS:
        return DriftLevel.UNKNOWN
    if index < SHIFTING:
        return DriftLevel.STABLE
    return DriftLevel.SHIFTING if index < DRIFTED else DriftLevel.DRIFTED


def has_drifted(features: Sequence[DriftLevel], scores: Sequence[DriftLevel]) -> bool:
    """Whether traffic is another than that of the reference: a score has drifted, or several features have."""
    return DriftLevel.DRIFTED in scores or list(features).count(DriftLevel.DRIFTED) >= DRIFTED_FEATURES


def binomial_interval(hits: int, trials: int) -> tuple[float, float]:
    """A rate's interval of 95 % confidence, after Wilson (1927); 0 to 1 without trials."""
    if trials == 0:
        return 0.0, 1.0
    z2 = DEVIATES_95**2
    rate = hits / trials
    middle = rate + z2 / (2 * trials)
    half = DEVIATES_95 * sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    scale = 1 + z2 / trials
    # Rounding must not leave the rate itself outside.
    return min(rate, max(0.0, (middle - half) / scale)), max(rate, min(1.0, (middle + half) / scale))


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    if total <= 0:
        raise ValueError("no transactions have no shares")
    return [max(count / total, SMALLEST_SHARE) for count in counts]
