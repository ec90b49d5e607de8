"""The generator as a source: as fast as it is drawn, or in real time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from random import Random
from typing import Final

from data.timestamps import to_microseconds
from engine.generator.config import GeneratorConfig
from engine.generator.population import Population, build_population
from engine.generator.purchases import RecordWriter
from engine.generator.traffic import DAY_S, REFRACTORY_S, Traffic
from engine.records import Batch

MAX_BATCH: Final = 512
SHORTEST_SLEEP_S: Final = 0.001
LONGEST_SLEEP_S: Final = 0.25
LIVE: Final = "live-seed"
"""How the partitions of real-time streams begin."""
HISTORY_DAYS: Final = 14

_Records = Iterator[tuple[float, bytes]]
"""Event time in seconds, and the record."""


class GeneratorSource:
    """Records of a simulation. ``now`` and ``monotonic`` are the clocks that real time and latency are told by."""

    def __init__(
        self,
        config: GeneratorConfig,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._now = now
        self._monotonic = monotonic
        self._start_s = to_microseconds(config.start) / 1e6
        self._real_begin_s: float | None = None
        self._drawn = 0

    @property
    def name(self) -> str:
        """``generator``."""
        return "generator"

    @property
    def partition(self) -> str:
        """The seed and the start: what makes one stream differ from another; and whether it is in real time."""
        kind = "seed" if self.config.rate is None else LIVE
        return f"{kind}-{self.config.seed}@{self.config.start.astimezone(UTC).isoformat()}"

    @property
    def fraction_read(self) -> float | None:
        """Records drawn over records asked for; None without an end."""
        return None if self.config.records is None else self._drawn / self.config.records

    @property
    def history_records(self) -> int:
        """About how many records ``history`` gives."""
        return self.config.cards * self.config.history_per_card

    @cached_property
    def _population(self) -> Population:
        return build_population(self.config.seed, self.config.cards)

    def history(self) -> Iterator[bytes]:
        """Honest records of the two weeks before the start, in event-time order."""
        if not self.config.history_per_card:
            return
        traffic = Traffic(
            self._population,
            (self.config.seed, 2),
            self._start_s - HISTORY_DAYS * DAY_S,
            per_card_and_day=self.config.history_per_card / HISTORY_DAYS,
            trips=False,
        )
        writer = RecordWriter(self._population, Random(f"history {self.partition}"))
        for purchase in traffic.purchases():
            # Whoever just bought does not buy again at once when the records begin.
            if purchase.time >= self._start_s - REFRACTORY_S:
                return
            yield writer.write(purchase)

    def draw(self) -> Iterator[bytes]:
        """The records in order, as fast as they are drawn."""
        return (raw for _, raw in self._records(self._start_s))

    async def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        """Batches from ``start_offset`` on; in real time, whatever is due."""
        records = self._records(self._begin_s(start_offset))
        await _skip(records, start_offset)
        self._drawn = offset = start_offset
        async for chunk in self._unpaced(records) if self.config.rate is None else self._paced(records):
            yield self._batch(offset, chunk)
            offset += len(chunk)

    def _begin_s(self, start_offset: int) -> float:
        """The time of the first record. In real time, that by which the record at ``start_offset`` is due now.

        What happened while the cards' history was read is not made up for; what is due since the first call is.
        """
        if self.config.rate is None:
            return self._start_s
        if self._real_begin_s is None:
            # Built before the clock is read, as that takes a while.
            _ = self._population
            self._real_begin_s = to_microseconds(self._now()) / 1e6 - start_offset / self.config.rate
        return self._real_begin_s

    async def _unpaced(self, records: _Records) -> AsyncGenerator[tuple[bytes, ...]]:
        while chunk := tuple(raw for _, raw in islice(records, MAX_BATCH)):
            yield chunk
            # Gives way, so that whoever reads this can be stopped.
            await asyncio.sleep(0)

    async def _paced(self, records: _Records) -> AsyncGenerator[tuple[bytes, ...]]:
        following = next(records, None)
        while following is not None:
            now_s = to_microseconds(self._now()) / 1e6
            due: list[bytes] = []
            while following is not None and following[0] <= now_s and len(due) < MAX_BATCH:
                due.append(following[1])
                following = next(records, None)
            if due:
                yield tuple(due)
                await asyncio.sleep(0)
            elif following is not None:
                await asyncio.sleep(min(max(following[0] - now_s, SHORTEST_SLEEP_S), LONGEST_SLEEP_S))

    def _batch(self, offset: int, chunk: tuple[bytes, ...]) -> Batch:
        self._drawn = offset + len(chunk)
        return Batch(self.partition, offset, chunk, self._monotonic())

    def _records(self, begin_s: float) -> _Records:
        return islice(self._endless(begin_s), self.config.records)

    def _endless(self, begin_s: float) -> _Records:
        config = self.config
        honest = config.honest_only
        traffic = Traffic(
            self._population,
            (config.seed, 3, to_microseconds(config.start)),
            begin_s,
            constant_rate=config.rate,
            fraud_share=0.0 if honest else config.fraud_probability,
            burst_share=0.0 if honest else config.velocity_attack_probability,
        )
        random = Random(f"records {self.partition}")
        writer = RecordWriter(self._population, random)
        malformed = 0.0 if honest else config.malformed_probability
        for purchase in traffic.purchases():
            while malformed and random.random() < malformed:
                yield purchase.time, writer.malformed(purchase)
            yield purchase.time, writer.write(purchase)


async def _skip(records: _Records, count: int) -> None:
    while count > 0:
        for _ in islice(records, min(count, MAX_BATCH)):
            pass
        count -= MAX_BATCH
        await asyncio.sleep(0)
