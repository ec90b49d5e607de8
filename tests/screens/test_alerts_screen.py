from data.models import RiskLevel
from data.store import Store
from screens.alert_detail import AlertDetailScreen
from screens.case_detail import CaseDetailScreen
from screens.profile import ProfileScreen

from .pilots import piloted, press, records_of, screen_lines, screen_text, until
from .worlds import World

LIST = "#alert-list"


async def test_new_alerts_move_neither_cursor_nor_lines_once_the_analyst_has_moved(world: World) -> None:
    async with piloted(world.store, "2", "down", "down", "down") as (app, pilot):
        records = records_of(app, LIST)
        key = records.cursor_key
        before = screen_lines(app)[2:-1]
        world.alert(7)
        await until(pilot, lambda: "▲ 7 new — press n" in screen_text(app))
        world.alert(5)
        await until(pilot, lambda: "▲ 12 new — press n" in screen_text(app))
        assert records.cursor_key == key
        assert screen_lines(app)[2:-1] == before


async def test_new_alerts_move_nothing_while_the_list_is_scrolled(world: World) -> None:
    async with piloted(world.store, "2", "pagedown", "pagedown", "up") as (app, pilot):
        records = records_of(app, LIST)
        key, top = records.cursor_key, records.scroll_offset.y
        assert top > 0
        before = screen_lines(app)[2:-1]
        world.alert(3)
        await until(pilot, lambda: "▲ 3 new" in screen_text(app))
        assert (records.cursor_key, records.scroll_offset.y) == (key, top)
        assert screen_lines(app)[2:-1] == before


async def test_an_untouched_list_follows_the_newest_and_the_cursor_stays_on_its_alert(world: World) -> None:
    async with piloted(world.store, "2") as (app, pilot):
        records = records_of(app, LIST)
        key = records.cursor_key
        world.alert(4)
        await until(pilot, lambda: records.cursor_line == 4)
        assert records.cursor_key == key
        assert records.scroll_offset.y == 0
        assert "new — press n" not in screen_text(app)


async def test_a_burst_never_pushes_the_alert_under_the_cursor_off_the_screen(world: World) -> None:
    async with piloted(world.store, "2") as (app, pilot):
        records = records_of(app, LIST)
        key = records.cursor_key
        world.alert(500)
        await until(pilot, lambda: "▲ 500 new — press n" in screen_text(app))
        assert (records.cursor_key, records.cursor_line) == (key, 0)


async def test_n_goes_to_the_newest_and_follows_again(world: World) -> None:
    async with piloted(world.store, "2", "pagedown", "pagedown") as (app, pilot):
        world.alert(6)
        await until(pilot, lambda: "▲ 6 new" in screen_text(app))
        await press(pilot, "n")
        records = records_of(app, LIST)
        assert records.cursor_line == 0
        assert records.cursor_key == max(row.id for row in records.records)
        await until(pilot, lambda: "press n" not in screen_text(app))
        world.alert(2)
        await until(pilot, lambda: records.cursor_line == 2)


async def test_level_and_status_filters_show_only_what_matches_and_count_honestly(filled_store: Store) -> None:
    async with piloted(filled_store, "2", "l", "l", "l", "l") as (app, pilot):
        records = records_of(app, LIST)
        assert {row.level for row in records.records} == {RiskLevel.CRITICAL}
        total = len(records.records)
        assert f"showing {total} of {total}" in screen_text(app)
        await press(pilot, "s")
        assert {row.status.value for row in records.records} == {"new"}
        assert 0 < len(records.records) < total
        await press(pilot, "l", "s", "s", "s", "s", "s")
        assert "showing 200 of 338" in screen_text(app)


async def test_a_filter_that_matches_nothing_says_what_to_do(empty_store: Store) -> None:
    async with piloted(empty_store, "2") as (app, pilot):
        assert "No alerts yet." in screen_text(app)
        await press(pilot, "l")
        assert "Press l for another level" in screen_text(app)


async def test_more_pages_load_by_key_and_at_the_end_of_the_list(filled_store: Store) -> None:
    async with piloted(filled_store, "2") as (app, pilot):
        records = records_of(app, LIST)
        assert len(records.records) == 200
        await press(pilot, "m")
        assert len(records.records) == 338
        assert "showing 338 of 338" in screen_text(app)
        await press(pilot, "m")
        assert len(records.records) == 338
    async with piloted(filled_store, "2", "end") as (app, pilot):
        assert len(records_of(app, LIST).records) == 338
        assert records_of(app, LIST).cursor_line == 199


async def test_detail_steps_through_the_list_and_leaves_the_cursor_on_the_alert_last_seen(filled_store: Store) -> None:
    async with piloted(filled_store, "2", "down", "enter") as (app, pilot):
        assert isinstance(app.screen, AlertDetailScreen)
        assert "2 of 200 loaded" in screen_text(app)
        await press(pilot, "j", "j", "k")
        assert "3 of 200 loaded" in screen_text(app)
        await press(pilot, "escape")
        assert records_of(app, LIST).cursor_line == 2


async def test_detail_offers_the_case_only_where_there_is_one(filled_store: Store) -> None:
    async with piloted(filled_store, "2", "l", "l", "l", "l", "enter") as (app, pilot):
        await press(pilot, "c")
        assert isinstance(app.screen, CaseDetailScreen)
        await press(pilot, "escape", "p")
        assert isinstance(app.screen, ProfileScreen)
    async with piloted(filled_store, "2", "l", "enter", "c") as (app, pilot):
        assert isinstance(app.screen, AlertDetailScreen)
        assert "c" not in app.screen.active_bindings


async def test_the_mouse_selects_a_line_and_a_double_click_opens_it(filled_store: Store) -> None:
    async with piloted(filled_store, "2") as (app, pilot):
        await pilot.click(LIST, offset=(20, 6))
        await pilot.pause()
        assert records_of(app, LIST).cursor_line == 5
        await pilot.click(LIST, offset=(20, 6), times=2)
        await pilot.pause()
        assert isinstance(app.screen, AlertDetailScreen)
