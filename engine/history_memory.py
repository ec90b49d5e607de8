"""What is remembered of the amounts of cards and merchants, and that memory as bytes."""

from array import array
from dataclasses import dataclass, field
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.sealed import CheckpointError, seal, unseal

FORMAT: Final = 1


class CardMemory:
    """``cents`` is a ring, ``next`` its oldest; ``unusual`` holds packed seconds and ratios, in order of time.

    Whole cents in four bytes are exact, where doubles would take twice the memory; bytes take half of what an array
    of a few integers does.
    """

    __slots__ = ("cents", "next", "unusual")

    def __init__(self) -> None:
        self.cents = array("I")
        self.next = 0
        self.unusual = b""


@dataclass(slots=True)
class HistoryMemory:
    """By name: cards, and of each merchant the number of its transactions and their mean amount."""

    cards: dict[str, CardMemory] = field(default_factory=dict)
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
    cards = sorted(memory.cards.items())
    merchants = sorted(memory.merchants.items())
    header = _Header(
        format=FORMAT,
        cards=[name for name, _ in cards],
        kept=[len(card.cents) for _, card in cards],
        oldest=[card.next for _, card in cards],
        unusual=[len(card.unusual) for _, card in cards],
        merchants=[name for name, _ in merchants],
    )
    body = (
        *(card.cents.tobytes() for _, card in cards),
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
    if len(body) != 4 * sum(header.kept) + sum(header.unusual) + 16 * len(header.merchants):
        raise CheckpointError("the checkpoint of cards' amounts is cut short")
    memory = HistoryMemory()
    at, unusual_at = 0, 4 * sum(header.kept)
    for name, kept, oldest, unusual in zip(header.cards, header.kept, header.oldest, header.unusual, strict=True):
        card = memory.cards[name] = CardMemory()
        card.cents = array("I", body[at : at + 4 * kept])
        card.next = oldest
        card.unusual = body[unusual_at : unusual_at + unusual]
        at += 4 * kept
        unusual_at += unusual
    figures = array("d", body[unusual_at:])
    memory.merchants = dict(zip(header.merchants, zip(figures[::2], figures[1::2], strict=True), strict=True))
    return memory
