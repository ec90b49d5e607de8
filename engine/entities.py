"""Merchants and places as cards meet there: who was seen, and whose fraud followed."""

from enum import IntEnum
from math import exp2
from typing import Final, NamedTuple

from engine.card_visits import DAY_MIN
from engine.day_counts import DayCounts
from engine.features import Event

CELLS_PER_DEGREE: Final = 4
_CELLS_AROUND: Final = 360 * CELLS_PER_DEGREE + 1
CARDS_KEPT: Final = 256
"""The most cards with fraud in memory of one merchant or place; the latest to become known stay."""

HALF_LIFE_DAYS: Final = 14
"""A visit counts half for every so many days between it and the fraud."""
WHOLE: Final = 256
"""The weight of a visit right before the fraud: weights are whole numbers, which add up alike in any order."""


class EntityKind(IntEnum):
    """What cards share. The value is the parity of an entity's number."""

    MERCHANT = 0
    PLACE = 1


def cell_of(latitude: float, longitude: float) -> int:
    """The number of the quarter-degree cell, at most 28 km high and wide, that a place in degrees is in."""
    return int((latitude + 90.0) * CELLS_PER_DEGREE) * _CELLS_AROUND + int((longitude + 180.0) * CELLS_PER_DEGREE)


def place_of(event: Event) -> int | None:
    """The cell in which a card was; None where that is unknown or the card was not there."""
    latitude, longitude = event.latitude, event.longitude
    if latitude is None or longitude is None or not event.present:
        return None
    return cell_of(latitude, longitude)


def cell_name(cell: int) -> str:
    """The centre of a cell, as "lat, lng" in degrees."""
    row, column = divmod(cell, _CELLS_AROUND)
    return f"{(row + 0.5) / CELLS_PER_DEGREE - 90.0:.2f}, {(column + 0.5) / CELLS_PER_DEGREE - 180.0:.2f}"


class Case(NamedTuple):
    """A card's last visit to an entity before its fraud: the minute since the epoch, and what it counts."""

    minute: int
    weight: int
    card: str

    @property
    def day(self) -> int:
        """Days since the epoch."""
        return self.minute // DAY_MIN


def weight_of(at: int, fraud_minute: int) -> int:
    """What a visit in the minute ``at`` counts, from 1 to ``WHOLE``."""
    return max(1, round(WHOLE * exp2((at - fraud_minute) / (HALF_LIFE_DAYS * DAY_MIN))))


class Entity:
    """A merchant, named by its identifier, or a place, named by its cell.

    ``seen`` counts cards by the day of their last visit. ``cases`` are cards that were here before their fraud, with
    their weights by day; ``controls`` the weights of the cards that these are compared with. ``defrauded`` are cards
    whose fraud was here.
    """

    __slots__ = ("case_weights", "cases", "control_weights", "defrauded", "name", "number", "seen")

    def __init__(self, name: str | int, number: int) -> None:
        self.name = name
        self.number = number
        self.seen = DayCounts()
        self.cases: dict[str, Case] = {}
        self.defrauded: dict[str, None] = {}
        # Most entities have neither; these come with the first case or control.
        self.case_weights: DayCounts | None = None
        self.control_weights: DayCounts | None = None

    @property
    def kind(self) -> EntityKind:
        """Merchant or place."""
        return EntityKind(self.number & 1)

    @property
    def title(self) -> str:
        """The identifier of a merchant, or the centre of a place."""
        return self.name if isinstance(self.name, str) else cell_name(self.name)

    def add_case(self, case: Case) -> None:
        """A card was here before its fraud."""
        if self.case_weights is None:
            self.case_weights = DayCounts()
        self.cases[case.card] = case
        self.case_weights.add(case.day, case.weight)
        if len(self.cases) > CARDS_KEPT:
            self.remove_case(next(iter(self.cases)))

    def remove_case(self, card: str) -> None:
        """Forget a case, where it is in memory."""
        case = self.cases.pop(card, None)
        if case is not None and self.case_weights is not None:
            self.case_weights.add(case.day, -case.weight)

    def add_control(self, day: int, weight: int) -> None:
        """A card whose fraud is not known was here before the moment in question."""
        if self.control_weights is None:
            self.control_weights = DayCounts()
        self.control_weights.add(day, weight)

    def add_defrauded(self, card: str) -> None:
        """A card's fraud was here."""
        self.defrauded.pop(card, None)
        self.defrauded[card] = None
        if len(self.defrauded) > CARDS_KEPT:
            del self.defrauded[next(iter(self.defrauded))]
