"""What to simulate."""

from dataclasses import dataclass
from datetime import datetime

from data.errors import SettingError


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """A simulation; the same one always gives the same records, except for the times in real time.

    Args:
        seed: of everything that is drawn.
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
        SettingError: a number is out of range.
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
        if self.cards < 100:
            raise SettingError(f"{self.cards} cards are too few for a population: give 100 or more")
        if self.rate is not None and self.rate <= 0:
            raise SettingError(f"a rate of {self.rate} records a second draws nothing: give more than 0")
        for name in ("fraud_probability", "velocity_attack_probability", "malformed_probability"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise SettingError(f"{name.upper()} is {getattr(self, name)}: give 0 to 0.5")
