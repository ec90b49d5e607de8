"""The random sample for review: by the transaction's id alone, and fair."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from data.batches import ScoredTransaction
from data.models import RiskLevel
from engine.review_sample import is_drawn, review_sample

from ..data.builders import scored

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)

rows = st.lists(
    st.builds(
        lambda name, level, late: scored(name, level=level, late=late),
        st.text(min_size=1, max_size=12),
        st.sampled_from((None, None, *RiskLevel)),
        st.integers(0, 1),
    ),
    max_size=60,
)
shares = st.floats(0, 1)


def drawn_ids(batches: Sequence[Sequence[ScoredTransaction]], share: float) -> list[str]:
    return [batch[index].transaction_id for batch in batches for index in review_sample(batch, share)]


@given(rows=rows, cuts=st.lists(st.integers(0, 60), max_size=5), share=shares)
def test_the_draw_does_not_depend_on_how_batches_are_cut(
    rows: list[ScoredTransaction], cuts: list[int], share: float
) -> None:
    edges = [0, *sorted(cuts), len(rows)]
    batches = [rows[start:end] for start, end in itertools.pairwise(edges)]
    assert drawn_ids(batches, share) == drawn_ids([rows], share)


@given(rows=rows)
def test_alerts_and_late_transactions_are_never_drawn(rows: list[ScoredTransaction]) -> None:
    assert list(review_sample(rows, 1.0)) == [
        index for index, row in enumerate(rows) if row.level_rank == 0 and row.late == 0
    ]
    assert review_sample(rows, 0.0) == ()


@given(name=st.text(), share=shares, more=shares)
def test_what_a_smaller_share_draws_a_larger_one_draws_too(name: str, share: float, more: float) -> None:
    smaller, larger = sorted((share, more))
    assert is_drawn(name, larger) or not is_drawn(name, smaller)


def test_consecutive_ids_are_drawn_at_the_share_asked_for() -> None:
    drawn = [number for number in range(100_000) if is_drawn(f"txn_{number:010d}", 0.01)]
    assert 900 < len(drawn) < 1_100
    assert len({number % 10 for number in drawn}) == 10


def test_the_draw_is_the_same_in_every_version() -> None:
    assert [n for n in range(2_000) if is_drawn(f"t-{n}", 0.002)] == [792, 896, 1345]
