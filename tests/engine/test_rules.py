import pytest

from data.models import Rule, RuleAction, RuleType
from data.schema import DEFAULT_RULES
from engine.features import Event, FeatureState, Observation
from engine.rules import Evidence, RuleSet, explain
from engine.scoring import HONEST_TRAFFIC, Thresholds, reasons_of

SECOND = 1_000_000
NOON = 1_772_452_800 * SECOND
"""2026-03-02T12:00:00Z."""


def default_rules(*, active: bool = True) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            id=id_, name=name, type=RuleType(type_), threshold=threshold, window_seconds=window, parameter=parameter,
            weight=weight, action=RuleAction(action), active=active, version=1, hits=0, description=description,
        )
        for id_, name, type_, threshold, window, parameter, weight, action, description in DEFAULT_RULES
    )  # fmt: skip


def observed(event: Event, **changes: object) -> Observation:
    observation = FeatureState(60, 2.0, 600).observe(event)
    return observation._replace(**changes)  # type: ignore[arg-type]  # the fields are named by each test


def hits(
    *, amount: float = 20.0, time: int = NOON, location: str | None = None, model_score: float = 0.0,
    category: str = "grocery", **changes: object,
) -> dict[str, float | str]:  # fmt: skip
    event = Event("card", amount, time, None, None, category != "online", None, category)
    evidence = Evidence(event, observed(event, **changes), location, model_score)
    return {hit.rule.id: hit.value for hit in RuleSet(default_rules()).evaluate(evidence)}


def test_an_ordinary_transaction_hits_no_rule() -> None:
    assert hits() == {}


@pytest.mark.parametrize(("velocity", "fires"), [(5, False), (6, True)])
def test_velocity_burst_is_more_than_five(velocity: int, fires: bool) -> None:
    assert hits(velocity=velocity) == ({"velocity_burst": velocity} if fires else {})


@pytest.mark.parametrize(("amount", "fires"), [(4999.99, False), (5000.0, True)])
def test_high_amount_starts_at_5000(amount: float, fires: bool) -> None:
    assert hits(amount=amount) == ({"high_amount": amount} if fires else {})


@pytest.mark.parametrize(("hour", "fires"), [(1.999, False), (2, True), (4.99, True), (5, False)])
def test_night_is_from_two_to_before_five(hour: float, fires: bool) -> None:
    midnight = NOON - 12 * 3600 * SECOND
    assert ("night_hours" in hits(time=midnight + int(hour * 3600 * SECOND))) == fires


@pytest.mark.parametrize(
    ("location", "fires"), [("TOR Exit Node", True), ("Unknown VPN", True), ("Torrance, CA", False), (None, False)]
)
def test_anonymised_location_is_a_whole_word(location: str | None, fires: bool) -> None:
    assert hits(location=location) == ({"anonymised_location": location} if fires else {})


@pytest.mark.parametrize(("small_amounts", "fires"), [(2, False), (3, True)])
def test_card_testing_starts_at_three_small_amounts(small_amounts: int, fires: bool) -> None:
    assert hits(amount=1.0, small_amounts=small_amounts) == ({"card_testing": small_amounts} if fires else {})


@pytest.mark.parametrize(("score", "fires"), [(0.7999, False), (0.8, True)])
def test_model_score_starts_at_its_threshold(score: float, fires: bool) -> None:
    assert hits(model_score=score) == ({"model_score": score} if fires else {})


@pytest.mark.parametrize(
    ("speed", "seconds", "category", "fires"),
    [
        (1000.0, 3600.0, "grocery", False),
        (1000.1, 3600.0, "grocery", True),
        (1000.1, 7200.0, "grocery", True),
        (1000.1, 7200.1, "grocery", False),
        (5000.0, 60.0, "online", False),
    ],
)
def test_impossible_travel_is_fast_recent_and_physical(
    speed: float, seconds: float, category: str, fires: bool
) -> None:
    found = hits(speed_kmh=speed, travel_s=seconds, travel_km=100.0, category=category)
    assert found == ({"impossible_travel": speed} if fires else {})


def test_an_inactive_rule_is_not_evaluated() -> None:
    event = Event("card", 9_999.0, NOON, None, None, True, None, None)
    assert RuleSet(default_rules(active=False)).evaluate(Evidence(event, observed(event), None, 1.0)) == ()


def test_every_reason_names_the_rule_the_value_and_the_threshold() -> None:
    event = Event("card", 9_999.0, NOON - 9 * 3600 * SECOND, None, None, True, None, "travel")
    observation = observed(event, velocity=7, small_amounts=4, speed_kmh=2_000.0, travel_s=1_800.0, travel_km=1_000.0)
    found = RuleSet(default_rules()).evaluate(Evidence(event, observation, "Unknown VPN", 0.9))
    assert len(found) == len(DEFAULT_RULES)
    reasons = {reason.code: reason for reason in (explain(hit, observation) for hit in found)}
    assert reasons["velocity_burst"].text == "7 transactions in 60 s; the rule allows 5"
    assert reasons["high_amount"].text == "amount 9,999.00; the rule starts at 5,000.00"
    assert reasons["night_hours"].text == "at 03:00 UTC; the rule covers 02:00-05:00"
    assert reasons["card_testing"].text == "4 amounts of at most 2.00 in 10 minutes; the rule starts at 3"
    assert reasons["model_score"].text == "the model's score reaches 0.80, where the rule starts"
    assert reasons["impossible_travel"].text == "1,000 km in 30 min is 2,000 km/h; the rule allows 1,000"
    for reason in reasons.values():
        assert reason.rule
        assert reason.value not in ("", None)
        assert reason.threshold not in ("", None)


def test_an_alert_that_no_single_sign_explains_says_that_they_add_up() -> None:
    event = Event("card", 6_000.0, NOON, None, None, True, None, None)
    observation = observed(event)
    found = RuleSet(default_rules()).evaluate(Evidence(event, observation, None, 0.4))
    reasons = reasons_of(0.58, 0.4, observation, found, Thresholds(), 0.01, HONEST_TRAFFIC, 0.0, None)
    codes = [reason.code for reason in reasons]
    assert codes == ["high_amount", "combined"]
