import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.batches import ScoredTransaction
from data.models import DeadLetterReason, RiskLevel
from data.queries.analytics import (
    CategoryFigures,
    DeadLetterFigures,
    days_to_watermark,
    dead_letter_reasons,
    latency,
    rule_figures,
    top_categories,
    top_reasons,
)
from data.queries.dashboard import dashboard_figures, hours_to_watermark, latest_transactions, watermark
from data.queries.report import alert_totals, label_figures, source_totals
from data.rollups import UNCATEGORISED

from .builders import DAY, HOUR, MINUTE, NOON, World, copy_of, dead_letter, scored

MIDNIGHT = NOON.replace(hour=0)
MICROSECOND = timedelta(microseconds=1)
SOURCE = ("kafka:transactions", "0")


def test_an_empty_store_has_figures_of_nothing(world: World) -> None:
    assert watermark(world.reader) is None
    figures = dashboard_figures(world.reader, NOON)
    assert (figures.as_of, figures.alert_rate_24h, figures.average_latency_ms) == (None, None, None)
    assert (figures.transactions_24h, figures.alerts_24h, figures.open_cases, figures.dead_letters) == (0, 0, 0, 0)
    assert figures.volume_24h == 0
    assert figures.alerts_by_level_24h == tuple((level, 0) for level in RiskLevel)
    assert hours_to_watermark(world.reader, 12) == days_to_watermark(world.reader, 14) == ()
    assert latest_transactions(world.reader, 5) == dead_letter_reasons(world.reader) == ()
    assert top_categories(world.reader, 14, 10) == top_reasons(world.reader, 14, 10) == ()
    assert latency(world.reader) is None
    assert {(rule.hits, rule.share) for rule in rule_figures(world.reader)} == {(0, None)}
    assert source_totals(world.reader, *SOURCE) is None
    assert alert_totals(world.reader, *SOURCE).total == 0
    labels = label_figures(world.reader, *SOURCE)
    assert (labels.labelled, labels.precision, labels.recall, labels.scenarios) == (0, None, None, ())


def test_the_watermark_is_the_latest_of_all_sources(world: World) -> None:
    world.add(dead_letters=[dead_letter(0)], source="file:empty.csv")
    assert watermark(world.reader) is None
    world.add(scored("t-1", at=NOON + HOUR), partition="0")
    world.add(scored("t-2", at=NOON), partition="1")
    world.add(scored("t-3", at=NOON - DAY), source="file:old.csv")
    assert watermark(world.reader) == NOON + HOUR


def test_the_figures_of_24_hours_end_at_the_watermark(world: World) -> None:
    outside = NOON - DAY + MINUTE - MICROSECOND
    world.add(scored("too-old", "card-0", outside, level=RiskLevel.CRITICAL, amount_minor=10**9))
    world.add(
        scored("just-inside", at=NOON - DAY + MINUTE, amount_minor=1),
        scored("low", "card-2", level=RiskLevel.LOW, amount_minor=10),
        scored("critical", "card-3", level=RiskLevel.CRITICAL, amount_minor=100),
        scored("newest", at=NOON, amount_minor=1000),
        codes=("velocity", "high_amount"),
        latency_us=2500,
        dead_letters=[dead_letter(5), dead_letter(6)],
    )
    figures = dashboard_figures(world.reader, NOON)
    assert figures.as_of == NOON
    assert (figures.transactions_24h, figures.volume_24h) == (4, Decimal("11.11"))
    assert (figures.alerts_24h, figures.alert_rate_24h, figures.velocity_alerts_24h) == (2, 0.5, 2)
    assert [count for _, count in figures.alerts_by_level_24h] == [1, 0, 0, 1]
    assert (figures.average_latency_ms, figures.critical_unreviewed, figures.dead_letters) == (2.5, 2, 2)


def test_open_cases_and_breaches_are_judged_by_the_clock(world: World) -> None:
    for card in ("a", "b", "c"):
        world.add(scored(f"t-{card}", card, level=RiskLevel.CRITICAL))
    world.end_case("c", "resolved")
    at_due = dashboard_figures(world.reader, NOON + 2 * HOUR)
    assert (at_due.open_cases, at_due.sla_breached) == (2, 0)
    assert dashboard_figures(world.reader, NOON + 2 * HOUR + MICROSECOND).sla_breached == 2


def test_hours_without_traffic_are_zeros(world: World) -> None:
    world.add(
        scored("t-1", at=NOON - 3 * HOUR),
        scored("t-2", at=NOON - 2 * HOUR - MICROSECOND, level=RiskLevel.LOW),
        scored("t-3", at=NOON + HOUR - MICROSECOND),
    )
    hours = hours_to_watermark(world.reader, 4)
    assert [each.hour for each in hours] == [NOON - n * HOUR for n in (3, 2, 1, 0)]
    assert [(each.transactions, each.alerts) for each in hours] == [(2, 1), (0, 0), (0, 0), (1, 0)]
    assert hours_to_watermark(world.reader, 1) == hours[-1:]


def test_days_end_with_the_watermarks_and_have_zeros(world: World) -> None:
    world.add(
        scored("t-1", at=MIDNIGHT - 2 * DAY, amount_minor=5, level=RiskLevel.HIGH),
        scored("t-2", at=MIDNIGHT - DAY - MICROSECOND, amount_minor=7),
        scored("t-3", at=MIDNIGHT, amount_minor=11),
    )
    days = days_to_watermark(world.reader, 3)
    assert [each.day for each in days] == [MIDNIGHT - 2 * DAY, MIDNIGHT - DAY, MIDNIGHT]
    assert [(each.transactions, each.alerts) for each in days] == [(2, 1), (0, 0), (1, 0)]
    assert [each.volume for each in days] == [Decimal("0.12"), 0, Decimal("0.11")]
    assert [each.alert_volume for each in days] == [Decimal("0.05"), 0, 0]
    assert len(days_to_watermark(world.reader, 14)) == 14


@pytest.mark.parametrize("as_of", [MIDNIGHT, NOON, MIDNIGHT + DAY - MICROSECOND])
def test_categories_and_reasons_cover_the_same_days_as_the_trend(world: World, as_of: object) -> None:
    world.add(scored("before", at=MIDNIGHT - DAY - MICROSECOND, level=RiskLevel.LOW, merchant_category="jewellery"))
    world.add(scored("first", at=MIDNIGHT - DAY, level=RiskLevel.LOW, merchant_category="travel"), codes=("velocity",))
    world.add(scored("last", at=as_of, merchant_category=None))
    assert [each.category for each in top_categories(world.reader, 2, 10)] == ["travel", UNCATEGORISED]
    assert top_reasons(world.reader, 2, 10) == (("velocity", 1),)
    assert sum(each.transactions for each in days_to_watermark(world.reader, 2)) == 2
    assert top_reasons(world.reader, 1, 10) == ()


def test_categories_and_reasons_are_ordered_by_alerts_and_limited(world: World) -> None:
    def rows(category: str, count: int, level: RiskLevel | None) -> list:
        return [scored(f"{category}-{level}-{n}", level=level, merchant_category=category) for n in range(count)]

    world.add(*rows("travel", 2, RiskLevel.LOW), codes=("b", "a"))
    world.add(*rows("grocery", 3, None))
    world.add(*rows("fuel", 4, None), *rows("fuel", 1, RiskLevel.LOW), codes=("c", "a"))
    assert top_categories(world.reader, 1, 2) == (
        CategoryFigures("travel", 2, Decimal(20), 2),
        CategoryFigures("fuel", 5, Decimal(50), 1),
    )
    assert top_reasons(world.reader, 1, 10) == (("a", 3), ("b", 2), ("c", 1))
    assert top_reasons(world.reader, 1, 1) == (("a", 3),)


def test_the_feed_is_by_arrival(world: World) -> None:
    world.add(scored("t-1"), scored("t-2", at=NOON - DAY, level=RiskLevel.HIGH, amount_minor=1))
    feed = latest_transactions(world.reader, 5)
    assert [(row.seq, row.level, row.amount) for row in feed] == [
        (2, RiskLevel.HIGH, Decimal("0.01")),
        (1, None, Decimal(10)),
    ]
    assert latest_transactions(world.reader, 1) == feed[:1]


def nearest_rank(latencies: list[int], share: Fraction) -> int:
    return sorted(latencies)[math.ceil(share * len(latencies)) - 1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 30)), min_size=1, max_size=8))
def test_percentiles_are_bounds_at_most_19_percent_above(template: Path, batches: list[tuple[int, int]]) -> None:
    latencies = [latency_us for latency_us, count in batches for _ in range(count)]
    with copy_of(template) as world:
        for n, (latency_us, count) in enumerate(batches):
            world.add(*(scored(f"t-{n}-{m}") for m in range(count)), latency_us=latency_us)
        figures = latency(world.reader)
    assert figures is not None
    assert figures.transactions == len(latencies)
    assert figures.average == pytest.approx(sum(latencies) / len(latencies) / 1000)
    for share, found in ((50, figures.p50), (95, figures.p95), (99, figures.p99)):
        exact = nearest_rank(latencies, Fraction(share, 100)) / 1000
        assert exact * (1 - 1e-9) <= found <= exact * 1.19


def test_latency_forgets_what_is_older_than_24_hours_of_traffic(world: World) -> None:
    world.add(scored("slow", at=NOON - DAY), latency_us=10**9)
    world.add(scored("fast", at=NOON - DAY + HOUR), scored("faster"), latency_us=1000)
    figures = latency(world.reader)
    assert figures is not None
    assert (figures.transactions, figures.average) == (2, 1.0)
    assert figures.p99 < 1.2


def test_dead_letters_are_counted_by_reason(world: World) -> None:
    reasons = [DeadLetterReason.NOT_JSON, DeadLetterReason.EMPTY, DeadLetterReason.NOT_JSON, DeadLetterReason.OVERSIZED]
    world.add(dead_letters=[dead_letter(n, reason=reason) for n, reason in enumerate(reasons)])
    assert dead_letter_reasons(world.reader) == (
        DeadLetterFigures("not_json", 2),
        DeadLetterFigures("empty", 1),
        DeadLetterFigures("oversized", 1),
    )


def test_rules_come_with_the_share_of_transactions_they_hit(world: World) -> None:
    world.add(*(scored(f"t-{n}") for n in range(4)), rule_hits={"high_amount": 3, "night_hours": 1, "no such rule": 9})
    figures = rule_figures(world.reader)
    assert [(rule.rule_id, rule.hits, rule.share) for rule in figures[:3]] == [
        ("high_amount", 3, 0.75),
        ("night_hours", 1, 0.25),
        ("anonymised_location", 0, 0.0),
    ]
    assert all(rule.active for rule in figures)


def test_a_report_counts_one_source_alone(world: World) -> None:
    world.add(
        scored("t-1", "a", level=RiskLevel.HIGH),
        scored("t-2", "a", level=RiskLevel.CRITICAL),
        scored("t-3", "b", level=RiskLevel.LOW, late=1),
        scored("t-4", "b"),
        codes=("velocity", "high_amount"),
        dead_letters=[dead_letter(4), dead_letter(5, reason=DeadLetterReason.EMPTY), dead_letter(6)],
        duplicates=2,
    )
    world.add(scored("u-1", "a", level=RiskLevel.HIGH), scored("u-2", "c", level=RiskLevel.HIGH), source="file:b")
    totals = source_totals(world.reader, *SOURCE)
    assert totals is not None
    assert (totals.transactions, totals.duplicates, totals.dead_letters, totals.late) == (4, 2, 3, 1)
    assert totals.dead_letter_reasons == (("not_json", 2), ("empty", 1))
    alerts = alert_totals(world.reader, *SOURCE)
    assert (alerts.total, alerts.cases_opened) == (3, 1)
    assert dict(alerts.by_level) == dict(zip(RiskLevel, (1, 0, 1, 1), strict=True))
    assert alerts.top_reasons == (("high_amount", 3), ("velocity", 3))
    assert alert_totals(world.reader, "file:b", "0").cases_opened == 1


def test_the_digest_of_a_report_tells_any_other_outcome(template: Path) -> None:
    def digest(*changes: dict[str, object]) -> str:
        with copy_of(template) as world:
            for n, change in enumerate(changes):
                world.add(scored(f"t-{n}", level=RiskLevel.HIGH, **change))
            return alert_totals(world.reader, *SOURCE).digest

    assert digest({}, {}) == digest({}, {})
    assert len({digest(), digest({}), digest({}, {}), digest({"score": 0.71}), digest({"level_rank": 4})}) == 5


def test_labels_judge_the_alerts_by_scenario(world: World) -> None:
    def labelled(name: str, fraud: int | None, kind: str | None, level: RiskLevel | None) -> object:
        return scored(name, is_fraud=fraud, scenario=kind, level=level)

    world.add(
        labelled("a", 1, "burst", RiskLevel.LOW),
        labelled("b", 1, "burst", None),
        labelled("c", 1, None, RiskLevel.HIGH),
        labelled("d", 0, None, RiskLevel.LOW),
        labelled("e", 0, "ignored", None),
        labelled("f", None, None, RiskLevel.CRITICAL),
    )
    figures = label_figures(world.reader, *SOURCE)
    assert (figures.labelled, figures.frauds, figures.frauds_alerted, figures.honest_alerted) == (5, 3, 2, 1)
    assert (figures.precision, figures.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    by_name = {each.scenario: each for each in figures.scenarios}
    assert set(by_name) == {"burst", "unnamed"}
    assert (by_name["burst"].recall, by_name["burst"].precision) == (0.5, 0.5)
    assert by_name["unnamed"].recall == 1.0


def test_an_attack_is_the_frauds_of_a_scenario_on_a_card_until_two_days_pass_without_one(world: World) -> None:
    def fraud(name: str, card: str, hours: float, level: RiskLevel | None, kind: str = "burst") -> ScoredTransaction:
        return scored(name, card=card, at=NOON + timedelta(hours=hours), is_fraud=1, scenario=kind, level=level)

    rows = [
        fraud("missed-1", "a", 0, None),
        fraud("missed-2", "a", 1, None),
        fraud("caught-late", "a", 3, RiskLevel.LOW),
        fraud("caught-again", "a", 50, RiskLevel.HIGH),
        fraud("missed-attack", "a", 99, None),
        fraud("caught-at-once", "b", 1, RiskLevel.LOW),
        fraud("other-kind", "b", 2, None, kind="takeover"),
    ]
    world.add(*rows)
    burst, takeover = label_figures(world.reader, *SOURCE).scenarios
    assert (burst.frauds, burst.alerted, burst.attacks, burst.attacks_caught) == (6, 3, 3, 2)
    assert burst.attack_recall == pytest.approx(2 / 3)
    assert (burst.first_alert_at, burst.first_alert_after_us) == (2.0, 1.5 * 3_600e6)
    assert (takeover.attacks, takeover.attacks_caught) == (1, 0)
    assert (takeover.first_alert_at, takeover.first_alert_after_us) == (None, None)
