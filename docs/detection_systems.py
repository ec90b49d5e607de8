"""The systems compared: who scores a test week, and what each may know when it does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from detection_rows import HandbookRows
from handbook_baseline import DAY_US, DELAY_DAYS, forest_scores, handbook_features
from numpy.typing import NDArray

from data.errors import SettingError
from data.timestamps import from_microseconds
from engine.backtest_review import CardReview
from engine.features import Event, amount_ratio
from engine.label_features import LABEL_FEATURE_NAMES, KnownFraud, LabelState
from engine.prior import fraud_prior
from engine.ranker import Ranker, train_ranker

WEEK_DAYS: Final = 7
"""Days to train on, days of label delay, and days to test on."""
DELAY_US: Final = DELAY_DAYS * DAY_US
HISTORY_DAYS: Final = 30
"""Days before the first training, as the longest windows of the handbook's features are."""
WEEKS: Final = 5
REVIEWED_A_DAY: Final = 100
"""Cards that analysts dispose of in the loop."""
SEED: Final = 20_180_401


class System(StrEnum):
    """What gives the scores, by the name it has in the tables."""

    CHANCE = "chance"
    PUBLISHED = "handbook's random forest, 7 labelled days"
    ISOLATION = "Isolation Forest, no labels"
    FUSED = "fused cold score, no labels"
    RANKER_WEEK = "ranker, 7 labelled days"
    RANKER_ALL = "ranker, all labels so far"
    LOOP = "ranker, 100 cards reviewed a day and chargebacks"
    PERFECT = "perfect ranking"


@dataclass(frozen=True, slots=True)
class Week:
    """One run of the protocol: seven days of training, seven of delay, seven of test, from a day of the file on."""

    first: int

    @property
    def test_first(self) -> int:
        """The first day of the test."""
        return self.first + 2 * WEEK_DAYS

    def trains(self, rows: HandbookRows) -> NDArray[np.bool_]:
        """The rows to train on, (rows,)."""
        return (rows.day >= self.first) & (rows.day < self.first + WEEK_DAYS)

    def tests(self, rows: HandbookRows) -> NDArray[np.bool_]:
        """The rows to test on, (rows,): without the cards whose fraud of the training days is known by then."""
        known = np.unique(rows.payments.card[self.trains(rows) & rows.fraud])
        in_time = (rows.day >= self.test_first) & (rows.day < self.test_first + WEEK_DAYS)
        return in_time & ~np.isin(rows.payments.card, known)


def weeks(rows: HandbookRows) -> tuple[Week, ...]:
    """Five runs, evenly spaced, the first after a history and the last ending on the file's last day.

    Raises:
        SettingError: the file is too short for five different ones.
    """
    days = int(rows.day[-1]) + 1
    spare = days - HISTORY_DAYS - 3 * WEEK_DAYS
    if spare < WEEKS - 1:
        needed = HISTORY_DAYS + 3 * WEEK_DAYS + WEEKS - 1
        raise SettingError(f"the file has {days} days: give one of {needed} days or more")
    return tuple(Week(HISTORY_DAYS + spare * number // (WEEKS - 1)) for number in range(WEEKS))


Scores = dict[System, NDArray[np.float64]]
"""The scores of a test week by each system, (tested rows,) each."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownFrauds:
    """What known frauds say of each row: the ranker's features, (rows, features), and the prior, (rows,)."""

    features: NDArray[np.float64]
    prior: NDArray[np.float64]


def known_a_week_late(rows: HandbookRows) -> KnownFrauds:
    """What known frauds say of every row when each is known a week after its transaction."""
    labels = _LabelReplay(rows)
    known_at = rows.payments.time + DELAY_US
    days = []
    for of_day in _days(rows):
        days.append(labels.of_day(of_day))
        labels.tell(of_day, known_at)
    return KnownFrauds(np.vstack([each.features for each in days]), np.concatenate([each.prior for each in days]))


def either(score: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """A score and a prior as independent causes, as the scorer takes them before a model has learnt; (rows,) each."""
    return 1.0 - (1.0 - score) * (1.0 - prior)


def all_scores(rows: HandbookRows, runs: tuple[Week, ...], known: KnownFrauds, now: datetime) -> list[Scores]:
    """The scores of every system for every run; ``known`` is of frauds a week late.

    Raises:
        SettingError: a run has too few frauds to learn from.
    """
    published = handbook_features(rows.payments)
    known_late = np.hstack([rows.features, known.features])
    loop = ReviewLoop(rows, runs, now).run()
    chance = np.random.default_rng(SEED)
    result: list[Scores] = []
    for run in runs:
        train, test = run.trains(rows), run.tests(rows)
        amount = rows.payments.cents[test] / 100
        so_far = rows.day < run.first + WEEK_DAYS
        result.append(
            {
                System.CHANCE: chance.random(int(test.sum())),
                System.PUBLISHED: forest_scores(published, rows.fraud, train, test),
                System.ISOLATION: rows.anomaly[test],
                System.FUSED: rows.fused[test],
                System.RANKER_WEEK: _train(rows, known_late, train, now).score(known_late[test]),
                System.RANKER_ALL: _train(rows, known_late, so_far, now).score(known_late[test]),
                System.LOOP: loop[test],
                System.PERFECT: rows.fraud[test] * (1.0 + amount),
            }
        )
    return result


def _days(rows: HandbookRows) -> Iterator[range]:
    """The rows of each day of the file, in order."""
    last = int(rows.day[-1])
    bounds = np.searchsorted(rows.day, np.arange(last + 2)).tolist()
    for day in range(last + 1):
        yield range(bounds[day], bounds[day + 1])


def _train(rows: HandbookRows, features: NDArray[np.float64], chosen: NDArray[np.bool_], now: datetime) -> Ranker:
    time = rows.payments.time[chosen]
    try:
        return train_ranker(
            features[chosen],
            rows.fraud[chosen],
            seed=SEED,
            trained_at=now,
            data_from=from_microseconds(int(time[0])),
            data_to=from_microseconds(int(time[-1])),
        )
    except ValueError as error:
        raise SettingError(f"the file has a training week that cannot be learnt from: {error}") from None


class _LabelReplay:
    """What known frauds say of rows in order of time; each fraud counts from the moment at which it is known."""

    def __init__(self, rows: HandbookRows) -> None:
        self._rows = rows
        self._state = LabelState(DELAY_US)

    def of_day(self, of_day: range) -> KnownFrauds:
        """Of a range of rows, the one after the last asked for."""
        rows, payments, state = self._rows, self._rows.payments, self._state
        features, prior = np.empty((len(of_day), len(LABEL_FEATURE_NAMES))), np.empty(len(of_day))
        for place, row in enumerate(of_day):
            time, card, merchant = int(payments.time[row]), rows.card_name(row), rows.merchant_name(row)
            state.advance(time)
            features[place] = state.features(card, merchant, time)
            prior[place] = fraud_prior(state, card, merchant, time)
            state.observe(Event(card, payments.cents[row] / 100, time, None, None, True, merchant, None))
        return KnownFrauds(features, prior)

    def tell(self, of_day: range, known_at: NDArray[np.int64]) -> None:
        """Tell when the frauds of a range of rows are known, before any of them is; ``known_at`` is (all rows,)."""
        rows, payments = self._rows, self._rows.payments
        for row in of_day:
            if rows.fraud[row]:
                names = rows.card_name(row), rows.merchant_name(row)
                fraud = KnownFraud(
                    int(known_at[row]), int(payments.time[row]), *names, amount_ratio(rows.features[row])
                )
                self._state.tell(fraud)


class ReviewLoop:
    """Analysts label the cards that score highest each day, by midnight; everything else is known a week later.

    Until the first test starts, the cold score chooses, with what known frauds let expect; from then on, a ranker that
    is trained anew at the start of each test on all that is known at that moment.
    """

    def __init__(self, rows: HandbookRows, runs: tuple[Week, ...], now: datetime) -> None:
        self._rows = rows
        self._trains_on = {run.test_first for run in runs}
        self._now = now

    def run(self) -> NDArray[np.float64]:
        """The score of every row on its day, (rows,)."""
        rows, labels = self._rows, _LabelReplay(self._rows)
        scores = np.empty(len(rows))
        known_at = rows.payments.time + DELAY_US
        features = np.hstack([rows.features, np.empty((len(rows), len(LABEL_FEATURE_NAMES)))])
        review = CardReview(rows.payments.card, rows.fraud.astype(np.int8), REVIEWED_A_DAY)
        ranker: Ranker | None = None
        for day, of_day in enumerate(_days(rows)):
            midnight = rows.start_of_day(day + 1)
            here = slice(of_day.start, of_day.stop)
            known = labels.of_day(of_day)
            features[here, rows.features.shape[1] :] = known.features
            if day in self._trains_on:
                ranker = _train(rows, features, known_at <= rows.start_of_day(day), self._now)
            if ranker is None:
                scores[here] = either(rows.fused[here], known.prior)
            elif of_day:
                scores[here] = ranker.score(features[here])
            known_at[review.of_day(of_day.start, scores[here])] = midnight
            labels.tell(of_day, known_at)
        return scores
