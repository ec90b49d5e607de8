from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.case_opening import SLA_HOURS, category_of
from data.models import ActivityType, Case, CaseCategory, CasePriority, CaseStatus, RiskLevel
from data.queries.cases import case_activities, cases_of_card
from data.queries.rows import money

from .builders import DAY, HOUR, NOON, World, copy_of, scored

ids = iter(range(10**9))


def alert(world: World, level: RiskLevel, card: str = "card-1", now: datetime = NOON, amount_minor: int = 1000) -> int:
    """One alert on the card; returns how many cases it opened."""
    row = scored(f"t-{next(ids)}", card, now, level=level, amount_minor=amount_minor)
    return world.add(row, now=now).cases_opened


def only_case(world: World, card: str = "card-1") -> Case:
    (case,) = cases_of_card(world.reader, card, 10)
    return case


@pytest.mark.parametrize("level", [RiskLevel.LOW, RiskLevel.MEDIUM])
def test_a_low_or_medium_alert_opens_no_case_and_joins_none(world: World, level: RiskLevel) -> None:
    assert alert(world, level) == 0
    assert cases_of_card(world.reader, "card-1", 10) == ()
    alert(world, RiskLevel.HIGH)
    before = only_case(world)
    alert(world, level)
    assert only_case(world) == before
    joined = world.reader.execute("SELECT case_id IS NOT NULL FROM alerts ORDER BY id").fetchall()
    assert joined == [(0,), (1,), (0,)]


@pytest.mark.parametrize(
    ("level", "priority", "hours"),
    [(RiskLevel.HIGH, CasePriority.HIGH, 8), (RiskLevel.CRITICAL, CasePriority.CRITICAL, 2)],
)
def test_a_case_is_opened_with_the_priority_and_time_allowed_of_its_alert(
    world: World, level: RiskLevel, priority: CasePriority, hours: int
) -> None:
    assert alert(world, level, amount_minor=12345) == 1
    case = only_case(world)
    assert (case.status, case.priority, case.sla_due_at) == (CaseStatus.OPEN, priority, NOON + hours * HOUR)
    assert (case.total_amount, case.potential_loss, case.recovered_amount) == (Decimal("123.45"),) * 2 + (Decimal(0),)
    assert (case.alerts, case.version, case.opened_at, case.assignee) == (1, 1, NOON, None)


def test_the_time_allowed_shrinks_with_priority() -> None:
    assert [SLA_HOURS[priority] for priority in CasePriority] == [72, 24, 8, 2]


def test_alerts_of_one_card_in_one_batch_join_one_case(world: World) -> None:
    rows = [scored(f"t-{n}", card=f"card-{n % 2}", level=RiskLevel.HIGH) for n in range(10)]
    assert world.add(*rows).cases_opened == 2
    assert {only_case(world, card).alerts for card in ("card-0", "card-1")} == {5}


def test_a_critical_alert_raises_a_high_case_and_shortens_its_time(world: World) -> None:
    alert(world, RiskLevel.HIGH)
    alert(world, RiskLevel.CRITICAL, now=NOON + HOUR)
    case = only_case(world)
    assert (case.priority, case.sla_due_at, case.alerts) == (CasePriority.CRITICAL, NOON + 3 * HOUR, 2)
    assert case.updated_at == NOON + HOUR
    types = [(activity.type, activity.at) for activity in case_activities(world.reader, case.id)]
    assert types == [(ActivityType.CREATED, NOON), (ActivityType.ESCALATED, NOON + HOUR)]


def test_a_critical_alert_near_the_end_never_lengthens_the_time(world: World) -> None:
    alert(world, RiskLevel.HIGH)
    alert(world, RiskLevel.CRITICAL, now=NOON + 7 * HOUR)
    assert only_case(world).sla_due_at == NOON + 8 * HOUR


def test_a_high_alert_changes_neither_priority_nor_time_of_a_critical_case(world: World) -> None:
    alert(world, RiskLevel.CRITICAL)
    alert(world, RiskLevel.HIGH, now=NOON + HOUR)
    case = only_case(world)
    assert (case.priority, case.sla_due_at, case.alerts, case.version) == (
        CasePriority.CRITICAL,
        NOON + 2 * HOUR,
        2,
        2,
    )
    assert [activity.type for activity in case_activities(world.reader, case.id)] == [ActivityType.CREATED]


@pytest.mark.parametrize("status", ["investigating", "pending_info", "escalated"])
def test_a_case_that_is_being_worked_takes_alerts_and_keeps_its_status(world: World, status: str) -> None:
    alert(world, RiskLevel.HIGH)
    connection = world.writer.connection
    with world.store.transaction(connection):
        connection.execute("UPDATE cases SET status = ?, assignee = 'ana'", (status,))
    assert alert(world, RiskLevel.CRITICAL) == 0
    case = only_case(world)
    assert (case.status, case.assignee, case.alerts) == (CaseStatus(status), "ana", 2)


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_an_alert_after_the_end_opens_another_case(world: World, status: str) -> None:
    alert(world, RiskLevel.HIGH, amount_minor=700)
    world.end_case("card-1", status)
    assert alert(world, RiskLevel.HIGH, now=NOON + HOUR, amount_minor=50) == 1
    newest, ended = cases_of_card(world.reader, "card-1", 10)
    assert (ended.status, ended.total_amount, ended.alerts) == (CaseStatus(status), Decimal(7), 1)
    assert (newest.status, newest.total_amount, newest.alerts) == (CaseStatus.OPEN, Decimal("0.50"), 1)


def test_numbers_run_from_one_each_day(world: World) -> None:
    for n in range(3):
        alert(world, RiskLevel.HIGH, card=f"today-{n}")
    alert(world, RiskLevel.HIGH, card="tomorrow", now=NOON + DAY)
    alert(world, RiskLevel.HIGH, card="today-again")
    assert [number for (number,) in world.reader.execute("SELECT number FROM cases ORDER BY id")] == [
        "CASE-20260314-00001",
        "CASE-20260314-00002",
        "CASE-20260314-00003",
        "CASE-20260315-00001",
        "CASE-20260314-00004",
    ]


def test_numbers_go_on_past_five_digits(world: World) -> None:
    connection = world.writer.connection
    with world.store.transaction(connection):
        connection.execute("INSERT INTO case_numbers VALUES ('20260314', 99998)")
    for card in ("a", "b", "c"):
        alert(world, RiskLevel.HIGH, card=card)
    numbers = [number for (number,) in world.reader.execute("SELECT number FROM cases ORDER BY id")]
    assert numbers == ["CASE-20260314-99999", "CASE-20260314-100000", "CASE-20260314-100001"]


def test_a_batch_that_fails_uses_up_no_number(world: World) -> None:
    bad = [scored("t-1", level=RiskLevel.HIGH), scored("t-1", level=RiskLevel.HIGH)]
    with pytest.raises(Exception, match="UNIQUE"):
        world.add(*bad)
    alert(world, RiskLevel.HIGH)
    assert only_case(world).number == "CASE-20260314-00001"


def test_the_day_of_a_number_is_the_utc_day(world: World) -> None:
    already_tomorrow_there = datetime(2026, 3, 14, 22, 0, tzinfo=UTC).astimezone(timezone(timedelta(hours=5)))
    alert(world, RiskLevel.HIGH, now=already_tomorrow_there)
    assert only_case(world).number == "CASE-20260314-00001"


@pytest.mark.parametrize(
    ("codes", "category"),
    [
        (("high_amount",), CaseCategory.SUSPICIOUS_ACTIVITY),
        (("velocity",), CaseCategory.VELOCITY_FRAUD),
        (("velocity_burst", "card_testing"), CaseCategory.CARD_TESTING),
        (("impossible_travel", "velocity"), CaseCategory.VELOCITY_FRAUD),
        (("anonymised_location", "high_amount"), CaseCategory.IDENTITY_THEFT),
        ((), CaseCategory.SUSPICIOUS_ACTIVITY),
    ],
)
def test_the_reasons_decide_the_category(codes: tuple[str, ...], category: CaseCategory) -> None:
    assert category_of(codes) is category


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("alert"),
            st.sampled_from(["card-a", "card-b"]),
            st.sampled_from(list(RiskLevel)),
            st.integers(0, 10**14),
        ),
        st.tuples(st.just("end"), st.sampled_from(["card-a", "card-b"]), st.sampled_from(["resolved", "closed"])),
    ),
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_any_history_of_alerts_and_endings_keeps_the_cases_right(template: Path, history: list[tuple]) -> None:
    active: dict[str, list[tuple[RiskLevel, int]]] = {}
    due: dict[str, datetime] = {}
    ended = opened = escalated = 0
    with copy_of(template) as world:
        for hours, step in enumerate(history):
            now = NOON + timedelta(hours=hours)
            if step[0] == "end":
                _, card, status = step
                assert world.end_case(card, status, now) == (card in active)
                ended += active.pop(card, None) is not None
                continue
            _, card, level, amount_minor = step
            expected = level.rank >= RiskLevel.HIGH.rank and card not in active
            assert alert(world, level, card, now, amount_minor) == expected
            opened += expected
            if level.rank >= RiskLevel.HIGH.rank:
                allowed = now + HOUR * (2 if level is RiskLevel.CRITICAL else 8)
                raised = card in active and level.rank > max(each.rank for each, _ in active[card])
                escalated += raised
                due[card] = allowed if expected else min(due[card], allowed) if raised else due[card]
                active.setdefault(card, []).append((level, amount_minor))
        for card, alerts in active.items():
            case = cases_of_card(world.reader, card, 1)[0]
            assert case.status.is_active
            assert case.total_amount == case.potential_loss == money(sum(amount for _, amount in alerts))
            assert case.alerts == case.version == len(alerts)
            assert case.priority.value == max(alerts, key=lambda each: each[0].rank)[0].value.lower()
            assert case.sla_due_at == due[card]
        execute = world.reader.execute
        assert execute("SELECT count(*) FROM cases").fetchone() == (opened,)
        assert execute("SELECT count(*) FROM cases WHERE status IN ('resolved', 'closed')").fetchone() == (ended,)
        mismatched = (
            "SELECT c.number FROM cases c LEFT JOIN alerts a ON a.case_id = c.id GROUP BY c.id "
            "HAVING sum(a.amount_minor) IS NOT c.total_amount_minor OR count(a.id) <> c.alerts "
            "OR min(a.card_id) <> c.card_id OR max(a.card_id) <> c.card_id OR max(a.level_rank) <> c.priority_rank"
        )
        assert execute(mismatched).fetchall() == []
        activities = execute("SELECT case_id, type FROM case_activities").fetchall()
        assert sorted(activities, key=lambda each: each[1])[:opened] == [(n + 1, "created") for n in range(opened)]
        assert [kind for _, kind in activities].count("escalated") == escalated == len(activities) - opened
