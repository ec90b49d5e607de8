from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from data import audit
from data.batches import TakenIn
from data.label_writes import GivenLabel, LabelCounts, LabelProblem, LabelWriter
from data.models import LabelSource
from data.queries.recovery import labels_applied_since, labels_to_apply
from data.timestamps import to_microseconds

from .builders import DAY, NOON, World, copy_of, scored

LATER = NOON + 10 * DAY


def at(days: float) -> int:
    return to_microseconds(NOON + timedelta(days=days))


def add(world: World, labels: Iterable[GivenLabel], *, correct: bool = False, delay_us: int = 0) -> LabelCounts:
    writer = LabelWriter(world.store, "ana")
    lots = list(writer.add(labels, LabelSource.CHARGEBACK, LATER, delay_us=delay_us, correct=correct))
    return lots[-1] if lots else LabelCounts()


def current(world: World) -> list[tuple[str, int, int]]:
    return world.reader.execute(
        "SELECT t.transaction_id, l.fraud, l.known_at FROM current_labels l JOIN transactions t ON t.seq = "
        "l.transaction_seq ORDER BY t.seq"
    ).fetchall()


def test_labels_are_taken_with_the_moment_they_were_known(world: World) -> None:
    world.add(scored("t-1"), scored("t-2"))
    counts = add(
        world, [GivenLabel(1, "t-1", True, at(3)), GivenLabel(2, "t-2", False, None)], delay_us=7 * 86_400_000_000
    )
    assert (counts.fraud, counts.honest, counts.refused) == (1, 1, [])
    assert current(world) == [("t-1", 1, at(3)), ("t-2", 0, at(7))]


def test_what_cannot_be_true_is_refused_with_its_line_and_changes_nothing(world: World) -> None:
    world.add(scored("t-1"))
    labels = [
        GivenLabel(2, "nobody", True, at(1)),
        GivenLabel(3, "t-1", True, at(11)),
        GivenLabel(4, "t-1", True, at(-1)),
    ]
    counts = add(world, labels)
    assert [(each.given.line, each.problem) for each in counts.refused] == [
        (2, LabelProblem.UNKNOWN_TRANSACTION),
        (3, LabelProblem.FROM_THE_FUTURE),
        (4, LabelProblem.BEFORE_THE_TRANSACTION),
    ]
    assert current(world) == []
    assert audit.latest_entries(world.reader, 1) == ()


def test_a_contradiction_is_refused_within_a_file_and_between_files_until_it_is_asked_for(world: World) -> None:
    world.add(scored("t-1"))
    counts = add(world, [GivenLabel(1, "t-1", False, at(1)), GivenLabel(2, "t-1", True, at(2))])
    assert (counts.honest, [each.problem for each in counts.refused]) == (1, [LabelProblem.CONTRADICTION])
    assert add(world, [GivenLabel(1, "t-1", True, at(2))]).refused[0].detail == "a chargeback says honest"
    counts = add(world, [GivenLabel(1, "t-1", True, at(2))], correct=True)
    assert (counts.fraud, counts.corrected) == (1, 1)
    assert current(world) == [("t-1", 1, at(2))]
    assert world.reader.execute("SELECT count(*) FROM labels").fetchone() == (2,)


def test_a_label_that_is_known_already_changes_nothing(world: World) -> None:
    world.add(scored("t-1"))
    add(world, [GivenLabel(1, "t-1", True, at(1))])
    counts = add(world, [GivenLabel(1, "t-1", True, at(2))])
    assert (counts.known_before, counts.taken) == (1, 0)
    assert current(world) == [("t-1", 1, at(1))]


def test_a_lot_that_takes_labels_is_audited(world: World) -> None:
    world.add(*(scored(f"t-{n}") for n in range(3)))
    add(world, [GivenLabel(n, f"t-{n}", True, at(1)) for n in range(3)])
    (entry,) = audit.latest_entries(world.reader, 5)
    assert entry.act == audit.Act("ana", "labels.chargeback", "3 transactions", None, "lines 0 to 2")


def test_the_engine_takes_each_label_in_once_and_knows_after_which_transaction(world: World) -> None:
    world.add(scored("t-1", amount_ratio=3.5), scored("t-2"))
    add(world, [GivenLabel(1, "t-1", True, at(1))])
    (label,) = labels_to_apply(world.reader)
    assert (label.fraud, label.was_fraud, label.amount_ratio, label.applied_seq) == (True, False, 3.5, None)
    world.add(scored("t-3"), taken_in=TakenIn(label.id, 0))
    assert list(labels_to_apply(world.reader)) == []
    assert [each.applied_seq for each in labels_applied_since(world.reader, 2)] == [2]
    assert list(labels_applied_since(world.reader, 3)) == []
    add(world, [GivenLabel(1, "t-1", False, at(2))], correct=True)
    (correction,) = labels_to_apply(world.reader)
    assert (correction.fraud, correction.was_fraud) == (False, True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=30))
def test_every_label_is_taken_or_told_and_the_first_word_holds(
    template: Path, labels: list[tuple[int, bool, bool]]
) -> None:
    with copy_of(template) as world:
        world.add(*(scored(f"t-{n}") for n in range(3)))
        counts = add(
            world, [GivenLabel(n, f"t-{k}", fraud, at(1 if past else 99)) for n, (k, fraud, past) in enumerate(labels)]
        )
        first: dict[str, int] = {}
        for k, fraud, past in labels:
            if k < 3 and past:
                first.setdefault(f"t-{k}", int(fraud))
        assert {name: fraud for name, fraud, _ in current(world)} == first
        assert counts.taken + counts.known_before + len(counts.refused) == len(labels)
        assert counts.taken == len(first)


def test_thousands_of_labels_are_written_in_lots(world: World) -> None:
    world.add(*(scored(f"t-{n}") for n in range(5_000)))
    writer = LabelWriter(world.store, "ana")
    lots = [
        counts.taken
        for counts in writer.add(
            (GivenLabel(n, f"t-{n}", n % 50 == 0, at(1)) for n in range(5_000)), LabelSource.CHARGEBACK, LATER
        )
    ]
    assert lots == [2_000, 2_000, 1_000]
    with closing(world.store.reader()) as reader:
        assert reader.execute("SELECT count(*), sum(fraud) FROM current_labels").fetchone() == (5_000, 100)
        assert audit.first_broken(reader) is None
