"""Counts by day equal a recount of the last days, whatever the order in which days come."""

from hypothesis import given
from hypothesis import strategies as st

from engine.day_counts import DAYS_KEPT, DayCounts

DAYS = st.lists(st.tuples(st.integers(20_000, 20_200), st.integers(-5, 50)), max_size=60)


def counted(days: list[tuple[int, int]]) -> tuple[DayCounts, dict[int, int]]:
    """The counts, and a recount that forgets in the same moments."""
    counts, recount, latest = DayCounts(), dict[int, int](), 0
    for day, amount in days:
        counts.add(day, amount)
        latest = max(latest, day)
        if day > latest - DAYS_KEPT:
            recount[day] = recount.get(day, 0) + amount
        recount = {each: total for each, total in recount.items() if each > latest - DAYS_KEPT}
    return counts, recount


@given(DAYS, st.integers(19_900, 20_300), st.integers(0, 100))
def test_a_total_equals_a_recount(days: list[tuple[int, int]], first: int, length: int) -> None:
    counts, recount = counted(days)
    assert counts.total(first, first + length) == sum(
        total for day, total in recount.items() if first <= day <= first + length
    )


@given(DAYS, st.integers(19_990, 20_300))
def test_running_sums_end_with_the_total(days: list[tuple[int, int]], last: int) -> None:
    counts, recount = counted(days)
    running = counts.running(last)
    assert running[0] == 0
    assert running[10] == sum(recount.get(last - DAYS_KEPT + 1 + day, 0) for day in range(10))
    assert running[-1] == counts.total(last - DAYS_KEPT + 1, last)


def test_a_move_takes_from_the_day_before_only_while_that_is_in_memory() -> None:
    counts = DayCounts()
    counts.move(-DAYS_KEPT, 20_000)
    counts.move(20_000, 20_003)
    assert (counts.total(20_000, 20_000), counts.total(20_003, 20_003)) == (0, 1)
    counts.move(20_003, 20_003 + DAYS_KEPT)
    assert counts.total(0, 30_000) == 1
