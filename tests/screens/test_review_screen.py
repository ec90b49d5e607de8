"""Sampled transactions without an alert are judged by one key each."""

from contextlib import closing
from typing import Any

from data.dispositions import DispositionWriter
from data.store import Store
from screens.profile import ProfileScreen
from screens.review import ReviewScreen
from sentinel_tui.app import SentinelApp

from .pilots import piloted, press, records_of, screen_text, until
from .worlds import NOW, World, transaction

LIST = "#review-list"


def draw(world: World, count: int = 4) -> None:
    """So many transactions of as many cards, which are all that was ever drawn for review."""
    world.execute("DELETE FROM review_sample")
    rows = [transaction(700_000 + n, NOW, card_id=f"drawn-{n}") for n in range(count)]
    world.add(rows, review_sample=range(count))


def labels(world: World) -> list[tuple[Any, ...]]:
    with closing(world.store.reader()) as reader:
        return reader.execute(
            "SELECT t.card_id, l.fraud, l.source, l.actor FROM current_labels l "
            "JOIN transactions t ON t.seq = l.transaction_seq WHERE t.card_id LIKE 'drawn-%' ORDER BY 1"
        ).fetchall()


def listed(app: SentinelApp) -> list[str]:
    return [row.card_id for row in records_of(app, LIST).records]


async def test_each_key_judges_one_transaction_and_leads_to_the_next(world: World) -> None:
    draw(world)
    async with piloted(world.store, "2", analyst="ana") as (app, pilot):
        assert "r: 4 to review" in screen_text(app)
        await press(pilot, "r")
        assert "4 open of 4 drawn" in screen_text(app)
        await press(pilot, "down", "f", "h")
        await until(pilot, lambda: listed(app) == ["drawn-3", "drawn-0"])
        assert records_of(app, LIST).cursor_line == 1
        assert "2 open of 4 drawn" in screen_text(app)
        await press(pilot, "escape")
        await until(pilot, lambda: "r: 2 to review" in screen_text(app))
    assert labels(world) == [("drawn-1", 0, "review", "ana"), ("drawn-2", 1, "review", "ana")]


async def test_undo_brings_a_judged_transaction_back_under_the_cursor(world: World) -> None:
    draw(world)
    async with piloted(world.store, "2", "r", "down", "f", analyst="ana") as (app, pilot):
        await until(pilot, lambda: len(listed(app)) == 3)
        await press(pilot, "down", "z")
        await until(pilot, lambda: len(listed(app)) == 4 and records_of(app, LIST).cursor_line == 1)
        assert not app._workbench.decisions.waiting
        assert "z" not in app.screen.active_bindings
    assert labels(world) == []


async def test_what_another_analyst_judged_otherwise_is_told_and_stands(world: World) -> None:
    draw(world, 1)
    async with piloted(world.store, "2", "r", analyst="ana") as (app, pilot):
        seq = int(str(records_of(app, LIST).cursor_key))
        DispositionWriter(world.store, "bob").review(seq, None, False, NOW)
        await press(pilot, "f")
        await until(pilot, lambda: bool(app._notifications))
        assert "somebody else has judged" in "".join(notice.message for notice in app._notifications)
        await until(pilot, lambda: "All that was drawn is judged." in screen_text(app))
    assert labels(world) == [("drawn-0", 0, "review", "bob")]


async def test_new_draws_appear_and_leave_the_cursor_on_its_transaction(world: World) -> None:
    draw(world)
    async with piloted(world.store, "2", "r", "down", analyst="ana") as (app, pilot):
        key = records_of(app, LIST).cursor_key
        world.add([transaction(800_000, NOW, card_id="drawn-9")], review_sample=(0,))
        await until(pilot, lambda: listed(app)[0] == "drawn-9")
        assert records_of(app, LIST).cursor_key == key
        await press(pilot, "enter")
        assert isinstance(app.screen, ProfileScreen)
        assert "drawn-2" in screen_text(app)


async def test_an_empty_sample_says_why_and_what_to_do(empty_store: Store) -> None:
    async with piloted(empty_store, "r", size=(80, 24), analyst="ana") as (app, _):
        assert isinstance(app.screen, ReviewScreen)
        assert "Nothing has been drawn yet." in screen_text(app)
        assert "REVIEW_SAMPLE_SHARE" in screen_text(app)
        assert not {"f", "h", "z"} & set(app.screen.active_bindings)


async def test_without_an_analyst_the_sample_is_shown_and_no_key_judges(world: World) -> None:
    draw(world)
    async with piloted(world.store, "2", "r", "f", "h") as (app, _):
        assert "4 open of 4 drawn" in screen_text(app)
        assert not {"f", "h", "z"} & set(app.screen.active_bindings)


async def test_review_is_found_by_name_from_any_screen_and_is_not_opened_twice(world: World) -> None:
    async with piloted(world.store, "4", "ctrl+p", *"judge trans", analyst="ana") as (app, pilot):
        await until(pilot, lambda: "Judge transactions" in screen_text(app))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await press(pilot, "r", "escape")
        assert not isinstance(app.screen, ReviewScreen)
