import pytest

from data import audit
from data.dispositions import ChangedMeanwhileError, ContradictedError, DispositionWriter
from data.errors import StoreLockedError
from data.label_writes import GivenLabel, LabelWriter
from data.models import AlertStatus, Disposition, LabelSource, RiskLevel
from data.queries.alerts import alert
from data.queries.labels import current_labels
from data.store import Store
from data.timestamps import to_microseconds

from .builders import HOUR, NOON, World, scored

LATER = NOON + HOUR


def label(world: World, seq: int = 1) -> tuple[int, str] | None:
    return world.reader.execute("SELECT fraud, source FROM current_labels WHERE transaction_seq = ?", (seq,)).fetchone()


def chargeback(world: World, fraud: bool) -> None:
    given = [GivenLabel(1, "t-1", fraud, to_microseconds(LATER))]
    list(LabelWriter(world.store, "bank").add(given, LabelSource.CHARGEBACK, LATER))


@pytest.mark.parametrize(
    ("disposition", "status", "fraud"),
    [
        (Disposition.CONFIRMED_FRAUD, AlertStatus.RESOLVED, (1, "disposition")),
        (Disposition.FALSE_POSITIVE, AlertStatus.FALSE_POSITIVE, (0, "disposition")),
        (Disposition.CUSTOMER_ERROR, AlertStatus.RESOLVED, (0, "disposition")),
        (Disposition.INCONCLUSIVE, AlertStatus.RESOLVED, None),
    ],
)
def test_a_disposition_is_a_label_and_taking_it_back_takes_the_label_back(
    world: World, disposition: Disposition, status: AlertStatus, fraud: tuple[int, str] | None
) -> None:
    world.add(scored("t-1", level=RiskLevel.LOW))
    writer = DispositionWriter(world.store, "ana")
    writer.dispose_alert(1, 1, disposition, LATER)
    settled = alert(world.reader, 1)
    assert settled is not None
    assert (settled.status, settled.disposition, settled.version) == (status, disposition, 2)
    assert label(world) == fraud
    writer.dispose_alert(1, 2, None, LATER)
    reopened = alert(world.reader, 1)
    assert reopened is not None
    assert (reopened.status, reopened.disposition) == (AlertStatus.NEW, None)
    assert label(world) is None
    assert [entry.act.after for entry in audit.latest_entries(world.reader, 9)] == [None, disposition.value]


def test_a_lost_race_writes_nothing(world: World) -> None:
    world.add(scored("t-1", level=RiskLevel.LOW))
    DispositionWriter(world.store, "ana").dispose_alert(1, 1, Disposition.FALSE_POSITIVE, LATER)
    with pytest.raises(ChangedMeanwhileError, match="alert 1 was changed"):
        DispositionWriter(world.store, "bob").dispose_alert(1, 1, Disposition.CONFIRMED_FRAUD, LATER)
    assert label(world) == (0, "disposition")


def test_an_analyst_does_not_overrule_a_chargeback_but_may_agree_with_it(world: World) -> None:
    world.add(scored("t-1", level=RiskLevel.LOW))
    chargeback(world, fraud=True)
    writer = DispositionWriter(world.store, "ana")
    with pytest.raises(ContradictedError, match="was fraud"):
        writer.dispose_alert(1, 1, Disposition.FALSE_POSITIVE, LATER)
    writer.dispose_alert(1, 1, Disposition.CONFIRMED_FRAUD, LATER)
    writer.dispose_alert(1, 2, None, LATER)
    assert label(world) == (1, "chargeback")


def test_a_case_settles_the_alerts_that_nobody_settled(world: World) -> None:
    world.add(*(scored(f"t-{n}", level=RiskLevel.HIGH) for n in range(1, 4)))
    writer = DispositionWriter(world.store, "ana")
    writer.dispose_alert(2, 1, Disposition.FALSE_POSITIVE, LATER)
    assert (
        writer.dispose_case(
            1, world.reader.execute("SELECT version FROM cases").fetchone()[0], Disposition.CONFIRMED_FRAUD, LATER
        )
        == 2
    )
    assert [label(world, seq) for seq in (1, 2, 3)] == [(1, "disposition"), (0, "disposition"), (1, "disposition")]
    assert world.reader.execute("SELECT status, disposition FROM cases").fetchone() == ("resolved", "confirmed_fraud")
    with pytest.raises(ChangedMeanwhileError):
        writer.dispose_case(1, 1, Disposition.CONFIRMED_FRAUD, LATER)
    assert audit.first_broken(world.reader) is None


def test_a_review_labels_a_transaction_that_raised_no_alert(world: World) -> None:
    world.add(scored("t-1"))
    writer = DispositionWriter(world.store, "ana")
    writer.review(1, None, True, LATER)
    assert label(world) == (1, "review")
    writer.review(1, True, None, LATER)
    assert label(world) is None
    chargeback(world, fraud=False)
    with pytest.raises(ContradictedError):
        writer.review(1, None, True, LATER)


def test_a_review_does_not_overrule_somebody_elses_unseen_but_may_agree_with_it(world: World) -> None:
    world.add(scored("t-1"))
    DispositionWriter(world.store, "bob").review(1, None, False, LATER)
    ana = DispositionWriter(world.store, "ana")
    with pytest.raises(ChangedMeanwhileError, match="judged transaction 1 to be honest"):
        ana.review(1, None, True, LATER)
    assert label(world) == (0, "review")
    ana.review(1, None, False, LATER)
    ana.review(1, False, True, LATER)
    assert label(world) == (1, "review")


def test_a_database_that_somebody_else_keeps_writing_is_told_after_the_writers_patience(world: World) -> None:
    world.add(scored("t-1", level=RiskLevel.LOW))
    writer = DispositionWriter(Store(world.store.path), "ana", patience_s=0.05)
    with world.store.writing(), pytest.raises(StoreLockedError, match="being written by another process"):
        writer.dispose_alert(1, 1, Disposition.INCONCLUSIVE, LATER)
    writer.dispose_alert(1, 1, Disposition.INCONCLUSIVE, LATER)


def test_nothing_is_known_before_it_happened_even_where_the_source_is_ahead_of_this_clock(world: World) -> None:
    world.add(scored("t-1", at=LATER + HOUR, level=RiskLevel.LOW))
    DispositionWriter(world.store, "ana").dispose_alert(1, 1, Disposition.CONFIRMED_FRAUD, LATER)
    assert world.reader.execute("SELECT known_at FROM labels").fetchone() == (to_microseconds(LATER + HOUR),)


def test_a_chargeback_that_agrees_stays_when_the_disposition_is_taken_back(world: World) -> None:
    world.add(scored("t-1", level=RiskLevel.LOW))
    writer = DispositionWriter(world.store, "ana")
    writer.dispose_alert(1, 1, Disposition.CONFIRMED_FRAUD, NOON + HOUR / 2)
    chargeback(world, fraud=True)
    assert label(world) == (1, "chargeback")
    (current,) = current_labels(world.reader).values()
    assert current.known_at == to_microseconds(NOON + HOUR / 2), "known since the disposition"
    with pytest.raises(ContradictedError):
        writer.dispose_alert(1, 2, Disposition.FALSE_POSITIVE, LATER)
    writer.dispose_alert(1, 2, None, LATER)
    assert label(world) == (1, "chargeback")


def test_a_review_that_a_chargeback_overrules_is_audited_as_what_holds(world: World) -> None:
    world.add(scored("t-1"))
    chargeback(world, fraud=True)
    DispositionWriter(world.store, "ana").review(1, True, None, LATER)
    (entry, *_) = audit.latest_entries(world.reader, 1)
    assert (entry.act.before, entry.act.after) == ("fraud", "fraud")
