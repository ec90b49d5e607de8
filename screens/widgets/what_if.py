"""What would clear an alert: found on a thread of its own, shown when it is there."""

import logging
from functools import partial

from textual.content import Content
from textual.message import Message

from data.errors import SentinelError
from data.models import Alert
from engine.counterfactual import Change, Clearing, clearings
from screens import figures, safe
from screens.tones import Tone
from screens.widgets.columns import Cell
from screens.widgets.panel import Panel, facts, line, lines
from screens.workbench import Workbench

log = logging.getLogger(__name__)

_WITHOUT_DETECTORS = "This screen was opened without a model: open the database with sentinel-tui --database FILE"
_FAILED = "The alert could not be scored again; the log says why"
_LABELS = {
    Change.AMOUNT: "Amount",
    Change.VELOCITY: "Velocity",
    Change.SMALL_AMOUNTS: "Small amounts",
    Change.PLACE: "Place",
    Change.HOUR: "Hour",
    Change.MERCHANT: "Merchant",
    Change.KNOWN_FRAUD: "Known fraud",
}


class WhatIf(Panel):
    """Hidden until it is asked."""

    class Answered(Message):
        """What an alert's question came to: the changes that clear it, or why none can be found."""

        def __init__(self, alert_id: int, answer: tuple[Clearing, ...] | str) -> None:
            super().__init__()
            self.alert_id = alert_id
            self.answer = answer

    def __init__(self, workbench: Workbench, *, id: str) -> None:
        super().__init__("What would clear it", id=id)
        self._workbench = workbench
        self._asked: int | None = None

    def ask(self, alert: Alert) -> None:
        """Search, and show that it is being searched; the model is read and some hundred situations are scored."""
        self._asked = alert.id
        self.show(line(Cell("Scoring it again, one thing changed at a time …", Tone.MUTED)))
        self.add_class("-shown")
        self.run_worker(partial(self._search, alert), thread=True, exclusive=True, exit_on_error=False)

    def forget(self) -> None:
        """Hide, because another alert is on show."""
        self._asked = None
        self.remove_class("-shown")

    def on_what_if_answered(self, message: Answered) -> None:
        if message.alert_id != self._asked:
            return
        if isinstance(message.answer, str):
            self.show(safe.text(message.answer, Tone.MEDIUM.value, limit=len(message.answer)))
        else:
            self.show(answer_lines(message.answer))
        self.call_after_refresh(self.scroll_visible, animate=False)

    def _search(self, alert: Alert) -> None:
        """On a thread of its own: whatever comes of it becomes a message."""
        self.post_message(self.Answered(alert.id, self._answer(alert)))

    def _answer(self, alert: Alert) -> tuple[Clearing, ...] | str:
        if self._workbench.detectors is None:
            return _WITHOUT_DETECTORS
        try:
            return clearings(alert, self._workbench.detectors())
        except SentinelError as error:
            return str(error)
        except Exception:
            log.exception("alert %d could not be scored again", alert.id)
            return _FAILED


def answer_lines(found: tuple[Clearing, ...]) -> Content:
    """One line for each change, with the score that the transaction would have had."""
    if not found:
        return line(Cell("No single change clears it."))
    changes = facts(
        (_LABELS[each.change], Cell(f"clears {each.text}  (score {figures.score(each.score)})")) for each in found
    )
    return lines((changes, line(Cell("Each alone; all else stays as it was.", Tone.MUTED))))
