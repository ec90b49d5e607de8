"""Latency as a histogram: constant cost to record and to read, in constant memory, whatever the rate."""

from array import array
from collections.abc import Iterable
from math import exp, log
from typing import Final

RESOLUTION: Final = 0.02
"""How much longer than the latency of its members the end of a bucket may be."""
SHORTEST_MS: Final = 0.001
BUCKETS: Final = 1_200
"""The last one ends after more than 20,000 seconds."""
BATCHES_PER_GENERATION: Final = 2_000

_WIDTH: Final = log(1.0 + RESOLUTION)


class LatencyRecorder:
    """Latencies of a whole run, and of the last few thousand batches of it."""

    def __init__(self) -> None:
        self._whole = _empty()
        self._older = _empty()
        self._newer = _empty()
        self._batches = 0

    def add(self, milliseconds: float, transactions: int) -> None:
        """Record that each of ``transactions`` took ``milliseconds`` from its arrival to its commit."""
        bucket = _bucket(milliseconds)
        self._whole[bucket] += transactions
        self._newer[bucket] += transactions
        self._batches += 1
        if self._batches % BATCHES_PER_GENERATION == 0:
            self._older, self._newer = self._newer, _empty()

    def recent(self, *shares: float) -> tuple[float | None, ...]:
        """The percentile of each share (0 to 1) over the last 2,000 to 4,000 batches; None while there is nothing."""
        return _percentiles([older + newer for older, newer in zip(self._older, self._newer, strict=True)], shares)

    def whole(self, *shares: float) -> tuple[float | None, ...]:
        """The percentile of each share (0 to 1) over the run, in milliseconds; None while there is nothing."""
        return _percentiles(self._whole, shares)


def _empty() -> "array[int]":
    return array("q", bytes(8 * BUCKETS))


def _bucket(milliseconds: float) -> int:
    if milliseconds <= SHORTEST_MS:
        return 0
    return min(BUCKETS - 1, int(log(milliseconds / SHORTEST_MS) / _WIDTH))


def _percentiles(counts: Iterable[int], shares: tuple[float, ...]) -> tuple[float | None, ...]:
    filled = [(bucket, count) for bucket, count in enumerate(counts) if count]
    total = sum(count for _, count in filled)
    found: list[float | None] = []
    for share in shares:
        seen = 0
        value = None
        for bucket, count in filled:
            seen += count
            if seen >= share * total:
                value = SHORTEST_MS * exp((bucket + 1) * _WIDTH)
                break
        found.append(value)
    return tuple(found)
