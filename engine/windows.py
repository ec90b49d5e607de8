"""Sliding windows of event time, exact per key and bounded by the traffic of one window."""

from bisect import bisect_right, insort
from collections.abc import Mapping

ALLOWED_LATENESS_US = 120_000_000
"""How far behind the watermark an event may be and still enter windows and features (two minutes)."""


class SlidingWindow:
    """Counts the events of a key in the half-open interval ``(t - length, t]`` of event time.

    Events may arrive out of order by up to ``ALLOWED_LATENESS_US``; a count sees what has arrived before it.
    Memory is one integer for each event of the last ``length + ALLOWED_LATENESS_US``.
    """

    __slots__ = ("_length", "_next_sweep", "_times")

    def __init__(self, length_us: int) -> None:
        if length_us <= 0:
            raise ValueError(f"a window of {length_us} microseconds is empty")
        self._length = length_us
        self._next_sweep = 0
        self._times: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """The number of keys that have an event in memory."""
        return len(self._times)

    def add(self, key: str, time: int, watermark: int) -> int:
        """Add an event and count its window, itself included.

        ``watermark`` is the highest event time so far, this event's included.
        """
        if watermark >= self._next_sweep:
            self._sweep(watermark)
        times = self._times.get(key)
        if times is None:
            self._times[key] = [time]
            return 1
        if time >= times[-1]:
            times.append(time)
            end = len(times)
        else:
            insort(times, time)
            end = bisect_right(times, time)
        return end - bisect_right(times, time - self._length, 0, end)

    def count(self, key: str, time: int) -> int:
        """Count the window that ends at ``time``, adding nothing."""
        times = self._times.get(key)
        if times is None:
            return 0
        end = bisect_right(times, time)
        return end - bisect_right(times, time - self._length, 0, end)

    def _sweep(self, watermark: int) -> None:
        """Forget what no event within the allowed lateness can count any more."""
        horizon = watermark - self._length - ALLOWED_LATENESS_US
        for key in [key for key, times in self._times.items() if times[0] <= horizon]:
            times = self._times[key]
            del times[: bisect_right(times, horizon)]
            if not times:
                del self._times[key]
        self._next_sweep = watermark + self._length

    def export(self) -> dict[str, list[int]]:
        """The events in memory, for a checkpoint."""
        return self._times

    def restore(self, times: Mapping[str, list[int]]) -> None:
        """Take over exported events."""
        self._times = {key: list(values) for key, values in times.items()}
        self._next_sweep = 0
