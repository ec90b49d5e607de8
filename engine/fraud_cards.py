"""What is known of the fraud of one card."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.card_visits import Visit

FRAUDS_KEPT: Final = 64
"""Frauds in memory of one card, the earliest: the first says where the card was before, the others take its place."""


class KnownFraud(NamedTuple):
    """A fraud on a card that counts from ``known_at`` on. Times are microseconds, ``place`` is a cell."""

    known_at: int
    time: int
    card: str
    merchant: str | None
    place: int | None


class Fraud(NamedTuple):
    """A fraud on a card whose name is known otherwise: its minute since the epoch, and where it was."""

    minute: int
    merchant: str | None
    place: int | None


@dataclass(frozen=True, slots=True)
class FraudCard:
    """A card with known fraud, in order of time, and where it was, as remembered when the first became known."""

    frauds: tuple[Fraud, ...]
    visits: tuple[Visit, ...]

    @property
    def minute(self) -> int:
        """That of the first fraud."""
        return self.frauds[0].minute

    def with_fraud(self, fraud: Fraud) -> "FraudCard":
        """The same card with one fraud more."""
        by_time = sorted((*self.frauds, fraud), key=lambda each: each.minute)
        return FraudCard(tuple(by_time[:FRAUDS_KEPT]), self.visits)

    def without(self, fraud: Fraud) -> "FraudCard | None":
        """The same card with one fraud less, None where no other is known; unchanged where that one is not known."""
        if fraud not in self.frauds:
            return self
        at = self.frauds.index(fraud)
        left = (*self.frauds[:at], *self.frauds[at + 1 :])
        return FraudCard(left, self.visits) if left else None

    def was_defrauded_at(self, name: str | int) -> bool:
        """Whether a fraud was at a merchant, or in a place."""
        return any(name in (each.merchant, each.place) for each in self.frauds)
