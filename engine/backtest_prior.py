"""What the prior is worth in the first days of labels, when there are too few to train a ranker."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.timestamps import from_microseconds
from engine.backtest_rows import DAY_US, UNLABELLED, ReplayedRows
from engine.features import Event
from engine.label_features import KnownFraud, LabelState
from engine.metrics import average_precision
from engine.prior import fraud_prior
from engine.scoring import Thresholds, decide

FIRST_DAYS: Final = 14


@dataclass(frozen=True, slots=True)
class PriorDay:
    """A UTC day, and its average precision without and with the prior; None without fraud."""

    day: date
    transactions: int
    frauds: int
    cold: float | None
    with_prior: float | None


def scores_with_prior(rows: ReplayedRows, delay_us: int, thresholds: Thresholds) -> NDArray[np.float64]:
    """The fused score of each row with its prior, each fraud known the delay after its transaction; (rows,)."""
    labels = LabelState(delay_us)
    # The last merchant is that of number -1.
    cards, merchants = list(rows.cards), [*rows.merchants, None]
    scores = np.empty(len(rows))
    for row, time in enumerate(rows.time):
        card, merchant = cards[rows.card[row]], merchants[rows.merchant[row]]
        labels.advance(time)
        prior = fraud_prior(labels, card, merchant, time)
        scores[row] = decide(rows.anomaly[row], rows.hits[row], thresholds, prior, None)
        labels.observe(Event(card, rows.amount[row], time, None, None, True, merchant, None))
        if rows.label[row] == 1:
            labels.tell(KnownFraud(time + delay_us, time, card, merchant, rows.ratio(row)))
    return scores


def first_days(
    rows: ReplayedRows, delay_us: int, thresholds: Thresholds, days: int = FIRST_DAYS
) -> tuple[PriorDay, ...]:
    """The days from the one on which the first fraud is known, as far as there are rows; none without a fraud."""
    label, day = rows.labels(), rows.times() // DAY_US
    if not (label == 1).any():
        return ()
    first = (int(rows.times()[label == 1].min()) + delay_us) // DAY_US
    cold, prior = np.array(rows.fused), scores_with_prior(rows, delay_us, thresholds)
    return tuple(
        PriorDay(
            day=from_microseconds(each * DAY_US).date(),
            transactions=int(chosen.sum()),
            frauds=int((label[chosen] == 1).sum()),
            cold=average_precision(label[chosen] == 1, cold[chosen]),
            with_prior=average_precision(label[chosen] == 1, prior[chosen]),
        )
        for each in range(first, first + days)
        if (chosen := (day == each) & (label != UNLABELLED)).any()
    )
