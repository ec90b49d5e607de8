from hypothesis import given
from hypothesis import strategies as st

from engine.windows import ALLOWED_LATENESS_US, SlidingWindow

SECOND = 1_000_000
WINDOW_US = 60 * SECOND

arrivals = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 30 * SECOND), st.integers(0, ALLOWED_LATENESS_US)),
    max_size=120,
)


def replayed(steps: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Arrivals as (key, time, watermark): time goes on by each step, and an event lags it by up to the lateness."""
    watermark = 10**15
    events = []
    for key, step, lag in steps:
        watermark += step
        events.append((key, watermark - lag, watermark))
    return events


@given(arrivals)
def test_count_equals_a_recount_of_everything_that_arrived_before(steps: list[tuple[str, int, int]]) -> None:
    window = SlidingWindow(WINDOW_US)
    seen: list[tuple[str, int]] = []
    for key, time, watermark in replayed(steps):
        seen.append((key, time))
        expected = sum(k == key and time - WINDOW_US < t <= time for k, t in seen)
        assert window.add(key, time, watermark) == expected


@given(arrivals)
def test_memory_holds_only_what_a_window_can_still_count(steps: list[tuple[str, int, int]]) -> None:
    window = SlidingWindow(WINDOW_US)
    for key, time, watermark in replayed(steps):
        window.add(key, time, watermark)
    last = replayed(steps)[-1][2] if steps else 0
    far = last + 10 * (WINDOW_US + ALLOWED_LATENESS_US) + 10**15
    window.add("z", far, far)
    assert window.export() == {"z": [far]}


@given(arrivals, arrivals)
def test_a_restored_window_counts_as_the_original_would_have(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]]
) -> None:
    original = SlidingWindow(WINDOW_US)
    events = replayed(before + after)
    for event in events[: len(before)]:
        original.add(*event)
    restored = SlidingWindow(WINDOW_US)
    restored.restore(original.export())
    for event in events[len(before) :]:
        assert restored.add(*event) == original.add(*event)


def test_the_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    window = SlidingWindow(WINDOW_US)
    start = 10**15
    assert window.add("a", start, start) == 1
    assert window.add("a", start + WINDOW_US, start + WINDOW_US) == 1
    assert window.add("a", start + WINDOW_US - 1, start + WINDOW_US) == 2
