"""What a card shares with known fraud, in words."""

from collections.abc import Iterable, Sequence

from textual.content import Content

from data.models import Neighbour, NeighbourKind
from screens import figures
from screens.tones import Tone
from screens.widgets.columns import Cell
from screens.widgets.panel import line, lines

LONGEST_NAME = 48


def neighbour_lines(shared: Sequence[Neighbour]) -> Content:
    """Two lines each: how much fraud followed there, and what follows from it for this card."""
    return lines(row for each in shared for row in _lines(each))


def _lines(shared: Neighbour) -> Iterable[Content]:
    cards = f"{figures.integer(shared.fraud_cards)} of {figures.integer(shared.cards_seen)} cards"
    yield line(
        Cell(cards, Tone.STRONG),
        Cell(f" that were {_where(shared)} since {shared.since:%m-%d} had fraud later; "),
        Cell(f"{_expected(shared.expected)} expected", Tone.STRONG),
    )
    yield line(
        Cell(
            f"  This card was last there {figures.moment(shared.last_visit)} UTC; "
            f"cards are taken there with probability {figures.score(shared.posterior)}",
            Tone.MUTED,
        )
    )


def _where(shared: Neighbour) -> str:
    name = shared.name if len(shared.name) <= LONGEST_NAME else f"{shared.name[: LONGEST_NAME - 1]}…"
    return f"at {name}" if shared.kind is NeighbourKind.MERCHANT else f"around {name}"


def _expected(cards: float) -> str:
    """With one decimal place; what would read 0.0 is more than nothing."""
    return f"{cards:.1f}" if cards >= 0.05 else "less than 0.1"
