"""What to simulate."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Final

from data.errors import SettingError

FEWEST_CARDS: Final = 100
FIRST_START: Final = datetime(1971, 1, 1, tzinfo=UTC)
LAST_START: Final = datetime(2190, 1, 1, tzinfo=UTC)
"""Timestamps are read between 1970 and 2200: this leaves room for the history before, and the records after."""


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """A simulation; the same one always gives the same records, except for the times in real time.

    Args:
        seed: of everything that is drawn; 0 or more.
        start: first event time, aware; in real time, now.
        cards: size of the population.
        rate: records per second in real time; None draws as fast as it can, at the population's natural pace of event
            time (four transactions a card and day).
        records: how many to draw; None is endless.
        fraud_probability: share of records that belong to fraud other than bursts.
        velocity_attack_probability: share of records that belong to velocity bursts.
        malformed_probability: share of records that cannot be read.
        history_per_card: transactions of each card, on average, in the two weeks before ``start``.
        honest_only: neither fraud nor malformed records.

    Raises:
        SettingError: a number is out of range, or ``start`` has no offset from UTC.
    """

    seed: int
    start: datetime
    cards: int = 20_000
    rate: float | None = None
    records: int | None = None
    fraud_probability: float = 0.01
    velocity_attack_probability: float = 0.005
    malformed_probability: float = 0.001
    history_per_card: int = 8
    honest_only: bool = False

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingError(f"seed is {self.seed}: give 0 or more")
        if self.start.tzinfo is None:
            raise SettingError(f"start is {self.start.isoformat()}: give it an offset from UTC")
        if not FIRST_START <= self.start < LAST_START:
            raise SettingError(f"start is {self.start.isoformat()}: give a time between 1971 and 2190")
        if self.cards < FEWEST_CARDS:
            raise SettingError(f"cards is {self.cards}, too few for a population: give {FEWEST_CARDS} or more")
        if self.rate is not None and not 0 < self.rate < inf:
            raise SettingError(f"rate is {self.rate} records a second: give more than 0")
        if self.records is not None and self.records < 1:
            raise SettingError(f"records is {self.records}: give 1 or more")
        if self.history_per_card < 0:
            raise SettingError(f"history_per_card is {self.history_per_card}: give 0 or more")
        self._check_probabilities()

    def _check_probabilities(self) -> None:
        probabilities = {
            "FRAUD_PROBABILITY": self.fraud_probability,
            "VELOCITY_ATTACK_PROBABILITY": self.velocity_attack_probability,
            "MALFORMED_PROBABILITY": self.malformed_probability,
        }
        for name, probability in probabilities.items():
            if not 0 <= probability <= 0.5:
                raise SettingError(f"{name} is {probability}: give 0 to 0.5")
        if sum(probabilities.values()) >= 1:
            raise SettingError(f"{', '.join(probabilities)} come to 1 or more: leave room for honest records")
