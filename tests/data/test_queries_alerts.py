from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dispositions import DispositionWriter
from data.models import AlertStatus, Anomaly, CasePriority, CaseStatus, Disposition, RiskLevel
from data.queries.alerts import (
    AlertFilter,
    AlertRow,
    alert,
    alert_total,
    latest_alerts,
    newer_alert_total,
    undisposed,
    undisposed_of_case,
    unreviewed_critical_total,
)
from data.queries.cases import case, case_activities, case_comments, case_totals, cases_by_urgency, cases_of_card
from data.timestamps import to_microseconds

from .builders import DAY, HOUR, MINUTE, NOON, World, copy_of, scored

ANY = AlertFilter()


def execute(world: World, statement: str, parameters: Sequence[object] = ()) -> None:
    connection = world.writer.connection
    with world.store.transaction(connection):
        connection.execute(statement, parameters)


def ids(rows: Sequence[AlertRow]) -> list[int]:
    return [row.id for row in rows]


def test_an_empty_store_has_no_alerts_and_no_cases(world: World) -> None:
    assert latest_alerts(world.reader, ANY, 10) == ()
    assert latest_alerts(world.reader, ANY, 10, before_id=5) == ()
    assert alert_total(world.reader, ANY) == 0
    assert newer_alert_total(world.reader, ANY, 0) == unreviewed_critical_total(world.reader) == 0
    assert alert(world.reader, 1) is None
    assert case(world.reader, 1) is None
    assert cases_by_urgency(world.reader, None, 10) == cases_of_card(world.reader, "card-1", 10) == ()
    assert case_activities(world.reader, 1) == case_comments(world.reader, 1) == ()
    totals = case_totals(world.reader, NOON)
    assert (totals.total, totals.active, totals.resolved, totals.sla_breached) == (0, 0, 0, 0)
    assert totals.average_resolution_hours is None
    assert totals.by_status == tuple((status, 0) for status in CaseStatus)


def test_an_alert_line_shows_its_transaction_and_case(world: World) -> None:
    world.add(scored("t-0"))
    world.add(
        scored("t-1", card="card-9", at=NOON + MINUTE, level=RiskLevel.HIGH, amount_minor=123456, location="Oslo"),
        codes=("velocity", "high_amount"),
    )
    (row,) = latest_alerts(world.reader, ANY, 10)
    assert row == AlertRow(
        id=1,
        event_time=NOON + MINUTE,
        transaction_id="t-1",
        card_id="card-9",
        amount=Decimal("1234.56"),
        currency="EUR",
        location="Oslo",
        merchant_category="grocery",
        score=pytest.approx(0.7),
        level=RiskLevel.HIGH,
        status=AlertStatus.NEW,
        disposition=None,
        reason_codes=("velocity", "high_amount"),
        case_number="CASE-20260314-00001",
        version=1,
    )


def test_alerts_without_a_disposition_are_found_among_others_and_counted_in_their_case(world: World) -> None:
    world.add(*(scored(f"t-{n}", level=RiskLevel.HIGH) for n in range(4)))
    writer = DispositionWriter(world.store, "ana")
    writer.dispose_alert(2, 1, Disposition.INCONCLUSIVE, NOON)
    assert undisposed(world.reader, (1, 2, 4, 99)) == {1, 4}
    assert undisposed(world.reader, ()) == frozenset()
    assert undisposed_of_case(world.reader, 1) == 3
    row = latest_alerts(world.reader, ANY, 10)[2]
    assert (row.id, row.status, row.disposition, row.version) == (2, AlertStatus.RESOLVED, Disposition.INCONCLUSIVE, 2)


def test_one_alert_comes_with_its_evidence(world: World) -> None:
    world.add(scored("t-0"), scored("t-1", level=RiskLevel.MEDIUM, velocity=6, model_score=0.33), now=NOON + MINUTE)
    found = alert(world.reader, 1)
    assert found is not None
    assert (found.alert_id, found.transaction_id, found.level) == ("alert-t-1", "t-1", RiskLevel.MEDIUM)
    assert (found.velocity, found.model_score, found.created_at) == (6, 0.33, NOON + MINUTE)
    assert (found.case_id, found.case_number, found.disposition, found.version) == (None, None, None, 1)
    assert [reason.code for reason in found.reasons] == ["high_amount"]
    assert [(each.feature, each.share) for each in found.contributions] == [("amount", 0.25)]
    assert found.anomaly == Anomaly(base=0.25, score=0.5)
    assert (found.baseline.transactions, found.baseline.last_seen) == (3, NOON)


def test_an_alert_of_an_earlier_version_opens_without_what_its_evidence_lacks(world: World) -> None:
    world.add(scored("t-0", level=RiskLevel.LOW))
    execute(world, "UPDATE alerts SET evidence = json_remove(evidence, '$.anomaly')")
    found = alert(world.reader, 1)
    assert found is not None
    assert found.anomaly is None
    assert [each.feature for each in found.contributions] == ["amount"]


def test_filters_totals_and_counts_agree(world: World) -> None:
    levels = list(RiskLevel)
    world.add(*(scored(f"t-{n}", card=f"card-{n % 3}", level=levels[n % 4]) for n in range(24)))
    execute(world, "UPDATE alerts SET status = 'reviewing' WHERE id % 5 = 0")
    every = latest_alerts(world.reader, ANY, 100)
    case_ids = {row.id: found.case_id for row in every if (found := alert(world.reader, row.id)) is not None}
    choices = product((None, *RiskLevel), (None, *AlertStatus), (None, "card-1", "nobody"), (None, 1, 99))
    for level, status, card_id, case_id in choices:
        only = AlertFilter(level, status, card_id, case_id)
        expected = [
            row
            for row in every
            if level in (None, row.level)
            and status in (None, row.status)
            and card_id in (None, row.card_id)
            and case_id in (None, case_ids[row.id])
        ]
        assert list(latest_alerts(world.reader, only, 100)) == expected
        assert alert_total(world.reader, only) == len(expected)
        assert newer_alert_total(world.reader, only, 10) == sum(row.id > 10 for row in expected)
    critical = AlertFilter(RiskLevel.CRITICAL, AlertStatus.NEW)
    assert unreviewed_critical_total(world.reader) == alert_total(world.reader, critical) == 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 4), st.sampled_from([None, RiskLevel.LOW]))
def test_paging_gives_each_alert_once_while_new_ones_arrive(
    template: Path, arrivals: list[int], page: int, level: RiskLevel | None
) -> None:
    only = AlertFilter(level=level)
    with copy_of(template) as world:
        world.add(*(scored(f"old-{n}", level=(RiskLevel.LOW, RiskLevel.HIGH)[n % 2]) for n in range(11)))
        wanted = ids(latest_alerts(world.reader, only, 100))
        seen: list[int] = []
        before_id = None
        while len(seen) <= len(wanted) and (rows := latest_alerts(world.reader, only, page, before_id)):
            seen += ids(rows)
            before_id = rows[-1].id
            count = arrivals.pop() if arrivals else 0
            world.add(*(scored(f"new-{len(seen)}-{n}", level=RiskLevel.LOW) for n in range(count)))
        assert seen == wanted


def case_at(world: World, card: str, level: RiskLevel, now: datetime) -> int:
    world.add(scored(f"t-{card}", card, now, level=level), now=now)
    return cases_of_card(world.reader, card, 1)[0].id


def test_urgency_is_the_soonest_due_then_the_latest_ended(world: World) -> None:
    high = case_at(world, "high", RiskLevel.HIGH, NOON)
    later_critical = case_at(world, "later", RiskLevel.CRITICAL, NOON + 7 * HOUR)
    critical = case_at(world, "critical", RiskLevel.CRITICAL, NOON)
    first_ended = case_at(world, "first", RiskLevel.CRITICAL, NOON)
    last_ended = case_at(world, "last", RiskLevel.CRITICAL, NOON - DAY)
    world.end_case("first", "resolved", NOON + HOUR)
    world.end_case("last", "closed", NOON + 2 * HOUR)
    order = [critical, high, later_critical, last_ended, first_ended]
    assert [each.id for each in cases_by_urgency(world.reader, None, 10)] == order
    assert [each.id for each in cases_by_urgency(world.reader, None, 2)] == order[:2]
    assert [each.id for each in cases_by_urgency(world.reader, CaseStatus.OPEN, 10)] == order[:3]
    assert [each.id for each in cases_by_urgency(world.reader, CaseStatus.CLOSED, 10)] == [last_ended]
    assert cases_by_urgency(world.reader, CaseStatus.ESCALATED, 10) == ()


def test_case_totals_count_states_and_breaches(world: World) -> None:
    for card in ("open", "in-time", "late", "closed"):
        case_at(world, card, RiskLevel.CRITICAL, NOON)
    world.end_case("in-time", "resolved", NOON + HOUR)
    world.end_case("late", "resolved", NOON + 3 * HOUR)
    world.end_case("closed", "closed", NOON + 2 * HOUR)
    at_due = case_totals(world.reader, NOON + 2 * HOUR)
    assert (at_due.total, at_due.active, at_due.resolved, at_due.sla_breached) == (4, 1, 3, 1)
    assert at_due.average_resolution_hours == pytest.approx(2.0)
    assert dict(at_due.by_status)[CaseStatus.RESOLVED] == 2
    after = NOON + 2 * HOUR + MINUTE
    assert case_totals(world.reader, after).sla_breached == 2
    every = cases_by_urgency(world.reader, None, 10)
    assert sum(each.is_breached(after) for each in every) == 2


def test_a_timeline_and_its_comments_are_in_order_and_of_that_case_alone(world: World) -> None:
    first = case_at(world, "one", RiskLevel.HIGH, NOON)
    case_at(world, "two", RiskLevel.HIGH, NOON)
    world.add(scored("t-3", "one", level=RiskLevel.CRITICAL), now=NOON + HOUR)
    for text in ("called the cardholder", "[/red] no answer"):
        execute(
            world,
            "INSERT INTO case_comments (case_id, author, at, visibility, text) VALUES (?, 'ana', ?, 'internal', ?)",
            (first, to_microseconds(NOON), text),
        )
    activities = case_activities(world.reader, first)
    assert [(each.type.value, each.actor, each.at) for each in activities] == [
        ("created", "engine", NOON),
        ("escalated", "engine", NOON + HOUR),
    ]
    assert [each.text for each in case_comments(world.reader, first)] == ["called the cardholder", "[/red] no answer"]
    found = case(world.reader, first)
    assert found is not None
    assert found.priority is CasePriority.CRITICAL
