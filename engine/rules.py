"""Rules: conditions kept as data, evaluated on every transaction."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from data.models import Reason, Rule, RuleType
from data.timestamps import EPOCH
from engine.features import CARD_NOT_PRESENT, Event, Observation
from engine.gazetteer import is_anonymised


class Evidence(NamedTuple):
    """What a rule may look at."""

    event: Event
    observation: Observation
    location: str | None
    model_score: float


class RuleHit(NamedTuple):
    """A rule whose condition held, with the value that met it."""

    rule: Rule
    value: float | str


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule and its condition: the value that met it, or None."""

    rule: Rule
    condition: Callable[[Evidence], float | str | None]


class RuleSet:
    """The active rules, ready to evaluate."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._compiled = tuple(CompiledRule(rule, _CONDITIONS[rule.type](rule)) for rule in rules if rule.active)

    def evaluate(self, evidence: Evidence) -> tuple[RuleHit, ...]:
        """Every active rule that holds, in the order of the rules."""
        hits: tuple[RuleHit, ...] = ()
        for compiled in self._compiled:
            value = compiled.condition(evidence)
            if value is not None:
                hits += (RuleHit(compiled.rule, value),)
        return hits


Condition = Callable[[Evidence], float | str | None]


def _velocity(rule: Rule) -> Condition:
    threshold = int(rule.threshold)

    def condition(evidence: Evidence) -> float | None:
        velocity = evidence.observation.velocity
        return velocity if velocity > threshold else None

    return condition


def _amount(rule: Rule) -> Condition:
    threshold = rule.threshold

    def condition(evidence: Evidence) -> float | None:
        amount = evidence.event.amount
        return amount if amount >= threshold else None

    return condition


def _time(rule: Rule) -> Condition:
    """From the hour in ``parameter`` to before the hour in ``threshold``, UTC."""
    start = float(rule.parameter or 0)
    end = rule.threshold

    def condition(evidence: Evidence) -> str | None:
        hour = evidence.event.time % 86_400_000_000 / 3_600_000_000
        if not start <= hour < end:
            return None
        return f"{EPOCH + timedelta(microseconds=evidence.event.time):%H:%M}"

    return condition


def _location(_: Rule) -> Condition:
    def condition(evidence: Evidence) -> str | None:
        location = evidence.location
        return location if location is not None and is_anonymised(location) else None

    return condition


def _card_testing(rule: Rule) -> Condition:
    threshold = int(rule.threshold)

    def condition(evidence: Evidence) -> float | None:
        small_amounts = evidence.observation.small_amounts
        return small_amounts if small_amounts >= threshold else None

    return condition


def _model(rule: Rule) -> Condition:
    threshold = rule.threshold

    def condition(evidence: Evidence) -> float | None:
        return evidence.model_score if evidence.model_score >= threshold else None

    return condition


def _travel(rule: Rule) -> Condition:
    threshold = rule.threshold
    within_s = float(rule.window_seconds or 0)

    def condition(evidence: Evidence) -> float | None:
        observation = evidence.observation
        if observation.speed_kmh <= threshold or observation.travel_s > within_s:
            return None
        return None if evidence.event.category in CARD_NOT_PRESENT else observation.speed_kmh

    return condition


_CONDITIONS: dict[RuleType, Callable[[Rule], Condition]] = {
    RuleType.VELOCITY: _velocity,
    RuleType.AMOUNT: _amount,
    RuleType.TIME: _time,
    RuleType.LOCATION: _location,
    RuleType.CARD_TESTING: _card_testing,
    RuleType.MODEL: _model,
    RuleType.TRAVEL: _travel,
}


def explain(hit: RuleHit, observation: Observation) -> Reason:
    """A rule hit as a reason: the value that met the condition, the threshold, and a sentence."""
    rule, value = hit
    threshold: float | str = rule.threshold
    match rule.type:
        case RuleType.VELOCITY:
            text = f"{value:.0f} transactions in {rule.window_seconds} s; the rule allows {rule.threshold:.0f}"
        case RuleType.AMOUNT:
            text = f"amount {value:,.2f}; the rule starts at {rule.threshold:,.2f}"
        case RuleType.TIME:
            threshold = f"{float(rule.parameter or 0):02.0f}:00-{rule.threshold:02.0f}:00"
            text = f"at {value} UTC; the rule covers {threshold}"
        case RuleType.LOCATION:
            threshold = "VPN, TOR or proxy"
            text = "the location hides where the card is"
        case RuleType.CARD_TESTING:
            minutes = (rule.window_seconds or 0) // 60
            text = (
                f"{value:.0f} amounts of at most {rule.parameter} in {minutes} minutes; "
                f"the rule starts at {rule.threshold:.0f}"
            )
        case RuleType.MODEL:
            text = f"the model's score reaches {rule.threshold:.2f}, where the rule starts"
        case RuleType.TRAVEL:
            text = (
                f"{observation.travel_km:,.0f} km in {observation.travel_s / 60:.0f} min is {value:,.0f} km/h; "
                f"the rule allows {rule.threshold:,.0f}"
            )
    return Reason(code=rule.id, rule=rule.name, value=value, threshold=threshold, text=text)
