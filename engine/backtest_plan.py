"""Which days of a file a backtest trains and tests on, and when their labels are known."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from data.errors import SettingError
from data.timestamps import to_microseconds

DEFAULT_DELAY: Final = timedelta(days=7)
DEFAULT_BUDGET: Final = 100
LONGEST_DELAY: Final = timedelta(days=365)
_DELAY = re.compile(r"(\d{1,5})([dh])", re.ASCII)


@dataclass(frozen=True, slots=True)
class DateRange:
    """Whole UTC days, both ends included."""

    first: date
    last: date

    @classmethod
    def parse(cls, option: str, text: str) -> Self:
        """Read ``2018-06-17..2018-06-23``.

        Raises:
            SettingError: it is not two dates in order; names ``option``.
        """
        first, dots, last = (part.strip() for part in text.partition(".."))
        try:
            days = cls(date.fromisoformat(first), date.fromisoformat(last))
        except ValueError as error:
            problem = f"{error}" if dots else "there is no .. between two dates"
            raise SettingError(
                f"{option} {text[:60]!r}: {problem}: write FIRST..LAST, such as 2018-06-17..2018-06-23"
            ) from None
        if days.last < days.first:
            raise SettingError(f"{option} {text[:60]!r} ends before it starts: write the earlier date first")
        return days

    @property
    def start(self) -> int:
        """The first microsecond, since the epoch."""
        return _midnight(self.first)

    @property
    def end(self) -> int:
        """The first microsecond after it, since the epoch."""
        return _midnight(self.last) + _DAY_US

    def holds(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the times, in microseconds since the epoch, lie in it; the shape of ``times``."""
        inside: NDArray[np.bool_] = (self.start <= times) & (times < self.end)
        return inside

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


_DAY_US: Final = 86_400_000_000


def _midnight(day: date) -> int:
    return to_microseconds(datetime.combine(day, time(), UTC))


def parse_delay(text: str) -> timedelta:
    """Read ``7d`` or ``36h``.

    Raises:
        SettingError: it is neither, or more than a year.
    """
    match = _DELAY.fullmatch(text.strip())
    delay = timedelta() if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
    if match is None or delay > LONGEST_DELAY:
        raise SettingError(f"--delay {text[:40]!r}: write days or hours such as 7d or 36h, up to 365d")
    return delay


_UNITS = {"d": "days", "h": "hours"}


class Labels(StrEnum):
    """How labels become known.

    ``ALL``: each the delay after its transaction. ``DISPOSITIONS``: those of the cards that analysts review, at the end
    of the day; fraud that they miss, by chargeback, the delay after its transaction.
    """

    ALL = "all"
    DISPOSITIONS = "dispositions"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what follows ``--labels``.

        Raises:
            SettingError: it is neither.
        """
        try:
            return cls(text.strip())
        except ValueError:
            raise SettingError(f"--labels {text[:40]!r}: write all or dispositions") from None


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """What is tested, on what it may learn, and how much analysts can review.

    What is not known for fraud ``delay`` after its transaction is honest. ``train`` is None where there is none; with
    ``cold``, it only says whose fraud is known. Without ``test``, all rows are tested. ``budget`` is in transactions a
    day, ``capacity`` in cards a day; it is None where labels do not come from analysts.

    Raises:
        SettingError: the ranges do not leave the labels time to become known, the budget or the capacity is not
            positive, or an option goes without the one that it needs.
    """

    cold: bool
    train: DateRange | None = None
    delay: timedelta = DEFAULT_DELAY
    test: DateRange | None = None
    budget: int = DEFAULT_BUDGET
    labels: Labels = Labels.ALL
    capacity: int | None = None

    def __post_init__(self) -> None:
        self._check_labels()
        if self.budget < 1:
            raise SettingError(f"--budget {self.budget}: give 1 transaction a day or more")
        if not self.cold and (self.train is None or self.test is None):
            raise SettingError(
                "a backtest needs days to learn from and days to test on: give --train A..B --test C..D, "
                "or --cold to use no labels"
            )
        if self.train is None:
            return
        if self.test is None:
            raise SettingError(f"--train {self.train} has no --test: give the days to test on")
        self._check_order(self.train, self.test)

    def _check_labels(self) -> None:
        if self.labels is Labels.ALL:
            if self.capacity is not None:
                raise SettingError("--capacity is what analysts dispose of: it goes with --labels dispositions")
            return
        if self.cold:
            raise SettingError("--cold uses no labels: leave out --labels dispositions, or --cold")
        if self.capacity is None:
            raise SettingError("--labels dispositions needs --capacity N: the cards that analysts dispose of in a day")
        if self.capacity < 1:
            raise SettingError(f"--capacity {self.capacity}: give 1 card a day or more")

    def _check_order(self, train: DateRange, test: DateRange) -> None:
        if self.labels is Labels.DISPOSITIONS:
            # What is younger than the delay is learnt from where it was reviewed, and only there.
            if train.end > test.start:
                earliest = train.last + timedelta(days=1)
                raise SettingError(f"--train {train} overlaps --test {test}: start the test on {earliest} or later")
            return
        if train.end + self.delay_us > test.start:
            whole_days = -(-self.delay // timedelta(days=1))
            earliest = train.last + timedelta(days=1 + whole_days)
            raise SettingError(
                f"--train {train} overlaps the {self.delay_text} that its labels take to be known, or --test "
                f"{test}: start the test on {earliest} or later"
            )

    @property
    def delay_us(self) -> int:
        """The label delay in microseconds."""
        return self.delay // timedelta(microseconds=1)

    @property
    def delay_text(self) -> str:
        """The label delay as it is written on the command line."""
        whole_days, rest = divmod(self.delay, timedelta(days=1))
        return f"{self.delay // timedelta(hours=1)}h" if rest else f"{whole_days}d"
