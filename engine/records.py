"""What a source hands over: batches of raw records, each with its place in the source."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive raw records of one partition.

    ``first_offset`` is the place of ``records[0]``; the batch's last record stands at
    ``first_offset + len(records) - 1``. ``received_at`` is a monotonic time in seconds.
    """

    partition: str
    first_offset: int
    records: tuple[bytes, ...]
    received_at: float

    @property
    def next_offset(self) -> int:
        """Where to go on once this batch is committed."""
        return self.first_offset + len(self.records)


class Source(Protocol):
    """An asynchronous stream of batches that can be started from any offset it ever gave."""

    @property
    def name(self) -> str:
        """Identifies the source in the store; positions are kept under this name."""

    @property
    def partition(self) -> str:
        """The partition that it reads."""

    @property
    def fraction_read(self) -> float | None:
        """How much of the source has been read, from 0 to 1, where it has an end."""

    def batches(self, start_offset: int) -> AsyncGenerator[Batch]:
        """Every record from ``start_offset`` on, without lingering for a batch to fill."""
