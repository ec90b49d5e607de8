"""Training a ranker on stored transactions: judged on the latest days by one that did not see them, then fit on all."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.errors import ModelError
from data.timestamps import from_microseconds
from engine.comparison import Comparison, Side, compare
from engine.lessons import StoredLessons
from engine.metrics import LabelledRows
from engine.ranker import Ranker, train_ranker
from engine.scoring import SAFETY_NET

SEED: Final = 20_180_401
DAY_US: Final = 86_400_000_000
TEST_DAYS: Final = 7
TEST_SHARE: Final = 0.25
"""Of the span of all lessons, at most so much is kept to judge by."""


@dataclass(frozen=True, slots=True)
class Training:
    """A ranker, and how the same recipe did on the latest days; None where they say nothing, and then why not."""

    ranker: Ranker
    trial: Comparison | None
    untried: str | None


def train_on_lessons(lessons: StoredLessons, now: datetime, low_score: float) -> Training:
    """Train on everything that is known, after a trial on what came last.

    In the trial the ranker stands alone with the safety net, without rules and velocity; it alerts from ``low_score``
    on.

    Raises:
        ModelError: too few frauds or honest transactions are known to learn from.
    """
    if not len(lessons):
        raise ModelError(
            "no transaction has a label yet: settle alerts, or import chargebacks with `sentinel-tui label FILE`"
        )
    rows = _Rows(lessons)
    try:
        ranker = rows.train(np.ones(len(lessons), dtype=np.bool_), now)
    except ValueError as error:
        raise ModelError(f"{error}: settle more alerts, or import chargebacks with `sentinel-tui label FILE`") from None
    try:
        return Training(ranker, rows.trial(now, low_score), None)
    except ValueError as error:
        return Training(ranker, None, str(error))


class _Rows:
    """The lessons as arrays, (rows,) each but for the (rows, features)."""

    def __init__(self, lessons: StoredLessons) -> None:
        self._features = lessons.matrix()
        self._fraud = np.frombuffer(lessons.fraud, dtype=np.bool_)
        self._time = np.array(lessons.time, dtype=np.int64)
        self._known_at = np.array(lessons.known_at, dtype=np.int64)
        self._card = np.array(lessons.card, dtype=np.int64)
        self._amount = np.array(lessons.amount)
        self._scores = np.array(lessons.scores)
        self._model_scores = np.array(lessons.model_scores)
        self._alerted = np.frombuffer(lessons.level_ranks, dtype=np.uint8) > 0

    def train(self, chosen: NDArray[np.bool_], now: datetime) -> Ranker:
        """Fit on the chosen rows.

        Raises:
            ValueError: they are too few to learn from.
        """
        times = self._time[chosen]
        return train_ranker(
            self._features[chosen],
            self._fraud[chosen],
            seed=SEED,
            trained_at=now,
            data_from=from_microseconds(int(times.min(initial=0 if not len(times) else int(times[0])))),
            data_to=from_microseconds(int(times.max(initial=0))),
        )

    def trial(self, now: datetime, low_score: float) -> Comparison:
        """Train on what was known before the latest days, and judge on them, beside what was decided at the time.

        Cards whose fraud was known by then are left out, as in the handbook's protocol.

        Raises:
            ValueError: too little was known before, or there is no fraud in the latest days; says which.
        """
        span = int(self._time.max() - self._time.min())
        start = int(self._time.max()) - min(TEST_DAYS * DAY_US, int(span * TEST_SHARE))
        ranker = self.train((self._known_at <= start) & (self._time < start), now)
        caught = np.unique(self._card[self._fraud & (self._known_at <= start)])
        tested = (self._time >= start) & ~np.isin(self._card, caught)
        if not self._fraud[tested].any():
            raise ValueError("the latest days have no known fraud on cards that were not known for it before")
        probability = ranker.score(self._features[tested])
        anomaly = self._model_scores[tested]
        scores = np.where(anomaly >= SAFETY_NET, np.maximum(probability, anomaly), probability)
        labelled = LabelledRows(
            self._fraud[tested], self._amount[tested], self._time[tested] // DAY_US, self._card[tested]
        )
        return compare(
            labelled,
            self._time[tested],
            Side(self._scores[tested], self._alerted[tested]),
            Side(scores, scores >= low_score),
        )
