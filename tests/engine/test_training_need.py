from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.label_writes import write_label
from data.models import LabelSource
from data.store import Store
from engine.training_need import FEWEST_FRAUDS, GROWTH, TrainingNeed, training_need

from ..data.builders import NOON, World, scored

counts = st.integers(0, 5_000)


@given(taught=counts, added=counts, frauds=counts)
def test_a_training_is_due_with_enough_frauds_and_a_fifth_more_labels(taught: int, added: int, frauds: int) -> None:
    need = TrainingNeed(taught + added, frauds, added)
    assert need.is_due == (frauds >= FEWEST_FRAUDS and added > 0 and added >= GROWTH * taught)


@given(taught=counts, added=counts, frauds=counts)
def test_what_is_missing_makes_it_due_and_less_does_not(taught: int, added: int, frauds: int) -> None:
    need = TrainingNeed(taught + added, frauds, added)
    more, known = need.missing_labels, need.missing_frauds
    assert TrainingNeed(taught + added + more, frauds + known, added + more).is_due
    if more:
        assert not TrainingNeed(taught + added + more - 1, frauds + known, added + more - 1).is_due
    if known:
        assert not TrainingNeed(taught + added + more, frauds + known - 1, added + more).is_due


@pytest.mark.parametrize(("minutes", "added"), [(None, 3), (0, 3), (3, 2), (5, 1), (9, 0)])
def test_labels_are_counted_from_the_last_training_on(tmp_path: Path, minutes: int | None, added: int) -> None:
    world = World(Store.open(tmp_path / "sentinel.db"))
    world.add(*(scored(f"t{n}") for n in range(5)))
    with closing(world.store.analyst_writer()) as connection, world.store.transaction(connection):
        for seq, fraud, minute in (
            (1, True, 0),
            (2, True, 3),
            (3, False, 0),
            (1, False, 9),
            (3, None, 4),
            (4, True, 5),
        ):
            write_label(connection, seq, fraud, LabelSource.REVIEW, "ana", NOON + timedelta(minutes=minute))
    since = None if minutes is None else NOON + timedelta(minutes=minutes)
    need = training_need(world.reader, since)
    assert (need.labels, need.frauds, need.added) == (3, 2, added)
    world.close()
