"""Columns of a record list, and how they share the width there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from screens.tones import Tone

Record = TypeVar("Record")

LEFT_MARGIN = 2
WIDE = 140
"""From this width on, columns stand two cells apart instead of one."""


class Cell(NamedTuple):
    """What one column shows of one record. The list cleans the text when it draws it."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Column(Generic[Record]):
    """One column: at least ``width`` cells, and ``grow`` parts of what is left over.

    Columns of the highest ``rank`` are the first to go where the width does not suffice; 0 always stays.
    """

    title: str
    width: int
    cell: Callable[[Record], Cell]
    right: bool = False
    grow: int = 0
    rank: int = 0


class Fitted(NamedTuple, Generic[Record]):
    """A column with the width it was given."""

    column: Column[Record]
    width: int


def fit(columns: Sequence[Column[Record]], width: int) -> tuple[tuple[Fitted[Record], ...], int]:
    """The columns that fit into ``width`` cells with their widths, and the cells between them."""
    gap = 2 if width >= WIDE else 1
    kept: set[int] = set()
    taken = LEFT_MARGIN - gap
    for index in sorted(range(len(columns)), key=lambda k: (columns[k].rank, k)):
        needed = gap + columns[index].width
        if columns[index].rank and taken + needed > width:
            break
        kept.add(index)
        taken += needed
    shares = sum(columns[index].grow for index in kept)
    spare = max(0, width - taken)
    fitted = []
    for index in sorted(kept):
        column = columns[index]
        extra = spare * column.grow // shares if shares else 0
        fitted.append(Fitted(column, column.width + extra))
    return tuple(fitted), gap
