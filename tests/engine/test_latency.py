from hypothesis import given
from hypothesis import strategies as st

from engine.latency import BATCHES_PER_GENERATION, RESOLUTION, LatencyRecorder

batches = st.lists(st.tuples(st.floats(0.002, 1e6), st.integers(1, 600)), min_size=1, max_size=60)


def nearest_rank(recorded: list[tuple[float, int]], share: float) -> float:
    every = sorted(milliseconds for milliseconds, count in recorded for _ in range(count))
    return next(value for place, value in enumerate(every, start=1) if place >= share * len(every))


@given(batches, st.floats(0, 1))
def test_a_percentile_is_at_most_one_resolution_above_the_nearest_rank(
    recorded: list[tuple[float, int]], share: float
) -> None:
    recorder = LatencyRecorder()
    for milliseconds, transactions in recorded:
        recorder.add(milliseconds, transactions)
    (found,) = recorder.whole(share)
    exact = nearest_rank(recorded, share)
    assert found is not None
    assert exact * (1 - 1e-9) <= found <= exact * (1 + RESOLUTION) * (1 + 1e-9)
    assert recorder.recent(share) == (found,)


def test_nothing_recorded_has_no_percentile() -> None:
    recorder = LatencyRecorder()
    recorder.add(5.0, 0)
    assert recorder.whole(0.5, 0.99) == (None, None)
    assert recorder.recent(0.5) == (None,)


def test_recent_forgets_what_the_whole_run_remembers() -> None:
    recorder = LatencyRecorder()
    recorder.add(1_000.0, 1)
    for _ in range(2 * BATCHES_PER_GENERATION):
        recorder.add(1.0, 1)
    (recent,), (whole,) = recorder.recent(1.0), recorder.whole(1.0)
    assert recent is not None
    assert recent < 1.1
    assert whole is not None
    assert whole >= 1_000.0
