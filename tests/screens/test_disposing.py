"""Alerts, cases and samples are settled by one key each, in the list and in detail, by several analysts at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from data.dispositions import DispositionWriter
from data.label_writes import GivenLabel, LabelWriter
from data.models import AlertStatus, Disposition, LabelSource, RiskLevel
from data.store import Store
from data.timestamps import to_microseconds
from screens.alert_detail import AlertDetailScreen
from screens.case_detail import CaseDetailScreen
from screens.confirm import ConfirmScreen
from screens.decisions import alert_name
from sentinel_tui.app import SentinelApp

from .pilots import piloted, press, records_of, screen_lines, screen_text, until
from .worlds import NOW, World, app_on, transaction

LIST = "#alert-list"
HOLD_THEN_DISPOSE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from data.dispositions import DispositionWriter
from data.models import Disposition
from data.store import Store

store = Store(Path(sys.argv[1]))
with store.writing():
    print("held", flush=True)
    sys.stdin.readline()
    now = datetime(2026, 3, 14, 12, tzinfo=UTC)
    DispositionWriter(store, "bob").dispose_alert(int(sys.argv[2]), 1, Disposition.FALSE_POSITIVE, now)
"""


@pytest.fixture(autouse=True)
def no_labels_yet(request: pytest.FixtureRequest) -> None:
    if "world" in request.fixturenames:
        request.getfixturevalue("world").execute("DELETE FROM labels")


def stored(world: World, alert_id: int) -> tuple[Any, ...]:
    """Status, disposition and version of an alert, and the label of its transaction with who gave it."""
    with closing(world.store.reader()) as reader:
        row: tuple[Any, ...] = reader.execute(
            "SELECT a.status, a.disposition, a.version, l.fraud, l.actor FROM alerts a "
            "LEFT JOIN current_labels l ON l.transaction_seq = a.transaction_seq WHERE a.id = ?",
            (alert_id,),
        ).fetchone()
    return row


def shown(app: SentinelApp) -> list[Disposition | None]:
    return [row.disposition for row in records_of(app, LIST).records[:5]]


def notices(app: SentinelApp) -> str:
    """What the analyst is told at the edge of the screen."""
    return "\n".join(notice.message for notice in app._notifications)


async def all_stored(app: SentinelApp) -> None:
    await app._workbench.decisions.settled(30)
    assert app._workbench.decisions.waiting == ()


@contextmanager
def other_analyst(world: World, alert_id: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that is about to settle an alert; it has the right to write, and goes on when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_THEN_DISPOSE, str(world.store.path), str(alert_id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.communicate("go\n", timeout=30)


@pytest.mark.parametrize(
    ("key", "disposition", "fraud"),
    [("f", "confirmed_fraud", 1), ("x", "false_positive", 0), ("a", "customer_error", 0), ("i", "inconclusive", None)],
)
async def test_one_key_settles_the_alert_under_the_cursor_as_the_signed_in_analyst(
    world: World, key: str, disposition: str, fraud: int | None
) -> None:
    async with piloted(world.store, "2", "down", key, analyst="ana") as (app, _):
        records = records_of(app, LIST)
        row = records.records[1]
        assert row.disposition == Disposition(disposition)
        assert records.cursor_line == 2
        await all_stored(app)
        actor = None if fraud is None else "ana"
        status = AlertStatus.FALSE_POSITIVE if key == "x" else AlertStatus.RESOLVED
        assert stored(world, row.id) == (status, disposition, 2, fraud, actor)
        assert disposition.replace("_", " ") in screen_lines(app)[4]


async def test_keys_in_a_row_settle_one_alert_each_and_undo_goes_back_through_them(world: World) -> None:
    async with piloted(world.store, "2", "f", "x", "i", analyst="ana") as (app, pilot):
        fraud, false, unclear = (
            Disposition.CONFIRMED_FRAUD,
            Disposition.FALSE_POSITIVE,
            Disposition.INCONCLUSIVE,
        )
        assert shown(app) == [fraud, false, unclear, None, None]
        await press(pilot, "z", "z")
        await all_stored(app)
        await until(pilot, lambda: shown(app) == [fraud, None, None, None, None])
        records = records_of(app, LIST)
        assert records.cursor_line == 1
        assert [stored(world, row.id)[1] for row in records.records[:3]] == [fraud, None, None]


async def test_the_cursor_goes_on_past_settled_alerts_and_around_the_end(world: World) -> None:
    world.execute("UPDATE alerts SET disposition = 'inconclusive' WHERE id <= (SELECT max(id) - 4 FROM alerts)")
    async with piloted(world.store, "2", "down", "x", analyst="ana") as (app, pilot):
        records = records_of(app, LIST)
        assert records.cursor_line == 2
        await press(pilot, "x", "x")
        assert records.cursor_line == 0
        await press(pilot, "x")
        assert None not in shown(app)
        await all_stored(app)


async def test_an_undone_alert_comes_back_into_a_filtered_list_under_the_cursor(world: World) -> None:
    async with piloted(world.store, "2", "s", "down", "down", analyst="ana") as (app, pilot):
        records = records_of(app, LIST)
        key = records.cursor_key
        await press(pilot, "x")
        await until(pilot, lambda: all(row.id != key for row in records.records))
        assert records.cursor_line == 2
        await press(pilot, "down", "down", "z")
        await until(pilot, lambda: records.cursor_key == key)


async def test_keys_that_settle_are_not_offered_without_an_analyst(filled_store: Store) -> None:
    async with piloted(filled_store, "2", "f", "x", "a", "i", "z") as (app, pilot):
        assert not {"f", "x", "a", "i", "z"} & set(app.screen.active_bindings)
        await press(pilot, "enter")
        assert not {"f", "x", "a", "i", "z"} & set(app.screen.active_bindings)


async def test_in_detail_the_next_alert_without_a_disposition_follows_and_undo_returns(world: World) -> None:
    async with piloted(world.store, "2", "enter", analyst="ana") as (app, pilot):
        ids = app.screen._alert_ids  # type: ignore[attr-defined]  # what the list was when the detail was opened
        DispositionWriter(world.store, "bob").dispose_alert(ids[1], 1, Disposition.INCONCLUSIVE, NOW)
        await press(pilot, "f")
        assert "3 of 200 loaded" in screen_text(app)
        assert "Status new" in screen_text(app)
        await press(pilot, "k", "k")
        assert "Status confirmed fraud" in screen_text(app)
        await press(pilot, "j", "j", "j", "z")
        assert "1 of 200 loaded" in screen_text(app)
        await all_stored(app)
        await until(pilot, lambda: "Status new" in screen_text(app))
        assert stored(world, ids[0])[1] is None


async def test_two_analysts_in_two_processes_settle_the_same_alert_and_the_slower_is_told(world: World) -> None:
    async with piloted(world.store, "2", analyst="ana") as (app, pilot):
        records = records_of(app, LIST)
        alert_id = int(str(records.cursor_key))
        with other_analyst(world, alert_id):
            await press(pilot, "f")
            assert shown(app)[0] is Disposition.CONFIRMED_FRAUD
        await until(pilot, lambda: "changed by somebody else" in notices(app))
        assert shown(app)[0] is Disposition.FALSE_POSITIVE
        assert stored(world, alert_id) == ("false_positive", "false_positive", 2, 0, "bob")


async def test_a_chargeback_that_contradicts_is_told_and_the_alert_stays_open(world: World) -> None:
    async with piloted(world.store, "2", analyst="ana") as (app, pilot):
        row = records_of(app, LIST).records[0]
        given = [GivenLabel(1, row.transaction_id, True, to_microseconds(row.event_time))]
        list(LabelWriter(world.store, "bank").add(given, LabelSource.CHARGEBACK, NOW))
        await press(pilot, "x")
        await until(pilot, lambda: "a chargeback says" in notices(app))
        assert shown(app)[0] is None
        assert stored(world, row.id)[:3] == ("new", None, 1)


async def test_a_decision_waits_for_a_database_that_is_being_written_and_the_screen_does_not(world: World) -> None:
    async with piloted(world.store, "2", analyst="ana") as (app, pilot):
        records = records_of(app, LIST)
        alert_id = int(str(records.cursor_key))
        app._workbench.decisions._writer = DispositionWriter(Store(world.store.path), "ana", 0.05)
        with world.store.writing():
            await press(pilot, "f", "down", "down")
            assert records.cursor_line == 3
            await until(pilot, lambda: "1 decision waits to be stored" in screen_text(app))
        await until(pilot, lambda: "waits to be stored" not in screen_text(app))
        assert stored(world, alert_id)[1] == "confirmed_fraud"


async def test_quitting_waits_for_what_was_decided(world: World) -> None:
    app = app_on(world.store, analyst="ana")
    async with app.run_test() as pilot:
        await press(pilot, "2", "f", "x", "q")
    with closing(world.store.reader()) as reader:
        assert reader.execute("SELECT count(*) FROM labels WHERE actor = 'ana'").fetchone() == (2,)


async def test_what_could_not_be_stored_before_quitting_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sentinel_tui.app.QUIT_PATIENCE_S", 0.05)
    app = app_on(world.store, analyst="ana")
    app._workbench.decisions._writer = DispositionWriter(Store(world.store.path), "ana", 0.05)
    async with app.run_test() as pilot:
        await press(pilot, "2")
        row = records_of(app, LIST).records[0]
        with world.store.writing():
            await press(pilot, "f", "q")
            await until(pilot, lambda: not app.is_running)
    assert f"Perhaps not stored: {alert_name(row)} as confirmed fraud" in " ".join(capsys.readouterr().err.split())


async def test_an_undone_alert_that_the_list_does_not_show_is_named(world: World) -> None:
    async with piloted(world.store, "2", "x", analyst="ana") as (app, pilot):
        await all_stored(app)
        await press(pilot, "s", "s", "s", "z")
        await until(pilot, lambda: "which this list does not show" in notices(app))
        await press(pilot, "s", "s", "s", "f", "l", "enter", "z")
        await until(pilot, lambda: "which is not in this list" in notices(app))
        await all_stored(app)


def open_case(world: World) -> int:
    """A case of the card ``[b]x`` with three alerts, which is due before any other."""
    world.add([transaction(900_000 + n, NOW, RiskLevel.CRITICAL, card_id="[b]x") for n in range(3)])
    with closing(world.store.reader()) as reader:
        return int(reader.execute("SELECT max(id) FROM cases").fetchone()[0])


async def on_case(app: SentinelApp, pilot: Any) -> None:
    await press(pilot, "2", "enter", "c")
    assert isinstance(app.screen, CaseDetailScreen)


async def test_a_case_is_resolved_after_its_open_alerts_were_counted_and_confirmed(world: World) -> None:
    case_id = open_case(world)
    async with piloted(world.store, analyst="ana") as (app, pilot):
        await press(pilot, "2", "x", "home", "enter", "c")
        await all_stored(app)
        assert isinstance(app.screen, CaseDetailScreen)
        await press(pilot, "f")
        assert isinstance(app.screen, ConfirmScreen)
        assert "same: 2 of its 3." in screen_text(app)
        await press(pilot, "n")
        assert isinstance(app.screen, CaseDetailScreen)
        await press(pilot, "f", "y")
        await all_stored(app)
        await until(pilot, lambda: "2 alerts settled with it" in screen_text(app))
        assert not {"f", "x", "a", "i"} & set(app.screen.active_bindings)
    with closing(world.store.reader()) as reader:
        assert reader.execute("SELECT status, disposition FROM cases WHERE id = ?", (case_id,)).fetchone() == (
            "resolved",
            "confirmed_fraud",
        )
        found = reader.execute("SELECT disposition FROM alerts WHERE case_id = ? ORDER BY id", (case_id,)).fetchall()
    assert found == [("confirmed_fraud",), ("confirmed_fraud",), ("false_positive",)]


async def test_a_case_that_an_alert_joined_while_the_question_was_open_is_not_resolved(world: World) -> None:
    case_id = open_case(world)
    async with piloted(world.store, analyst="ana") as (app, pilot):
        await on_case(app, pilot)
        await press(pilot, "x")
        world.add([transaction(900_100, NOW, RiskLevel.HIGH, card_id="[b]x")])
        await press(pilot, "y")
        await until(pilot, lambda: f"case {case_id} was changed by somebody else" in notices(app))
        await until(pilot, lambda: "showing 4 of 4" in screen_text(app))
        assert "f" in app.screen.active_bindings


async def test_every_footer_fits_80_columns_with_everything_on_offer(world: World) -> None:
    open_case(world)
    async with piloted(world.store, size=(80, 24), analyst="ana") as (app, pilot):
        for keys in (("2", "x", "down"), ("enter",), ("c",), ("escape", "escape", "r"), ("escape", "3"), ("5",)):
            await press(pilot, *keys)
            footer = screen_lines(app)[-1]
            assert "…" not in footer
            assert "q Quit" in footer
            if isinstance(app.screen, AlertDetailScreen):
                assert "fxai Dispose" in footer
                assert "z Undo" in footer
