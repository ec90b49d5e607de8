"""What the engine reads to catch up: which frauds were known when, and where the last weeks begin."""

from datetime import timedelta

from data.label_writes import GivenLabel, LabelWriter
from data.models import LabelSource
from data.queries import recovery
from data.queries.labels import latest_label_id
from data.timestamps import to_microseconds

from .builders import DAY, NOON, World, scored


def at(days: float) -> int:
    return to_microseconds(NOON + timedelta(days=days))


def label(world: World, transaction: str, *, fraud: bool, known: float) -> int:
    given = GivenLabel(1, transaction, fraud, at(known))
    list(LabelWriter(world.store, "ana").add([given], LabelSource.CHARGEBACK, NOON + 90 * DAY, correct=True))
    return latest_label_id(world.reader)


def test_known_frauds_are_those_that_held_then_in_the_order_in_which_they_were_known(world: World) -> None:
    world.add(*(scored(f"t-{n}", at=NOON + n * DAY) for n in range(4)))
    label(world, "t-3", fraud=True, known=9)
    label(world, "t-1", fraud=True, known=5)
    label(world, "t-2", fraud=False, known=6)
    before = label(world, "t-0", fraud=True, known=7)
    after = label(world, "t-1", fraud=False, known=20)

    def known(last_id: int, since: float = 0) -> list[int]:
        return [each.transaction_seq for each in recovery.known_frauds(world.reader, last_id, at(since))]

    assert known(before) == [2, 1, 4]
    assert known(after) == [1, 4]
    assert known(before, since=0.5) == [2, 4]
    assert known(0) == []


def test_the_last_weeks_begin_before_the_first_transaction_in_them(world: World) -> None:
    world.add(*(scored(f"t-{n}", at=NOON + days * DAY) for n, days in enumerate((0, 3, 2, 9, 8))))
    assert recovery.latest_event_time(world.reader, 0, 5) == at(9)
    assert recovery.latest_event_time(world.reader, 0, 3) == at(3)
    assert recovery.latest_event_time(world.reader, 5, 5) == 0
    assert recovery.seq_before(world.reader, at(2), 0, 5) == 1
    assert recovery.seq_before(world.reader, at(4), 0, 5) == 3
    assert recovery.seq_before(world.reader, at(2), 2, 5) == 2
    assert recovery.seq_before(world.reader, at(10), 0, 5) == 5


def test_the_checkpoint_tells_its_last_transaction_without_being_read(world: World) -> None:
    assert recovery.checkpoint_seq(world.reader) is None
    world.writer.save_checkpoint(7, b"state", NOON)
    assert recovery.checkpoint_seq(world.reader) == 7
