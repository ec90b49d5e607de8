"""A window of traffic in bins: what later traffic is compared with, signal by signal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from data.drift import SignalBins

BINS: Final = 10
RAW_SCORE: Final = "raw_score"
FUSED_SCORE: Final = "score"
SCORES: Final = (RAW_SCORE, FUSED_SCORE)
"""The signals after the features: the forest's raw anomaly, and its calibrated score fused with the rules.

What labels add to a score is left out: a model that learns from them may be promoted while traffic stands still.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Bins of each signal and how many transactions of a window fell into each.

    Bin k holds the values above edge k - 1 and up to edge k. A signal with fewer bins has edges of infinity at the end.

    Attributes:
        edges: (signals, BINS - 1) float64, rising in each row.
        counts: (signals, BINS) int64.

    Raises:
        ValueError: the arrays do not describe such bins, or a signal has no transactions.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        signals = len(self.edges)
        if self.edges.shape != (signals, BINS - 1) or self.counts.shape != (signals, BINS) or not signals:
            raise ValueError("the reference does not have the bins of each signal")
        if self.edges.dtype != np.float64 or self.counts.dtype != np.int64:
            raise ValueError("the reference is of another type")
        real = self.edges < np.inf
        steps = self.edges[:, 1:] > self.edges[:, :-1]
        if np.isnan(self.edges).any() or (self.edges == -np.inf).any() or not (steps | ~real[:, 1:]).all():
            raise ValueError("the edges of the reference do not rise")
        if (self.counts < 0).any() or (self.counts > 2**31).any() or (self.counts.sum(axis=1) < 1).any():
            raise ValueError("the reference counts no transactions")
        if self.counts[:, 1:][~real].any():
            raise ValueError("the reference counts transactions in bins that are not there")
        for name in ("edges", "counts"):
            copy = getattr(self, name).copy()
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)

    @classmethod
    def fit(cls, columns: Sequence[NDArray[np.float64]]) -> Self:
        """Deciles of each signal; where a tenth and more are exactly 0, one bin for these and quantiles of the rest.

        Args:
            columns: for each signal its values, (transactions,), finite; not all need be equally many.

        Raises:
            ValueError: a signal has no values.
        """
        if not all(len(column) for column in columns):
            raise ValueError("a signal without values has no bins")
        edges = np.array([_edges(column) for column in columns])
        counts = [bin_counts(edges[[row]], column[:, np.newaxis])[0] for row, column in enumerate(columns)]
        return cls(edges, np.array(counts))

    def count(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """(signals, BINS) how many of ``values``, (transactions, signals), fall into each bin."""
        return bin_counts(self.edges, values)

    def flat(self, counts: NDArray[np.int64]) -> list[int]:
        """Counts of the bins that there are, those of the first signal first."""
        kept: list[int] = counts[self._present()].tolist()
        return kept

    def bins(self, names: Sequence[str]) -> tuple[SignalBins, ...]:
        """The reference as it is stored, under the names of its signals."""
        present = self._present()
        return tuple(
            SignalBins(name, tuple(edges[edges < np.inf].tolist()), tuple(counts[there].tolist()))
            for name, edges, counts, there in zip(names, self.edges, self.counts, present, strict=True)
        )

    @classmethod
    def of_bins(cls, signals: Sequence[SignalBins]) -> Self:
        """The reference that ``bins`` gave.

        Raises:
            ValueError: it is not sound.
        """
        edges = np.full((len(signals), BINS - 1), np.inf)
        counts = np.zeros((len(signals), BINS), dtype=np.int64)
        for row, signal in enumerate(signals):
            if len(signal.edges) >= BINS or len(signal.counts) != len(signal.edges) + 1:
                raise ValueError("a signal's edges and counts do not match")
            edges[row, : len(signal.edges)] = signal.edges
            counts[row, : len(signal.counts)] = signal.counts
        return cls(edges, counts)

    def _present(self) -> NDArray[np.bool_]:
        first = np.ones((len(self.edges), 1), dtype=np.bool_)
        return np.hstack([first, self.edges < np.inf])


def bin_counts(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """(signals, bins) counts of ``values``, (transactions, signals), by ``edges``, (signals, bins - 1)."""
    above = np.empty((len(edges), edges.shape[1] + 2), dtype=np.int64)
    above[:, 0] = len(values)
    # The transactions last: counting along memory takes half as long.
    by_signal = np.ascontiguousarray(values.T)
    above[:, 1:-1] = np.count_nonzero(by_signal[:, np.newaxis, :] > edges[:, :, np.newaxis], axis=2)
    above[:, -1] = 0
    return above[:, :-1] - above[:, 1:]


def _edges(column: NDArray[np.float64]) -> NDArray[np.float64]:
    rest = column[column != 0.0]
    zeros = 1.0 - len(rest) / len(column)
    if zeros * BINS < 1.0:
        cuts = np.quantile(column, np.arange(1, BINS) / BINS)
    else:
        parts = max(2, round(BINS * (1.0 - zeros)))
        quantiles = np.quantile(rest, np.arange(1, parts) / parts) if len(rest) else np.empty(0)
        cuts = np.concatenate([np.zeros(1), quantiles])
    distinct = np.unique(cuts)
    return np.concatenate([distinct, np.full(BINS - 1 - len(distinct), np.inf)])
