"""Where each card was: its last distinct merchants and places, in a fixed number of bytes for each card."""

from array import array
from typing import Final, NamedTuple

import numpy as np

from engine.day_counts import DAYS_KEPT

VISITS_KEPT: Final = 16
EXPOSURE_DAYS: Final = 30
"""How long before its fraud a card may have been taken."""
DAY_MIN: Final = 1_440
EXPOSURE_MIN: Final = EXPOSURE_DAYS * DAY_MIN
MEMORY_MIN: Final = DAYS_KEPT * DAY_MIN
NEVER: Final = -MEMORY_MIN
PROBES: Final = 4
"""Slots that are looked at for a new card, in turn: the one unused for longest is taken where one must go."""

_HOUR_MIN: Final = 60
_HOURS_KEPT: Final = DAYS_KEPT * 24
_HOUR_MASK: Final = 0xFFFF
_NO_IDS: Final = array("I", bytes(4 * VISITS_KEPT))
_NO_HOURS: Final = array("H", bytes(2 * VISITS_KEPT))


class Visit(NamedTuple):
    """A card at an entity from ``first`` to ``last``, in minutes since the epoch, with no gap of over a month.

    ``first`` is up to an hour later than it was, so that nothing seems to have been before what it was not.
    """

    entity: int
    first: int
    last: int


class CardVisits:
    """The last ``VISITS_KEPT`` distinct entities of at most ``max_cards`` cards.

    Entities are numbers from 1 to 2**32 - 1. Ten bytes a visit: the number, the last minute, and the hour of the first
    visit, of which 16 bits suffice because nothing is remembered for as long as seven years.
    """

    __slots__ = ("entities", "first_hours", "hand", "last_minutes", "max_cards", "names", "slots")

    def __init__(self, max_cards: int) -> None:
        self.max_cards = max_cards
        self.slots: dict[str, int] = {}
        self.names: list[str] = []
        self.hand = 0
        self.entities = array("I")
        self.last_minutes = array("I")
        self.first_hours = array("H")

    def __len__(self) -> int:
        """The number of cards in memory."""
        return len(self.slots)

    def add(self, card: str, minute: int) -> int:
        """The slot of a new card: that of one out of memory, else a new one while there is room, else an old card's."""
        slot = self._free_slot(minute)
        if slot == len(self.names):
            self.names.append(card)
            self.entities.extend(_NO_IDS)
            self.last_minutes.extend(_NO_IDS)
            self.first_hours.extend(_NO_HOURS)
        else:
            del self.slots[self.names[slot]]
            self.names[slot] = card
            start = slot * VISITS_KEPT
            self.entities[start : start + VISITS_KEPT] = _NO_IDS
            self.last_minutes[start : start + VISITS_KEPT] = _NO_IDS
        self.slots[card] = slot
        return slot

    def visit(self, slot: int, entity: int, minute: int) -> int:
        """Take a visit into account; the minute of the one before it, ``NEVER`` where none is in memory."""
        start = slot * VISITS_KEPT
        try:
            index = self.entities.index(entity, start, start + VISITS_KEPT)
        except ValueError:
            recent = self.last_minutes[start : start + VISITS_KEPT]
            index = start + recent.index(min(recent))
            self.entities[index] = entity
            self.last_minutes[index] = minute
            self.first_hours[index] = minute // _HOUR_MIN & _HOUR_MASK
            return NEVER
        last = self.last_minutes[index]
        if minute <= last:
            return last
        self.last_minutes[index] = minute
        if minute - last > EXPOSURE_MIN:
            self.first_hours[index] = minute // _HOUR_MIN & _HOUR_MASK
        elif minute // DAY_MIN != last // DAY_MIN:
            hour = minute // _HOUR_MIN
            if hour - self.first_hours[index] & _HOUR_MASK > _HOURS_KEPT:
                self.first_hours[index] = hour - _HOURS_KEPT & _HOUR_MASK
        return last

    def of(self, slot: int) -> list[Visit]:
        """The visits in memory, in no particular order."""
        indices = range(slot * VISITS_KEPT, (slot + 1) * VISITS_KEPT)
        return [self._visit(index) for index in indices if self.entities[index]]

    def at(self, entity: int) -> list[tuple[str, Visit]]:
        """The cards that were at an entity, each with its visit there; all cards are looked through."""
        places = np.flatnonzero(np.array(self.entities, copy=False) == entity).tolist()
        return [(self.names[index // VISITS_KEPT], self._visit(index)) for index in places]

    def _visit(self, index: int) -> Visit:
        last = self.last_minutes[index]
        hour = last // _HOUR_MIN
        first = hour - (hour - self.first_hours[index] & _HOUR_MASK)
        return Visit(self.entities[index], min(first * _HOUR_MIN + _HOUR_MIN - 1, last), last)

    def _free_slot(self, minute: int) -> int:
        used = len(self.names)
        if not used:
            return 0
        probed = [(self.hand + step) % used for step in range(min(PROBES, used))]
        self.hand = (self.hand + PROBES) % used
        ages = {slot: self._last_minute(slot) for slot in probed}
        oldest = min(probed, key=ages.__getitem__)
        if used >= self.max_cards or ages[oldest] < minute - MEMORY_MIN:
            return oldest
        return used

    def _last_minute(self, slot: int) -> int:
        start = slot * VISITS_KEPT
        return max(self.last_minutes[start : start + VISITS_KEPT])


def exposure(visit: Visit, fraud_minute: int) -> int | None:
    """The last minute at which a card is known to have been at an entity in the month before a fraud; None without one.

    Of a card that came back between the fraud and the moment it was known, the visits in between are not remembered;
    it comes often, so that its last visit before the fraud is taken to have been a day before it, or its first one.
    """
    if visit.last < fraud_minute:
        at = visit.last
    elif visit.first < fraud_minute:
        at = max(visit.first, fraud_minute - DAY_MIN)
    else:
        return None
    return at if at >= fraud_minute - EXPOSURE_MIN else None
