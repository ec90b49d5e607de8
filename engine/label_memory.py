"""What is remembered of known frauds and of merchants' transactions, and that memory as bytes."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.sealed import CheckpointError, seal, unseal

FORMAT: Final = 1

HeldBack: TypeAlias = tuple[int, int, str, str, float]
"""A fraud that is not known yet: when it will be, its time, card, merchant (empty where there is none) and ratio."""
Times: TypeAlias = "array[int]"
"""Event times in microseconds, in order."""


@dataclass(slots=True)
class LabelMemory:
    """All by name. ``counts`` are a merchant's transactions in a ring of UTC days, and the latest of them.

    ``frauds`` and ``unexplained`` are a merchant's, ``cards`` a card's. ``pending`` is a heap. Days are counted from
    the epoch.
    """

    counts: dict[str, "array[int]"] = field(default_factory=dict)
    frauds: dict[str, Times] = field(default_factory=dict)
    unexplained: dict[str, Times] = field(default_factory=dict)
    cards: dict[str, Times] = field(default_factory=dict)
    pending: list[HeldBack] = field(default_factory=list)
    swept_day: int = 0


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    delay_us: int
    swept_day: int
    merchants: list[str]
    frauds: dict[str, int]
    unexplained: dict[str, int]
    cards: dict[str, int]
    held_cards: list[str]
    held_merchants: list[str]


def dump(memory: LabelMemory, delay_us: int) -> bytes:
    """The memory, compressed; in the order of the names, so that it does not matter how it came to be."""
    merchants = sorted(memory.counts)
    by_name = [dict(sorted(each.items())) for each in (memory.frauds, memory.unexplained, memory.cards)]
    held = sorted(memory.pending)
    header = _Header(
        format=FORMAT,
        delay_us=delay_us,
        swept_day=memory.swept_day,
        merchants=merchants,
        frauds=_lengths(by_name[0]),
        unexplained=_lengths(by_name[1]),
        cards=_lengths(by_name[2]),
        held_cards=[each[2] for each in held],
        held_merchants=[each[3] for each in held],
    )
    parts: list[array[int] | array[float]] = [memory.counts[name] for name in merchants]
    parts.extend(times for each in by_name for times in each.values())
    parts.extend((array("q", (each[0] for each in held)), array("q", (each[1] for each in held))))
    parts.append(array("d", (each[4] for each in held)))
    return seal(orjson.dumps(header.model_dump()), b"".join(part.tobytes() for part in parts))


def load(data: bytes, delay_us: int, fields: int) -> LabelMemory:
    """The memory that was dumped; ``fields`` is the length of a merchant's counts.

    Raises:
        CheckpointError: it is damaged, of another version or of another delay.
    """
    raw_header, body = unseal(data)
    try:
        header = _Header.model_validate(orjson.loads(raw_header))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise CheckpointError(f"the checkpoint of labels cannot be read: {str(error)[:80]}") from error
    if (header.format, header.delay_us) != (FORMAT, delay_us):
        raise CheckpointError("the checkpoint of labels was taken by another version or with another delay")
    held = len(header.held_cards)
    lengths = (*header.frauds.values(), *header.unexplained.values(), *header.cards.values())
    expected = 4 * fields * len(header.merchants) + 8 * (sum(lengths) + 3 * held)
    if len(body) != expected or len(header.held_merchants) != held or min(lengths, default=1) < 1:
        raise CheckpointError("the checkpoint of labels is cut short")
    reader = _Reader(body)
    memory = LabelMemory(swept_day=header.swept_day)
    memory.counts = {name: reader.take("I", 4 * fields) for name in header.merchants}
    memory.frauds = reader.take_all(header.frauds)
    memory.unexplained = reader.take_all(header.unexplained)
    memory.cards = reader.take_all(header.cards)
    known_at, times = reader.take("q", 8 * held), reader.take("q", 8 * held)
    ratios = array("d", reader.rest())
    # In order, it is a heap.
    memory.pending = list(zip(known_at, times, header.held_cards, header.held_merchants, ratios, strict=True))
    return memory


def _lengths(times_by_name: Mapping[str, Sequence[int]]) -> dict[str, int]:
    return {name: len(times) for name, times in times_by_name.items()}


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._at = 0

    def take(self, typecode: str, size: int) -> "array[int]":
        values: array[int] = array(typecode, bytes(self._body[self._at : self._at + size]))
        self._at += size
        return values

    def take_all(self, lengths: Mapping[str, int]) -> dict[str, "array[int]"]:
        return {name: self.take("q", 8 * length) for name, length in lengths.items()}

    def rest(self) -> bytes:
        return bytes(self._body[self._at :])
