import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import SettingError
from data.models import RiskLevel, Rule, RuleAction, RuleType
from data.schema import DEFAULT_RULES
from engine.rules import RuleHit
from engine.scoring import LEARNT, SAFETY_NET, Thresholds, fuse, fuse_ranked, rule_strength

scores = st.floats(0, 1)


def rule(type_: RuleType, weight: float, action: RuleAction = RuleAction.ALERT) -> Rule:
    return Rule(
        id=f"{type_}-{weight}",
        name="a rule",
        type=type_,
        threshold=1,
        window_seconds=60,
        parameter=None,
        weight=weight,
        action=action,
        active=True,
        version=1,
        hits=0,
        description="",
    )


hits = st.lists(
    st.builds(
        lambda kind, weight, action: RuleHit(rule(kind, weight, action), 1.0),
        st.sampled_from(RuleType),
        st.floats(0, 10),
        st.sampled_from(RuleAction),
    )
)


@pytest.mark.parametrize(
    ("score", "velocity", "level"),
    [
        (0.4999, 2, None),
        (0.50, 1, RiskLevel.LOW),
        (0.55, 1, RiskLevel.MEDIUM),
        (0.70, 1, RiskLevel.HIGH),
        (0.85, 1, RiskLevel.CRITICAL),
        (0.0, 3, RiskLevel.LOW),
        (0.0, 5, RiskLevel.LOW),
        (0.0, 6, RiskLevel.MEDIUM),
        (0.0, 7, RiskLevel.MEDIUM),
        (0.0, 8, RiskLevel.HIGH),
        (0.0, 9, RiskLevel.HIGH),
        (0.0, 10, RiskLevel.CRITICAL),
        (0.56, 8, RiskLevel.HIGH),
        (0.86, 3, RiskLevel.CRITICAL),
    ],
)
def test_level_is_the_higher_of_score_and_velocity(score: float, velocity: int, level: RiskLevel | None) -> None:
    assert Thresholds().level(score, velocity) is level


@given(scores, st.integers(1, 30))
def test_a_raised_threshold_silences_what_lies_below_it(score: float, velocity: int) -> None:
    thresholds = Thresholds(low_score=0.8, low_velocity=9)
    alerted = thresholds.level(score, velocity) is not None
    assert alerted == (score >= 0.8 or velocity >= 9)


@given(scores, st.integers(1, 30))
def test_more_score_or_more_velocity_never_lowers_the_level(score: float, velocity: int) -> None:
    thresholds = Thresholds()

    def rank(level: RiskLevel | None) -> int:
        return 0 if level is None else level.rank

    here = rank(thresholds.level(score, velocity))
    assert rank(thresholds.level(min(1.0, score + 0.1), velocity)) >= here
    assert rank(thresholds.level(score, velocity + 1)) >= here


@given(scores, hits)
def test_fused_score_is_a_probability_and_no_evidence_lowers_it(score: float, found: list[RuleHit]) -> None:
    fused = fuse(score, found)
    assert 0.0 <= fused <= 1.0
    assert fused >= score - 1e-12
    assert fuse(score, found[:-1]) <= fused + 1e-12


@given(scores, hits)
def test_the_same_fact_seen_by_two_rules_counts_once(score: float, found: list[RuleHit]) -> None:
    assert fuse(score, found + found) == pytest.approx(fuse(score, found), abs=1e-12)


def test_a_rule_on_the_models_score_adds_nothing_to_a_higher_score() -> None:
    assert fuse(0.9, [RuleHit(rule(RuleType.MODEL, 2.0), 0.9)]) == pytest.approx(0.9)


def test_weak_rules_alone_raise_no_alert_and_the_strongest_open_a_case() -> None:
    strengths = {name: rule_strength(weight) for name, *_, weight, _, _ in DEFAULT_RULES}
    levels = {name: Thresholds().level(strength, 1) for name, strength in strengths.items()}
    assert levels["night_hours"] is None
    assert levels["high_amount"] is None
    assert levels["anonymised_location"] is None
    assert levels["card_testing"] is RiskLevel.HIGH
    assert levels["impossible_travel"] is RiskLevel.HIGH


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0.0, 3, 60), "FRAUD_SCORE_THRESHOLD"),
        ((1.1, 3, 60), "FRAUD_SCORE_THRESHOLD"),
        ((0.5, 1, 60), "VELOCITY_THRESHOLD"),
        ((0.5, 3, 0), "VELOCITY_WINDOW_SECONDS"),
    ],
)
def test_a_threshold_out_of_range_is_refused_by_name(arguments: tuple[float, int, int], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        Thresholds(*arguments)


@given(scores, st.floats(0, 10))
def test_a_flag_moves_no_score_so_that_what_many_do_ranks_nobody(score: float, weight: float) -> None:
    assert fuse(score, [RuleHit(rule(RuleType.TIME, weight, RuleAction.FLAG), 1.0)]) == pytest.approx(score, abs=1e-12)


@given(scores, scores, hits)
def test_a_serving_ranker_hides_nothing_that_is_most_unusual(
    ranked: float, anomaly: float, found: list[RuleHit]
) -> None:
    fused = fuse_ranked(ranked, anomaly, found)
    assert fused >= fuse(ranked, ())
    assert fused >= anomaly or anomaly < SAFETY_NET


@given(scores, st.floats(0, 0.69), hits)
def test_a_rule_on_what_the_ranker_has_learnt_is_not_counted_again(
    ranked: float, anomaly: float, found: list[RuleHit]
) -> None:
    rest = [hit for hit in found if hit.rule.type not in LEARNT]
    assert fuse_ranked(ranked, anomaly, found) == fuse(ranked, rest)
