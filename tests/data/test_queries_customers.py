from decimal import Decimal
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.models import RiskLevel
from data.queries.customers import (
    card_transactions,
    customer,
    customer_total,
    customers_starting_with,
    riskiest_customers,
)
from data.queries.recovery import rules
from data.schema import DEFAULT_RULES

from .builders import DAY, HOUR, NOON, World, copy_of, scored

LAST = "\U0010ffff"
card_ids = st.text(alphabet=f"aA%_*\\'é\u4e2d\ud7ff\ue000\uffff{LAST}\x00 ", min_size=1, max_size=4)


def test_an_empty_store_has_no_customers(world: World) -> None:
    assert riskiest_customers(world.reader, 10) == customers_starting_with(world.reader, "", 10) == ()
    assert customer_total(world.reader, "") == customer_total(world.reader, "card") == 0
    assert customer(world.reader, "card-1") is None
    assert card_transactions(world.reader, "card-1", 10) == ()


@settings(max_examples=30, deadline=None)
@given(st.sets(card_ids, min_size=1, max_size=12), st.lists(card_ids, max_size=4))
@example({"%", "%a", "_", "a", "ab"}, ["%", "_", "a"])
@example({LAST, LAST * 2, f"a{LAST}", f"a{LAST}{LAST}", "b"}, [LAST, f"a{LAST}", "a"])
@example({"a", "a" + LAST * 127, "b"}, ["a"])
def test_a_prefix_finds_just_the_cards_that_start_with_it(template: Path, cards: set[str], prefixes: list[str]) -> None:
    with copy_of(template) as world:
        world.add(*(scored(f"t-{n}", card) for n, card in enumerate(sorted(cards))))
        for prefix in ["", *prefixes, *(card[:1] for card in cards), *cards]:
            expected = sorted(card for card in cards if card.startswith(prefix))
            found = [each.card_id for each in customers_starting_with(world.reader, prefix, 100)]
            assert found == expected
            assert customer_total(world.reader, prefix) == len(expected)
            assert [each.card_id for each in customers_starting_with(world.reader, prefix, 2)] == expected[:2]


def test_the_riskiest_come_first_by_level_then_score(world: World) -> None:
    world.add(
        scored("t-1", "medium-low-score", level=RiskLevel.MEDIUM, score=0.55),
        scored("t-2", "critical", level=RiskLevel.CRITICAL, score=0.5),
        scored("t-3", "medium-high-score", level=RiskLevel.MEDIUM, score=0.69),
        scored("t-4", "none", score=0.99),
    )
    order = ["critical", "medium-high-score", "medium-low-score", "none"]
    assert [each.card_id for each in riskiest_customers(world.reader, 10)] == order
    assert [each.card_id for each in riskiest_customers(world.reader, 2)] == order[:2]


def test_a_customer_is_the_running_total_of_the_card(world: World) -> None:
    world.add(scored("t-1", amount_minor=101, customer_id="cust-1", location="Oslo"))
    world.add(
        scored("t-2", at=NOON + HOUR, amount_minor=99, level=RiskLevel.HIGH, score=0.8, location="Bergen"),
        scored("t-3", at=NOON - DAY, level=RiskLevel.LOW, score=0.5, amount_minor=0, location="Paris"),
        scored("t-4", card="other", amount_minor=10**6),
    )
    found = customer(world.reader, "card-1")
    assert found is not None
    assert (found.customer_id, found.transactions, found.spent, found.alerts) == ("cust-1", 3, Decimal(2), 2)
    assert (found.highest_score, found.highest_level) == (0.8, RiskLevel.HIGH)
    assert (found.first_seen, found.last_seen, found.last_location) == (NOON - DAY, NOON + HOUR, "Bergen")
    other = customer(world.reader, "other")
    assert other is not None
    assert other.highest_level is None


def test_a_cards_transactions_are_by_event_time_newest_first(world: World) -> None:
    world.add(scored("late", at=NOON - DAY), scored("new", at=NOON + HOUR, level=RiskLevel.LOW), scored("mid"))
    world.add(scored("other", card="card-2"))
    found = card_transactions(world.reader, "card-1", 10)
    assert [(row.transaction_id, row.level) for row in found] == [
        ("new", RiskLevel.LOW),
        ("mid", None),
        ("late", None),
    ]
    assert card_transactions(world.reader, "card-1", 2) == found[:2]


def test_the_default_rules_are_read_back_as_they_are_defined(world: World) -> None:
    found = {
        rule.id: (
            rule.id,
            rule.name,
            rule.type,
            rule.threshold,
            rule.window_seconds,
            rule.parameter,
            rule.weight,
            rule.action,
            rule.description,
        )
        for rule in rules(world.reader)
    }
    assert found == {rule[0]: rule for rule in DEFAULT_RULES}
    assert all(rule.active and rule.version == 1 and rule.hits == 0 for rule in rules(world.reader))
