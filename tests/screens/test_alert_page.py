from contextlib import closing
from datetime import timedelta

from data.models import AlertStatus, RiskLevel
from data.queries.alerts import AlertFilter
from screens.alert_page import PAGE, AlertPage

from .worlds import NOW, World, transaction


def test_pages_follow_each_other_without_gap_or_overlap(world: World) -> None:
    with closing(world.store.reader()) as reader:
        page = AlertPage(AlertFilter())
        page.load_newest(reader)
        assert len(page.rows) == PAGE
        assert page.has_older
        page.load_older(reader)
        ids = [row.id for row in page.rows]
        assert ids == sorted(set(ids), reverse=True)
        assert len(ids) == page.total
        assert not page.has_older


def test_new_alerts_are_counted_and_not_loaded(world: World) -> None:
    with closing(world.store.reader()) as reader:
        page = AlertPage(AlertFilter(level=RiskLevel.HIGH))
        page.load_newest(reader)
        before = page.rows
        world.add([transaction(10_000 + n, NOW, level) for n, level in enumerate((RiskLevel.HIGH, RiskLevel.LOW))])
        page.refresh(reader, 0, 20)
        assert page.rows == before
        assert page.newer == 1
        assert page.total == len(before) + 1 or page.has_older


def test_a_loaded_alert_that_no_longer_matches_goes_and_its_neighbours_stay(world: World) -> None:
    with closing(world.store.reader()) as reader:
        page = AlertPage(AlertFilter(status=AlertStatus.NEW))
        page.load_newest(reader)
        before = [row.id for row in page.rows]
        world.execute("UPDATE alerts SET status = 'resolved' WHERE id = ?", (before[3],))
        page.refresh(reader, 1, 10)
        assert [row.id for row in page.rows] == [*before[:3], *before[4:]]


def test_a_change_of_a_visible_alert_is_read(world: World) -> None:
    with closing(world.store.reader()) as reader:
        page = AlertPage(AlertFilter())
        page.load_newest(reader)
        world.execute("UPDATE alerts SET status = 'escalated' WHERE id = ?", (page.rows[5].id,))
        page.refresh(reader, 2, 10)
        assert page.rows[5].status is AlertStatus.ESCALATED
        assert len({row.id for row in page.rows}) == PAGE


def test_an_empty_page_counts_what_comes(world: World) -> None:
    with closing(world.store.reader()) as reader:
        page = AlertPage(AlertFilter(card_id="card-new"))
        page.load_newest(reader)
        assert (page.rows, page.total, page.newer) == ((), 0, 0)
        world.add([transaction(20_000, NOW + timedelta(seconds=1), RiskLevel.LOW, card_id="card-new")])
        page.refresh(reader, 0, 10)
        assert (page.rows, page.total, page.newer) == ((), 1, 1)
