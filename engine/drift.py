"""How far traffic has moved from what the scores are calibrated on, judged from what is stored of each day."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Final

from data.drift import DriftCount, SignalBins, Window
from data.queries.drift import DayCounts, DriftFigures, drift_figures, serving_model
from engine.drift_reference import FUSED_SCORE, RAW_SCORE, SCORES
from engine.features import FEATURES
from engine.psi import (
    FEWEST_TRANSACTIONS,
    SHIFTING,
    DriftLevel,
    binomial_interval,
    has_drifted,
    level_of,
    population_stability_index,
)
from engine.site_calibration import SITE_ROWS

FEWEST_DAYS: Final = 2
"""UTC days that are judged together, the latest included: less is a part of a day, and mornings are no evenings."""
RATE_TOLERANCE: Final = 3.0
"""How many times the target share, or what part of it, may reach the score, the interval considered, without alarm."""
LOOK_EVERY: Final = 5_000
"""Transactions between two looks for an alarm: each takes a millisecond or two."""
WHAT_TO_DO: Final = "to calibrate anew, delete the model file and start again"
"""Another model starts the watch anew, and its scores are calibrated on the traffic of then."""


def _same(value: float) -> float:
    return value


_TITLES: Final[dict[str, tuple[str, str, Callable[[float], float]]]] = {
    **{feature.name: (feature.title, feature.unit, feature.natural) for feature in FEATURES},
    RAW_SCORE: ("raw anomaly", "", _same),
    FUSED_SCORE: ("score of model and rules", "", _same),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a signal's values lie: their median in natural units, and the share above 0 where many are exactly 0."""

    median: float
    above_zero: float | None


@dataclass(frozen=True, slots=True)
class SignalDrift:
    """One feature or score: its index, and what moved. ``direction`` is 1 for up, -1 for down, 0 for neither."""

    name: str
    title: str
    unit: str
    index: float
    level: DriftLevel
    direction: int
    then: Shape
    now: Shape


@dataclass(frozen=True, slots=True)
class AlertRate:
    """The share of transactions that reach a model score, with its interval of 95 %, beside its target.

    ``score`` is the model score from which one counts, and ``target`` the share of honest traffic that the running
    calibration states to reach it.
    """

    alerts: int
    transactions: int
    score: float
    target: float

    @property
    def share(self) -> float:
        return self.alerts / self.transactions if self.transactions else 0.0

    @property
    def ratio(self) -> float:
        """Times the target."""
        return self.share / self.target

    @property
    def ratio_interval(self) -> tuple[float, float]:
        """The ends of the interval, in times the target."""
        low, high = binomial_interval(self.alerts, self.transactions)
        return low / self.target, high / self.target

    @property
    def level(self) -> DriftLevel:
        """Drifted beyond ``RATE_TOLERANCE`` with the whole interval; stable while the target lies in it."""
        if self.transactions < FEWEST_TRANSACTIONS:
            return DriftLevel.UNKNOWN
        low, high = self.ratio_interval
        if low > RATE_TOLERANCE or high < 1 / RATE_TOLERANCE:
            return DriftLevel.DRIFTED
        return DriftLevel.STABLE if low <= 1 <= high else DriftLevel.SHIFTING


@dataclass(frozen=True, slots=True)
class Drift:
    """The latest days against a reference window; ``features`` and ``scores`` in order of their index, largest first.

    Only transactions of cards with a history are counted. ``watched`` of the ``SITE_ROWS`` are seen by which it is
    decided what to compare with. A site's own reference is complete from ``settled_on`` on: its first transactions
    give the bins, but may be those of one hour, so that its whole first week is what later days are compared with.
    Until then nothing is an alarm.
    """

    model_version: str
    window: Window
    since: datetime
    until: datetime
    transactions: int
    features: tuple[SignalDrift, ...]
    scores: tuple[SignalDrift, ...]
    alert_rate: AlertRate
    watched: int
    settled_on: datetime | None

    @property
    def is_decided(self) -> bool:
        """Whether it is decided what to compare with."""
        return self.watched >= SITE_ROWS

    @property
    def is_settled(self) -> bool:
        """Whether what to compare with is complete."""
        return self.is_decided and (self.settled_on is None or self.until >= self.settled_on)

    @property
    def level(self) -> DriftLevel:
        """Drifted where that is an alarm, shifting where anything has moved at all."""
        if self.transactions < FEWEST_TRANSACTIONS:
            return DriftLevel.UNKNOWN
        if self.alarm is not None:
            return DriftLevel.DRIFTED
        levels = {each.level for each in (*self.features, *self.scores)}
        moved = levels & {DriftLevel.SHIFTING, DriftLevel.DRIFTED}
        return DriftLevel.SHIFTING if moved else DriftLevel.STABLE

    @property
    def alarm(self) -> str | None:
        """What has drifted so far that the scores need a look, in words; None where they do not."""
        if not self.is_settled:
            return None
        if has_drifted([each.level for each in self.features], [each.level for each in self.scores]):
            moved = [each for each in (*self.scores, *self.features) if each.level is DriftLevel.DRIFTED]
            if len(moved) == 1:
                return f"{moved[0].title} has drifted"
            return f"{moved[0].title} and {len(moved) - 1} more have drifted"
        rate = self.alert_rate
        if rate.level is DriftLevel.DRIFTED:
            return (
                f"{100 * rate.share:.2f} % of transactions reach a model score of {rate.score:.2f}, "
                f"{rate.ratio:.1f} times the target share"
            )
        return None


class DriftAlarm:
    """What to tell whoever watches the engine; looked at anew with every so many transactions, and every new day."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self._since_look = 0
        self._day = 0
        self.notice: str | None = None
        """The alarm and what to do; None where there is none, and before the first look."""

    def follow(self, counted: Sequence[DriftCount]) -> None:
        """Counts of a batch have been committed."""
        if not counted:
            return
        self._since_look += sum(each.transactions for each in counted)
        day = max(each.day for each in counted)
        if self._since_look < LOOK_EVERY and day <= self._day:
            return
        self._since_look = 0
        self._day = max(self._day, day)
        self.look()

    def look(self) -> None:
        """Judge what is stored."""
        drift = read_drift(self._reader)
        alarm = None if drift is None else drift.alarm
        self.notice = None if alarm is None else f"Drift: {alarm}; see Model (6); {WHAT_TO_DO}"


def read_drift(reader: sqlite3.Connection) -> Drift | None:
    """The drift of the serving model's traffic; None before a transaction was counted for it."""
    model = serving_model(reader)
    if model is None:
        return None
    figures = drift_figures(reader, model.version)
    if figures is None:
        return None
    reference, days = _compared(figures)
    transactions = sum(day.transactions for day in days)
    totals = _total([day.counts for day in days])
    starts = accumulate((len(signal.counts) for signal in reference), initial=0)
    signals = sorted(
        (
            _signal(signal, totals[start:][: len(signal.counts)])
            for signal, start in zip(reference, starts, strict=False)
        ),
        key=lambda each: (-each.index, each.title),
    )
    return Drift(
        model_version=figures.model_version,
        window=figures.window,
        since=days[-1].day,
        until=days[0].day,
        transactions=transactions,
        features=tuple(each for each in signals if each.name not in SCORES),
        scores=tuple(each for each in signals if each.name in SCORES),
        alert_rate=AlertRate(sum(day.alerts for day in days), transactions, figures.alert_score, figures.alert_share),
        watched=figures.watched,
        settled_on=figures.settled_on,
    )


def _compared(figures: DriftFigures) -> tuple[Sequence[SignalBins], Sequence[DayCounts]]:
    """What is compared with, and the days that are compared with it."""
    settled = figures.settled_on
    if settled is None or figures.days[0].day < settled:
        return figures.signals, _judged(figures.days)
    totals = iter(_total([day.counts for day in figures.first_days]))
    reference = [
        replace(signal, counts=tuple(count + next(totals) for count in signal.counts)) for signal in figures.signals
    ]
    return reference, _judged([day for day in figures.days if day.day >= settled])


def _total(counts: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*counts, strict=True)]


def _judged(days: Sequence[DayCounts]) -> Sequence[DayCounts]:
    """The newest days: two, or as many as it takes to say something."""
    transactions = 0
    for number, day in enumerate(days, start=1):
        transactions += day.transactions
        if number >= FEWEST_DAYS and transactions >= FEWEST_TRANSACTIONS:
            return days[:number]
    return days


def _signal(signal: SignalBins, counts: Sequence[int]) -> SignalDrift:
    index = population_stability_index(signal.counts, counts)
    title, unit, natural = _TITLES.get(signal.name, (signal.name, "", _same))
    then, now = _middle(signal.counts), _middle(counts)
    return SignalDrift(
        name=signal.name,
        title=title,
        unit=unit,
        index=index,
        level=level_of(index, sum(counts)),
        direction=0 if index < SHIFTING else (now > then) - (now < then),
        then=_shape(signal, signal.counts, natural),
        now=_shape(signal, counts, natural),
    )


def _middle(counts: Sequence[int]) -> tuple[int, float]:
    """The bin of the median; where that stays the same, the mean bin tells which way values moved."""
    mean = sum(number * count for number, count in enumerate(counts)) / sum(counts)
    return _median_bin(counts), mean


def _median_bin(counts: Sequence[int]) -> int:
    half = sum(counts) / 2
    return next(number for number, seen in enumerate(accumulate(counts)) if seen >= half)


def _shape(signal: SignalBins, counts: Sequence[int], natural: Callable[[float], float]) -> Shape:
    """The median by linear interpolation in its bin; a bin without an end stands for the end that it has."""
    number = _median_bin(counts)
    edges = signal.edges
    below = edges[number - 1] if number else edges[0]
    above = edges[number] if number < len(edges) else edges[-1]
    before, total = sum(counts[:number]), sum(counts)
    part = (total / 2 - before) / counts[number] if counts[number] else 0.0
    has_zeros = edges[0] == 0.0
    return Shape(natural(below + part * (above - below)), 1.0 - counts[0] / total if has_zeros else None)
