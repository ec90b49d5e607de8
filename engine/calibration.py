"""From a raw anomaly to a score that means an alert rate, by the empirical quantiles of honest traffic."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Anchor:
    """A score, and the share of honest traffic that reaches it."""

    score: float
    share: float


ANCHORS = (
    Anchor(score=0.02, share=0.50),
    Anchor(score=0.06, share=0.10),
    Anchor(score=0.25, share=0.01),
    Anchor(score=0.40, share=0.003),
    Anchor(score=0.50, share=0.001),
    Anchor(score=0.55, share=0.0008),
    Anchor(score=0.70, share=0.0004),
    Anchor(score=0.85, share=0.0002),
)
MINIMUM_ROWS = 5_000
"""Honest rows that a fit needs: of fewer, none is expected in the 0.02 % that reach the highest anchor."""

# Raw anomalies nearer than this count as tied: far below what sets two transactions apart, far above rounding.
_TIE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class QuantileCalibration:
    """A strictly increasing, piecewise linear map of raw anomaly to score, from (0, 0) through the anchors to 1.

    Attributes:
        raw: (knots,) float64, raw anomaly at each knot, strictly increasing from 0.
        score: (knots,) float64, score at each knot, strictly increasing from 0 to 1.
        share: (knots,) float64, share of honest traffic that reaches the knot, strictly decreasing from 1 to 0.

    Raises:
        ValueError: the arrays do not describe such a map.
    """

    raw: NDArray[np.float64]
    score: NDArray[np.float64]
    share: NDArray[np.float64]

    def __post_init__(self) -> None:
        columns = (self.raw, self.score, self.share)
        if any(column.dtype != np.float64 or column.shape != self.raw.shape for column in columns):
            raise ValueError("raw, score and share are not float64 arrays of one length")
        if self.raw.ndim != 1 or len(self.raw) < 2 or not all(np.isfinite(column).all() for column in columns):
            raise ValueError("there are not two knots of finite numbers")
        if not ((np.diff(self.raw) > 0).all() and (np.diff(self.score) > 0).all() and (np.diff(self.share) < 0).all()):
            raise ValueError("the knots are not in order")
        ends = (self.raw[0], self.score[0], self.score[-1], self.share[0], self.share[-1])
        if ends != (0, 0, 1, 1, 0) or self.raw[-1] < 1:
            raise ValueError("the knots do not span 0 to 1")
        for name, column in zip(("raw", "score", "share"), columns, strict=True):
            copy = column.copy()
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)

    @classmethod
    def fit(cls, raw: NDArray[np.float64]) -> Self:
        """Place the anchors on the quantiles of honest traffic, for a continuous distribution without bias.

        Where many rows share one raw anomaly, they stay below an anchor that too many of them would reach: ties lower
        the alert rate, never raise it, and a constant anomaly alerts nobody.

        Args:
            raw: (rows,) raw anomaly of honest traffic, each in (0, 1].

        Raises:
            ValueError: too few rows, or a value outside (0, 1].
        """
        rows = len(raw)
        if rows < MINIMUM_ROWS:
            raise ValueError(
                f"{rows:,} honest rows are too few to calibrate: the highest {ANCHORS[-1].share:.2%} "
                f"need at least {MINIMUM_ROWS:,}"
            )
        if not ((raw > 0) & (raw <= 1)).all():
            raise ValueError("a raw anomaly lies outside 0 to 1")
        ordered = np.sort(raw)
        knots = [0.0]
        for anchor in ANCHORS:
            knots.append(max(_quantile(ordered, anchor.share), knots[-1] + _TIE))
        knots.append(max(1.0, knots[-1] + _TIE))
        return cls.at_anchors(np.array(knots))

    @classmethod
    def at_anchors(cls, raw: NDArray[np.float64]) -> Self:
        """The map with these raw anomalies at 0, at the anchors and at 1.

        Raises:
            ValueError: they are of another number, or do not rise from 0 to 1.
        """
        return cls(
            raw=raw,
            score=np.array([0.0, *(anchor.score for anchor in ANCHORS), 1.0]),
            share=np.array([1.0, *(anchor.share for anchor in ANCHORS), 0.0]),
        )

    def apply(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores in [0, 1] of raw anomalies in (0, 1], of the same shape; still rising above all honest traffic."""
        return np.interp(raw, self.raw, self.score)

    def alert_rate(self, threshold: float) -> float:
        """The share of honest traffic that scores at least ``threshold``: exact at an anchor, linear between two.

        Raises:
            ValueError: the threshold lies outside 0 to 1.
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"a threshold of {threshold} lies outside 0 to 1")
        return float(np.interp(threshold, self.score, self.share))


def _quantile(ordered: NDArray[np.float64], share: float) -> float:
    """The raw anomaly that ``share`` of the traffic is expected to reach; above a tie that more would reach."""
    # Weibull's plotting position: on average, i / (n + 1) of a distribution lies below the i-th of n ordered samples.
    value = float(np.quantile(ordered, 1 - share, method="weibull"))
    reached = len(ordered) - int(np.searchsorted(ordered, value - _TIE))
    allowed = int(np.ceil(share * (len(ordered) + 1)))
    return value + _TIE if reached > allowed else value
