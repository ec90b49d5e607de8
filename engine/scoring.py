"""From an observation to a fused score, a level, and the reasons for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import NamedTuple

from data.errors import SettingError
from data.models import RankedEvidence, Reason, RiskLevel, RuleAction, RuleType
from engine.features import Observation
from engine.rules import Evidence, RuleHit, RuleSet, explain

VELOCITY_CODE = "velocity"
MODEL_CODE = "model"
COMBINED_CODE = "combined"
RANKED_CODE = "ranked"
PRIOR_CODE = "known_fraud"
TELLING_PRIOR = 0.05
"""From what probability on known fraud is named among the reasons; below, it hardly moves the score."""
HONEST_TRAFFIC = "honest traffic"
OWN_TRAFFIC = "this site's first traffic"
WEIGHT_SCALE = 2.5
LEARNT = frozenset({RuleType.AMOUNT, RuleType.TIME, RuleType.MODEL})
"""Rules of these types look at what the ranker has among its features."""
SAFETY_NET = 0.85
"""What the anomaly model finds CRITICAL alerts, whatever a ranker makes of it."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the levels start: scores from 0 to 1, and transactions of a card per velocity window."""

    low_score: float = 0.50
    low_velocity: int = 3
    velocity_window_s: int = 60

    def __post_init__(self) -> None:
        if not 0.0 < self.low_score <= 1.0:
            raise SettingError(f"FRAUD_SCORE_THRESHOLD is {self.low_score}: give a number above 0 and up to 1")
        if self.low_velocity < 2:
            raise SettingError(f"VELOCITY_THRESHOLD is {self.low_velocity}: give 2 or more")
        if not 1 <= self.velocity_window_s <= 86_400:
            raise SettingError(f"VELOCITY_WINDOW_SECONDS is {self.velocity_window_s}: give 1 to 86,400")

    def level(self, score: float, velocity: int) -> RiskLevel | None:
        """The higher of what the score and the velocity call for; None below the lowest thresholds."""
        if score < self.low_score and velocity < self.low_velocity:
            return None
        for level, lowest_score, lowest_velocity in _LEVELS:
            if (score >= lowest_score and score >= self.low_score) or (
                velocity >= lowest_velocity and velocity >= self.low_velocity
            ):
                return level
        return RiskLevel.LOW


_LEVELS = (
    (RiskLevel.CRITICAL, 0.85, 10),
    (RiskLevel.HIGH, 0.70, 8),
    (RiskLevel.MEDIUM, 0.55, 6),
)


class Verdict(NamedTuple):
    """What became of a transaction: the rules that held, the fused score, and the level of the alert, if any."""

    hits: tuple[RuleHit, ...]
    score: float
    level: RiskLevel | None


def judge(
    evidence: Evidence, rules: RuleSet, thresholds: Thresholds, prior: float = 0.0, ranked: float | None = None
) -> Verdict:
    """The rules, the score as ``decide`` makes it, and the level that it and the velocity call for."""
    hits = rules.evaluate(evidence)
    score = decide(evidence.model_score, hits, thresholds, prior, ranked)
    return Verdict(hits, score, thresholds.level(score, evidence.observation.velocity))


def decide(
    model_score: float, hits: Sequence[RuleHit], thresholds: Thresholds, prior: float, ranked: float | None
) -> float:
    """The fused score: of the ranker where one serves, else of the anomaly model with what known fraud lets expect.

    ``prior`` is from 0 to 1, and one more independent cause; the ranker has it among its features. ``ranked`` is the
    ranker's probability.
    """
    if ranked is not None:
        return fuse_ranked(ranked, model_score, hits)
    score = fuse(model_score, hits) if hits else model_score
    return 1.0 - (1.0 - score) * (1.0 - prior) if prior else score


def rule_strength(weight: float) -> float:
    """The probability that a rule of this weight speaks for: ``1 - exp(-(weight / 2.5)^2)``.

    A weight of 1.2 gives 0.21, 1.5 gives 0.30, 2.0 gives 0.47, 2.5 gives 0.63 and 3.0 gives 0.76: a weak rule alone
    raises no alert, the strongest opens a case.
    """
    return 1.0 - exp(-((weight / WEIGHT_SCALE) ** 2))


def fuse(model_score: float, hits: Iterable[RuleHit]) -> float:
    """Combine the model and the rules as independent causes (noisy-or; Pearl, 1988): ``1 - (1 - m) · Π(1 - r)``.

    Rules of one type look at one fact, so only the strongest of a type counts; a rule on the model's score is of one
    type with the model. A rule whose action is to flag is a remark beside an alert and moves no score: what a few per
    cent of all traffic does, such as buying at night, says nothing that the model does not know better for each card.
    """
    causes = {RuleType.MODEL: model_score}
    for hit in hits:
        strength = rule_strength(hit.rule.weight)
        if hit.rule.action is not RuleAction.FLAG and strength > causes.get(hit.rule.type, 0.0):
            causes[hit.rule.type] = strength
    return _noisy_or(causes)


def fuse_ranked(probability: float, model_score: float, hits: Iterable[RuleHit]) -> float:
    """The ranker's probability in the place of the anomaly model's score, with the rules that know what it does not.

    The ranker has learnt what an amount, an hour and the anomaly model's features are worth, so that a rule on one of
    them would count it twice. What is CRITICAL to the anomaly model stays so, whatever the ranker makes of it: it
    knows only the fraud that there has been.
    """
    score = fuse(probability, (hit for hit in hits if hit.rule.type not in LEARNT))
    return max(score, model_score) if model_score >= SAFETY_NET else score


def _noisy_or(causes: Mapping[RuleType, float]) -> float:
    """In the order of the rule types, so that a score does not depend on the order of the rules."""
    remaining = 1.0
    for kind in RuleType:
        remaining *= 1.0 - causes.get(kind, 0.0)
    return 1.0 - remaining


def reasons_of(
    score: float,
    model_score: float,
    observation: Observation,
    hits: Sequence[RuleHit],
    thresholds: Thresholds,
    alert_share: float,
    calibrated_on: str,
    prior: float,
    ranked: RankedEvidence | None,
) -> tuple[Reason, ...]:
    """Everything that speaks for an alert: the velocity, the ranker, the rules, known fraud, and the anomaly model.

    ``alert_share`` is the share of the traffic ``calibrated_on`` with a model score at least as high. ``ranked`` is
    what a ranker made of it, where one decided.
    """
    reasons: list[Reason] = []
    if observation.velocity >= thresholds.low_velocity:
        reasons.append(_velocity_reason(observation.velocity, thresholds))
    if ranked is not None and ranked.probability >= thresholds.low_score:
        reasons.append(_ranked_reason(ranked, thresholds))
    reasons.extend(explain(hit, observation) for hit in hits)
    if ranked is None and prior >= TELLING_PRIOR:
        reasons.append(_prior_reason(prior, thresholds))
    if model_score >= thresholds.low_score:
        reasons.append(_model_reason(model_score, thresholds, alert_share, calibrated_on))
    alone = max((rule_strength(hit.rule.weight) for hit in hits if hit.rule.action is not RuleAction.FLAG), default=0.0)
    decided = prior if ranked is None else ranked.probability
    if score >= thresholds.low_score > max(alone, model_score, decided):
        reasons.append(_combined_reason(score, thresholds))
    return tuple(reasons)


def _velocity_reason(velocity: int, thresholds: Thresholds) -> Reason:
    return Reason(
        code=VELOCITY_CODE,
        rule="Velocity",
        value=velocity,
        threshold=thresholds.low_velocity,
        text=(
            f"{velocity} transactions in {thresholds.velocity_window_s} s; alerts start at {thresholds.low_velocity}"
        ),
    )


def _ranked_reason(ranked: RankedEvidence, thresholds: Thresholds) -> Reason:
    return Reason(
        code=RANKED_CODE,
        rule="Supervised model",
        value=round(ranked.probability, 6),
        threshold=thresholds.low_score,
        text=f"this share of such transactions is fraud, as {ranked.model} has learnt from labels",
    )


def _prior_reason(prior: float, thresholds: Thresholds) -> Reason:
    return Reason(
        code=PRIOR_CODE,
        rule="Known fraud",
        value=round(prior, 6),
        threshold=thresholds.low_score,
        text=f"known fraud at this merchant or on this card lets expect fraud with a probability of {prior:.0%}",
    )


def _model_reason(model_score: float, thresholds: Thresholds, alert_share: float, calibrated_on: str) -> Reason:
    return Reason(
        code=MODEL_CODE,
        rule="Anomaly model",
        value=round(model_score, 6),
        threshold=thresholds.low_score,
        text=(
            f"more unusual than {1.0 - alert_share:.2%} of {calibrated_on}; alerts start at {thresholds.low_score:.2f}"
        ),
    )


def _combined_reason(score: float, thresholds: Thresholds) -> Reason:
    return Reason(
        code=COMBINED_CODE,
        rule="Combined evidence",
        value=round(score, 6),
        threshold=thresholds.low_score,
        text=f"no single sign suffices; with the model's score they add up to over {thresholds.low_score:.2f}",
    )
