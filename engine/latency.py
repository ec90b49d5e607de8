"""Latency of recent transactions, weighted by batch, in bounded memory."""

from collections import deque


class LatencyRecorder:
    """Keeps the last ``capacity`` batches: how long a batch took, and of how many transactions it was."""

    def __init__(self, capacity: int = 20_000) -> None:
        self._batches: deque[tuple[float, int]] = deque(maxlen=capacity)

    def add(self, milliseconds: float, transactions: int) -> None:
        """Record that each of ``transactions`` took ``milliseconds`` from its arrival to its commit."""
        if transactions:
            self._batches.append((milliseconds, transactions))

    def percentiles(self, *shares: float) -> tuple[float | None, ...]:
        """The nearest-rank percentile of each share (0 to 1), in milliseconds; None while there is nothing."""
        ordered = sorted(self._batches)
        total = sum(count for _, count in ordered)
        if not total:
            return tuple(None for _ in shares)
        found: list[float | None] = []
        for share in shares:
            seen = 0
            value = ordered[-1][0]
            for milliseconds, count in ordered:
                seen += count
                if seen >= share * total:
                    value = milliseconds
                    break
            found.append(value)
        return tuple(found)
