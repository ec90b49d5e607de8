"""Which days of a file a backtest trains and tests on, and when their labels are known."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Self

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

    def holds(self, event_time: int) -> bool:
        """Whether a time in microseconds since the epoch lies in it."""
        return self.start <= event_time < self.end

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


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """What is tested, on what it may learn, and how much analysts can review.

    A label is known ``delay`` after the event time of its transaction. ``train`` is None where there is none; with
    ``cold``, it only says whose fraud is known. Without ``test``, all rows are tested. ``budget`` is in transactions a
    day.

    Raises:
        SettingError: the ranges do not leave the labels time to become known, or the budget is not positive.
    """

    cold: bool
    train: DateRange | None = None
    delay: timedelta = DEFAULT_DELAY
    test: DateRange | None = None
    budget: int = DEFAULT_BUDGET

    def __post_init__(self) -> None:
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
        if self.train.end + self.delay_us > self.test.start:
            whole_days = -(-self.delay // timedelta(days=1))
            earliest = self.train.last + timedelta(days=1 + whole_days)
            raise SettingError(
                f"--train {self.train} overlaps the {self.delay_text} that its labels take to be known, or --test "
                f"{self.test}: start the test on {earliest} or later"
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

    def tests(self, event_time: int) -> bool:
        """Whether a transaction of this time is tested."""
        return self.test is None or self.test.holds(event_time)

    def trains(self, event_time: int) -> bool:
        """Whether a transaction of this time is learnt from."""
        return not self.cold and self.train is not None and self.train.holds(event_time)

    def reveals(self, event_time: int) -> bool:
        """Whether fraud of this time is known when the test starts, from the labels of the train range on."""
        if self.train is None or self.test is None:
            return False
        return self.train.start <= event_time < self.test.start - self.delay_us
