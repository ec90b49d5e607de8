"""What analysts decide is written in order, never lost to a busy database, and given up only where it is told."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from data.dispositions import DispositionWriter
from data.models import Disposition
from data.queries.alerts import AlertFilter, AlertRow, latest_alerts
from data.store import Store
from screens.decisions import AlertDecision, CaseDecision, Decisions, ReviewDecision, alert_name, alert_rows

from .worlds import NOW, World

FRAUD, FALSE, UNCLEAR = Disposition.CONFIRMED_FRAUD, Disposition.FALSE_POSITIVE, Disposition.INCONCLUSIVE


class Desk:
    """Decisions of one analyst on a store, run on the test's own loop."""

    def __init__(self, store: Store, analyst: str = "ana", patience_s: float = 0.05) -> None:
        self.told: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._reader = store.reader()
        writer = DispositionWriter(Store(store.path), analyst, patience_s)
        self.decisions = Decisions(writer, lambda: NOW, run=self._start, changed=lambda: None, refused=self.told.append)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def rows(self) -> tuple[AlertRow, ...]:
        """Alerts as a list shows them, newest first."""
        return alert_rows(latest_alerts(self._reader, AlertFilter(), 10), self.decisions)

    def dispose(self, line: int, disposition: Disposition) -> None:
        row = self.rows()[line]
        self.decisions.take(AlertDecision(alert_name(row), row.id, row.version, disposition, row.disposition))

    def dispositions(self) -> list[Disposition | None]:
        return [row.disposition for row in self.rows()[:3]]

    async def settled(self) -> None:
        await self.decisions.settled(30)
        assert self.decisions.waiting == ()


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world.store)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to hold")


async def test_what_is_decided_shows_before_it_is_stored_and_is_the_same_after(desk: Desk) -> None:
    desk.dispose(0, FRAUD)
    desk.dispose(1, FALSE)
    desk.dispose(0, UNCLEAR)
    assert len(desk.decisions.waiting) == 3
    shown = desk.rows()
    assert [row.disposition for row in shown[:3]] == [UNCLEAR, FALSE, None]
    await desk.settled()
    assert desk.rows() == shown
    assert desk.told == []


async def test_undo_goes_back_one_decision_at_a_time_stored_or_not(desk: Desk) -> None:
    desk.dispose(0, FRAUD)
    desk.dispose(0, FALSE)
    await desk.settled()
    desk.dispose(1, FRAUD)
    desk.decisions.undo(AlertDecision)
    assert desk.dispositions() == [FALSE, None, None]
    desk.decisions.undo(AlertDecision)
    assert desk.dispositions() == [FRAUD, None, None]
    await desk.settled()
    assert desk.dispositions() == [FRAUD, None, None]
    desk.decisions.undo(AlertDecision)
    await desk.settled()
    assert desk.dispositions() == [None, None, None]
    assert desk.decisions.undo(AlertDecision) is None
    assert not desk.decisions.can_undo(AlertDecision)
    assert desk.told == []


async def test_undo_of_one_kind_leaves_the_other_alone(desk: Desk) -> None:
    desk.dispose(0, FRAUD)
    assert desk.decisions.undo(ReviewDecision) is None
    desk.decisions.take(ReviewDecision("one", 1, True, None))
    undone = desk.decisions.undo(AlertDecision)
    assert undone is not None
    assert desk.decisions.can_undo(ReviewDecision)
    await desk.settled()
    assert desk.dispositions()[0] is None


async def test_a_database_that_somebody_keeps_writing_makes_decisions_wait_in_order(desk: Desk, world: World) -> None:
    with world.store.writing():
        desk.dispose(0, FRAUD)
        desk.dispose(1, FALSE)
        await until(lambda: desk.decisions.trouble is not None)
        assert str(desk.decisions.trouble).startswith("2 decisions wait to be stored")
        assert "is being written by another process" in str(desk.decisions.trouble)
        assert desk.dispositions() == [FRAUD, FALSE, None]
        await desk.decisions.settled(0.01)
        assert len(desk.decisions.waiting) == 2
    await desk.settled()
    assert desk.decisions.trouble is None
    assert desk.dispositions() == [FRAUD, FALSE, None]


async def test_a_lost_race_gives_up_what_was_built_on_it_and_nothing_else(desk: Desk, world: World) -> None:
    rows = desk.rows()
    DispositionWriter(world.store, "bob").dispose_alert(rows[0].id, rows[0].version, FALSE, NOW)
    for row, disposition in ((rows[0], FRAUD), (rows[1], FRAUD)):
        desk.decisions.take(AlertDecision(alert_name(row), row.id, row.version, disposition, None))
    desk.decisions.take(AlertDecision("again", rows[0].id, rows[0].version + 1, UNCLEAR, FRAUD))
    await desk.settled()
    assert desk.dispositions() == [FALSE, FRAUD, None]
    assert len(desk.told) == 1
    assert desk.told[0].startswith(f"Not stored: {alert_name(rows[0])} as confirmed fraud; ")
    undone = desk.decisions.undo(AlertDecision)
    assert undone is not None
    assert undone.alert_id == rows[1].id
    assert desk.decisions.undo(AlertDecision) is None


async def test_undoing_what_somebody_else_has_changed_since_is_told_and_changes_nothing(
    desk: Desk, world: World
) -> None:
    desk.dispose(0, FRAUD)
    await desk.settled()
    row = desk.rows()[0]
    DispositionWriter(world.store, "bob").dispose_alert(row.id, row.version, FALSE, NOW)
    desk.decisions.undo(AlertDecision)
    await desk.settled()
    assert desk.dispositions()[0] is FALSE
    assert len(desk.told) == 1
    assert "changed by somebody else" in desk.told[0]


async def test_a_failure_that_nobody_foresaw_is_told_and_the_next_decision_is_stored(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.decisions.take(ReviewDecision("none", 10**9, True, None))
    desk.dispose(0, FRAUD)
    await desk.settled()
    assert len(desk.told) == 1
    assert "could not be stored; the log says why" in desk.told[0]
    assert desk.dispositions()[0] is FRAUD
    assert "ReviewDecision 1000000000" in caplog.text


async def test_a_case_ends_what_can_be_taken_back_of_alerts(desk: Desk) -> None:
    desk.dispose(0, FRAUD)
    assert desk.decisions.can_undo(AlertDecision)
    desk.decisions.take(CaseDecision("case", 1, 1, Disposition.INCONCLUSIVE))
    assert not desk.decisions.can_undo(AlertDecision)
    await desk.settled()
