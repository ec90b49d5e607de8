"""Labels as they become known over a replay: what a ranker can learn of them, and what its scores bring to light."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from data.errors import SettingError
from data.timestamps import from_microseconds
from engine.backtest_plan import BacktestPlan, DateRange
from engine.backtest_review import CardReview
from engine.backtest_rows import DAY_US, UNLABELLED, ReplayedRows
from engine.features import Event
from engine.label_features import LABEL_FEATURE_NAMES, KnownFraud, LabelState
from engine.prior import fraud_prior
from engine.ranker import Ranker, train_ranker
from engine.ranker_training import SEED
from engine.scoring import Thresholds, decide


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What came of the labels. ``ranked`` and ``fused`` are (rows,), of the ranker and with the rules; NaN untested.

    ``known_at`` is when each row's label is known, in microseconds, (rows,).
    """

    ranked: NDArray[np.float64]
    fused: NDArray[np.float64]
    known_at: NDArray[np.int64]
    train_rows: int


class LabelLoop:
    """One pass over replayed rows, in order of arrival, with labels known as a plan says."""

    def __init__(
        self,
        rows: ReplayedRows,
        plan: BacktestPlan,
        train: DateRange,
        test: DateRange,
        thresholds: Thresholds,
        now: datetime,
        training: Callable[[], None],
    ) -> None:
        """``training`` is called before the ranker is trained."""
        self._rows = rows
        self._train, self._test = train, test
        self._thresholds = thresholds
        self._now = now
        self._training = training
        self._cards = list(rows.cards)
        # The last is that of number -1.
        self._merchants = [*rows.merchants, None]
        self._times = rows.times()
        self._labels = rows.labels()
        labelled = self._labels != UNLABELLED
        self._trains = labelled & train.holds(self._times)
        self._tests = labelled & test.holds(self._times)
        self._wanted = self._trains | self._tests
        self._known_at = self._times + plan.delay_us
        self._state = LabelState(plan.delay_us)
        self._label_features = np.empty((int(self._wanted.sum()), len(LABEL_FEATURE_NAMES)), dtype=np.float64)
        self._position = np.cumsum(self._wanted) - 1
        self._unlabelled_features = rows.matrix(self._wanted)
        self._review = None if plan.capacity is None else CardReview(rows.card_numbers(), self._labels, plan.capacity)
        self._ranker: Ranker | None = None
        self._train_rows = 0
        self._ranked = np.full(len(rows), np.nan)
        self._fused = np.full(len(rows), np.nan)
        self._scores = np.array(rows.fused)

    def run(self) -> Learnt:
        """Learn up to the test range and score it, a day at a time.

        Raises:
            SettingError: there is too little in the train range to learn from.
        """
        days = np.maximum.accumulate(self._times // DAY_US)
        starts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist()]
        last = int(np.flatnonzero(self._wanted)[-1])
        for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
            if start > last:
                break
            day_end = (int(days[start]) + 1) * DAY_US
            if self._ranker is None and day_end > self._test.start:
                self._ranker = self._learn(start)
            for row in range(start, end):
                self._replay(row, day_end)
            self._rank(start, end)
            self._dispose(start, end, day_end)
        return Learnt(self._ranked, self._fused, self._known_at, self._train_rows)

    def _replay(self, row: int, day_end: int) -> None:
        state, time = self._state, self._rows.time[row]
        card, merchant = self._cards[self._rows.card[row]], self._merchants[self._rows.merchant[row]]
        state.advance(time)
        if self._wanted[row]:
            self._label_features[self._position[row]] = state.features(card, merchant, time)
        if self._review is not None and self._ranker is None:
            self._scores[row] = self._decide(row, fraud_prior(state, card, merchant, time), None)
        state.observe(Event(card, self._rows.amount[row], time, None, None, True, merchant, None))
        if self._review is None or self._known_at[row] < day_end:
            self._tell(row)

    def _tell(self, row: int) -> None:
        if self._labels[row] != 1:
            return
        card, merchant = self._cards[self._rows.card[row]], self._merchants[self._rows.merchant[row]]
        time, ratio = self._rows.time[row], self._rows.ratio(row)
        self._state.tell(KnownFraud(int(self._known_at[row]), time, card, merchant, ratio))

    def _learn(self, end: int) -> Ranker:
        """Train on what is known of the rows before ``end`` when the test starts."""
        known = self._trains & (self._known_at <= self._test.start)
        known[end:] = False
        self._train_rows = int(known.sum())
        self._training()
        try:
            return train_ranker(
                self._matrix(known),
                self._labels[known] == 1,
                seed=SEED,
                trained_at=self._now,
                data_from=from_microseconds(self._train.start),
                data_to=from_microseconds(self._train.end - 1),
            )
        except ValueError as error:
            raise SettingError(f"--train {self._train}: {error}") from None

    def _matrix(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        at = self._position[chosen]
        return np.hstack([self._unlabelled_features[at], self._label_features[at]], dtype=np.float64)

    def _rank(self, start: int, end: int) -> None:
        if self._ranker is None:
            return
        chosen = np.zeros(len(self._tests), dtype=np.bool_)
        chosen[start:end] = self._tests[start:end]
        tested = np.flatnonzero(chosen)
        if not len(tested):
            return
        self._ranked[tested] = self._ranker.score(self._matrix(chosen))
        for row in tested.tolist():
            self._fused[row] = self._decide(row, 0.0, float(self._ranked[row]))
        self._scores[tested] = self._fused[tested]

    def _decide(self, row: int, prior: float, ranked: float | None) -> float:
        return decide(self._rows.anomaly[row], self._rows.hits[row], self._thresholds, prior, ranked)

    def _dispose(self, start: int, end: int, day_end: int) -> None:
        if self._review is None:
            return
        open_rows = start + np.flatnonzero(self._known_at[start:end] >= day_end)
        reviewed = self._review.of_day(start, self._scores[start:end])
        # The last moment of the day, so that the day after begins with what was found.
        self._known_at[reviewed] = np.minimum(self._known_at[reviewed], day_end - 1)
        for row in open_rows.tolist():
            self._tell(row)
