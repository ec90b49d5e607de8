"""What is remembered of the amounts of cards and merchants, and that memory as bytes."""

from array import array
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.sealed import CheckpointError, seal, unseal

FORMAT: Final = 1
CENT_BYTES: Final = 4


class CardMemory(NamedTuple):
    """``cents`` is a ring of four bytes each, ``next`` its oldest; ``unusual`` holds packed seconds and ratios.

    Whole cents in four bytes are exact, where doubles would take twice the memory. The unusual ones are eight bytes
    each, in order of time.
    """

    cents: bytes
    next: int
    unusual: bytes

    def packed(self) -> bytes:
        """All in one value, which takes half the memory of three."""
        return bytes((self.next, len(self.cents) // CENT_BYTES)) + self.cents + self.unusual

    @classmethod
    def of_packed(cls, packed: bytes) -> Self:
        """What ``packed`` holds."""
        end = 2 + CENT_BYTES * packed[1]
        return cls(packed[2:end], packed[0], packed[end:])


NOTHING_YET: Final = CardMemory(b"", 0, b"").packed()


@dataclass(slots=True)
class HistoryMemory:
    """By name: cards, packed, and of each merchant the number of its transactions and their mean amount."""

    cards: dict[str, bytes] = field(default_factory=dict)
    merchants: dict[str, tuple[float, float]] = field(default_factory=dict)


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    cards: list[str]
    kept: list[int]
    oldest: list[int]
    unusual: list[int]
    merchants: list[str]


def dump(memory: HistoryMemory) -> bytes:
    """The memory, compressed; in the order of the names, so that it does not matter how it came to be."""
    cards = [(name, CardMemory.of_packed(packed)) for name, packed in sorted(memory.cards.items())]
    merchants = sorted(memory.merchants.items())
    header = _Header(
        format=FORMAT,
        cards=[name for name, _ in cards],
        kept=[len(card.cents) // CENT_BYTES for _, card in cards],
        oldest=[card.next for _, card in cards],
        unusual=[len(card.unusual) for _, card in cards],
        merchants=[name for name, _ in merchants],
    )
    body = (
        *(card.cents for _, card in cards),
        *(card.unusual for _, card in cards),
        array("d", (number for _, figures in merchants for number in figures)).tobytes(),
    )
    return seal(orjson.dumps(header.model_dump()), b"".join(body))


def load(data: bytes) -> HistoryMemory:
    """The memory that was dumped.

    Raises:
        CheckpointError: it is damaged or of another version.
    """
    raw_header, body = unseal(data)
    try:
        header = _Header.model_validate(orjson.loads(raw_header))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise CheckpointError(f"the checkpoint of cards' amounts cannot be read: {str(error)[:80]}") from error
    if header.format != FORMAT:
        raise CheckpointError("the checkpoint of cards' amounts was taken by another version")
    if not len(header.cards) == len(header.kept) == len(header.oldest) == len(header.unusual):
        raise CheckpointError("the checkpoint of cards' amounts does not hang together")
    if len(body) != CENT_BYTES * sum(header.kept) + sum(header.unusual) + 16 * len(header.merchants):
        raise CheckpointError("the checkpoint of cards' amounts is cut short")
    memory = HistoryMemory()
    at, unusual_at = 0, CENT_BYTES * sum(header.kept)
    for name, kept, oldest, unusual in zip(header.cards, header.kept, header.oldest, header.unusual, strict=True):
        cents = body[at : at + CENT_BYTES * kept]
        memory.cards[name] = CardMemory(cents, oldest, body[unusual_at : unusual_at + unusual]).packed()
        at += CENT_BYTES * kept
        unusual_at += unusual
    figures = array("d", body[unusual_at:])
    memory.merchants = dict(zip(header.merchants, zip(figures[::2], figures[1::2], strict=True), strict=True))
    return memory
