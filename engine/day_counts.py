"""Counts by day of event time, of the last ``DAYS_KEPT`` days and no more."""

from array import array
from itertools import accumulate
from typing import Final

DAYS_KEPT: Final = 64
"""A month in which a card may have been taken, and a month until its fraud is known; a power of two."""

_EMPTY: Final = array("q", bytes(8 * DAYS_KEPT))
_MASK: Final = DAYS_KEPT - 1


class DayCounts:
    """Whole numbers by day. Days are since the epoch; ``latest`` is the last one that was counted."""

    __slots__ = ("counts", "latest")

    def __init__(self) -> None:
        self.counts = _EMPTY[:]
        self.latest = 0

    def add(self, day: int, amount: int) -> None:
        """Count on a day; one that is out of memory is left out."""
        if day > self.latest:
            self._roll(day)
        elif day <= self.latest - DAYS_KEPT:
            return
        self.counts[day & _MASK] += amount

    def move(self, before: int, day: int) -> None:
        """Count one on ``day`` that was counted on the earlier day ``before``, unless that is out of memory."""
        if day > self.latest:
            self._roll(day)
        counts = self.counts
        counts[day & _MASK] += 1
        if before > self.latest - DAYS_KEPT:
            counts[before & _MASK] -= 1

    def total(self, first: int, last: int) -> int:
        """The sum over the days from ``first`` to ``last``, both included, as far as they are in memory."""
        first = max(first, self.latest - DAYS_KEPT + 1)
        last = min(last, self.latest)
        if first > last:
            return 0
        start, end = first & _MASK, (last & _MASK) + 1
        if start < end:
            return sum(self.counts[start:end])
        return sum(self.counts[start:]) + sum(self.counts[:end])

    def running(self, last: int) -> list[int]:
        """The sums of the first 0 to ``DAYS_KEPT`` of the days that end with ``last``."""
        days = range(last - DAYS_KEPT + 1, last + 1)
        kept = range(self.latest - DAYS_KEPT + 1, self.latest + 1)
        return list(accumulate((self.counts[day & _MASK] if day in kept else 0 for day in days), initial=0))

    def _roll(self, day: int) -> None:
        if day - self.latest >= DAYS_KEPT:
            self.counts = _EMPTY[:]
        else:
            for each in range(self.latest + 1, day + 1):
                self.counts[each & _MASK] = 0
        self.latest = day
