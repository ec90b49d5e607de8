"""What analysts decide: written one after the other off the app's thread, and shown as decided from the keypress on."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from data.dispositions import ChangedMeanwhileError, ContradictedError, DispositionWriter, status_after
from data.errors import StoreError
from data.models import Alert, Disposition
from data.queries.alerts import AlertRow
from data.queries.labels import ReviewRow
from screens import safe
from screens.figures import moment
from screens.tones import words

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 2.0
NAME_LIMIT = 32
"""Characters of a card's id in what is told of a decision."""


@dataclass(frozen=True, slots=True)
class AlertDecision:
    """An alert's disposition, None to take it back. ``version`` and ``before`` are those of the alert as shown.

    ``subject`` is what the analyst knows it by.
    """

    subject: str
    alert_id: int
    version: int
    disposition: Disposition | None
    before: Disposition | None

    @property
    def number(self) -> int:
        return self.alert_id

    @property
    def verdict(self) -> str:
        return "taken back" if self.disposition is None else words(self.disposition)

    @property
    def outcome(self) -> dict[str, Any]:
        """The fields of the alert that it changes."""
        return {
            "status": status_after(self.disposition),
            "disposition": self.disposition,
            "version": self.version + 1,
        }

    def write(self, writer: DispositionWriter, now: datetime) -> None:
        writer.dispose_alert(self.alert_id, self.version, self.disposition, now)

    def reversed(self, last: "AlertDecision") -> "AlertDecision":
        """What takes it back, on the alert as ``last`` leaves it."""
        return AlertDecision(self.subject, self.alert_id, last.version + 1, self.before, last.disposition)


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What a sampled transaction was, None to take it back. ``before`` is what was shown."""

    subject: str
    transaction_seq: int
    fraud: bool | None
    before: bool | None

    @property
    def number(self) -> int:
        return self.transaction_seq

    @property
    def verdict(self) -> str:
        return "taken back" if self.fraud is None else "fraud" if self.fraud else "honest"

    def write(self, writer: DispositionWriter, now: datetime) -> None:
        writer.review(self.transaction_seq, self.before, self.fraud, now)

    def reversed(self, last: "ReviewDecision") -> "ReviewDecision":
        """What takes it back, where ``last`` was decided last."""
        return ReviewDecision(self.subject, self.transaction_seq, self.before, last.fraud)


@dataclass(frozen=True, slots=True)
class CaseDecision:
    """A case's resolution, with the same disposition for those of its alerts that have none."""

    subject: str
    case_id: int
    version: int
    disposition: Disposition

    @property
    def number(self) -> int:
        return self.case_id

    @property
    def verdict(self) -> str:
        return words(self.disposition)

    def write(self, writer: DispositionWriter, now: datetime) -> None:
        writer.dispose_case(self.case_id, self.version, self.disposition, now)


_Key = tuple[type, int]
Decision = AlertDecision | ReviewDecision | CaseDecision
Undoable = TypeVar("Undoable", AlertDecision, ReviewDecision)
Kind = TypeVar("Kind", AlertDecision, ReviewDecision, CaseDecision)


class Decisions:
    """Belongs to the app's thread. Without a ``writer`` nobody is signed in, and nothing can be decided.

    A decision that the store cannot take now waits, and those after it, until it can; one that is refused for good is
    told to ``refused`` as one line. ``changed`` is called when what is stored, or what is waiting, has changed.
    """

    def __init__(
        self,
        writer: DispositionWriter | None,
        clock: Callable[[], datetime],
        *,
        run: Callable[[Coroutine[Any, Any, None]], object],
        changed: Callable[[], None],
        refused: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._run = run
        self._changed = changed
        self._refused = refused
        self._waiting: deque[Decision] = deque()
        self._written: dict[_Key, Decision] = {}
        self._history: list[AlertDecision | ReviewDecision] = []
        self._writing = False
        self._idle = asyncio.Event()
        self._obstacle: str | None = None

    @property
    def possible(self) -> bool:
        """Whether somebody is signed in, in whose name to write."""
        return self._writer is not None

    @property
    def trouble(self) -> str | None:
        """Why decisions wait, as one line for the analyst; None when none has been kept waiting."""
        if self._obstacle is None:
            return None
        count = len(self._waiting)
        kept = "1 decision waits" if count == 1 else f"{count} decisions wait"
        return f"{kept} to be stored; trying again: {self._obstacle}"

    @property
    def waiting(self) -> tuple[Decision, ...]:
        """What is not stored yet, in the order in which it was decided."""
        return tuple(self._waiting)

    def take(self, decision: Decision) -> None:
        """Have a decision written after those before it. A case cannot be taken back, nor what came before it."""
        if isinstance(decision, CaseDecision):
            self._history = [each for each in self._history if not isinstance(each, AlertDecision)]
        else:
            self._history.append(decision)
        self._enqueue(decision)

    def can_undo(self, kind: type[Undoable]) -> bool:
        """Whether a decision of a kind was taken, and neither undone nor refused."""
        return any(isinstance(each, kind) for each in self._history)

    def undo(self, kind: type[Undoable]) -> Undoable | None:
        """Have the last decision of a kind taken back; which one that was, None where there is none."""
        last = next((each for each in reversed(self._history) if isinstance(each, kind)), None)
        if last is None:
            return None
        self._history.remove(last)
        latest = self.pending(kind, last.number) or self._written[_key(last)]
        if isinstance(latest, kind):
            self._enqueue(last.reversed(latest))
        return last

    def pending(self, kind: type[Kind], number: int) -> Kind | None:
        """What was decided last on an alert, a transaction or a case, as long as it is not stored."""
        return next(
            (each for each in reversed(self._waiting) if isinstance(each, kind) and each.number == number), None
        )

    async def settled(self, patience_s: float) -> None:
        """Wait until everything is stored or refused, but not for longer than so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self._waiting:
                    self._idle.clear()
                    await self._idle.wait()

    def _enqueue(self, decision: Decision) -> None:
        self._waiting.append(decision)
        if not self._writing:
            self._writing = True
            self._run(self._write_all())

    async def _write_all(self) -> None:
        delay = FIRST_RETRY_S
        try:
            while self._waiting:
                if await self._write(self._waiting[0]):
                    delay = FIRST_RETRY_S
                else:
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, LONGEST_RETRY_S)
        finally:
            self._writing = False
            self._idle.set()

    async def _write(self, decision: Decision) -> bool:
        """Whether that was the end of it; otherwise it is to be tried again."""
        if self._writer is None:
            raise RuntimeError("nobody is signed in")
        try:
            await asyncio.to_thread(decision.write, self._writer, self._clock())
        except (ChangedMeanwhileError, ContradictedError) as error:
            self._refuse(decision, str(error))
        except StoreError as error:
            self._obstacle = str(error)
            return False
        except Exception:
            log.exception("%s %d could not be stored", type(decision).__name__, decision.number)
            self._refuse(decision, "it could not be stored; the log says why")
        else:
            self._waiting.popleft()
            self._written[_key(decision)] = decision
        self._obstacle = None
        self._changed()
        return True

    def _refuse(self, decision: Decision, reason: str) -> None:
        """Give a decision up, and the ones on the same subject that were built on it."""
        given_up = [each for each in self._waiting if _key(each) == _key(decision)]
        self._waiting = deque(each for each in self._waiting if _key(each) != _key(decision))
        self._history = [each for each in self._history if each not in given_up]
        self._refused(f"Not stored: {decision.subject} as {decision.verdict}; {reason}")


def _key(decision: Decision) -> _Key:
    """What a decision is about."""
    return type(decision), decision.number


def alert_rows(rows: Sequence[AlertRow], decisions: Decisions) -> tuple[AlertRow, ...]:
    """Alerts of a list as they are decided, stored or not."""
    pending = {each.alert_id: each for each in decisions.waiting if isinstance(each, AlertDecision)}
    return tuple(replace(row, **pending[row.id].outcome) if row.id in pending else row for row in rows)


def alert_name(alert: AlertRow | Alert) -> str:
    """What an analyst knows an alert by: its card and its time."""
    return f"the alert on {safe.clean(alert.card_id, NAME_LIMIT)} of {moment(alert.event_time)}"


def transaction_name(row: ReviewRow) -> str:
    """What an analyst knows a transaction by: its card and its time."""
    return f"the transaction of {safe.clean(row.card_id, NAME_LIMIT)} of {moment(row.event_time)}"


def alert_as_decided(alert: Alert, decisions: Decisions) -> Alert:
    """An alert as it is decided, stored or not."""
    decision = decisions.pending(AlertDecision, alert.id)
    return alert if decision is None else alert.model_copy(update=decision.outcome)


def review_rows(rows: Sequence[ReviewRow], decisions: Decisions) -> tuple[ReviewRow, ...]:
    """Sampled transactions as they are judged, stored or not."""
    pending = {each.transaction_seq: each for each in decisions.waiting if isinstance(each, ReviewDecision)}
    return tuple(replace(row, fraud=pending[row.seq].fraud) if row.seq in pending else row for row in rows)
