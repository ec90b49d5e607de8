"""Scores the transaction of a stored alert again, as it was or with something changed, by the code that scored it.

With an alert is stored what the engine remembered when the transaction came. From that a memory is made that knows
this card, this merchant and this category only, and the transaction is observed and judged as any other.
"""

import math
import struct
from array import array
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from data.errors import ModelError, RescoringError
from data.models import Alert, RankerRescoring, Rescoring
from data.timestamps import to_microseconds
from engine.calibration import QuantileCalibration
from engine.card_history import HistoryState
from engine.features import CARD_NOT_PRESENT, HOPS_TO_JUDGE, Event, FeatureState, Memory, Observation
from engine.model import AnomalyModel
from engine.profiles import CARD_FIELDS, CATEGORY_FIELDS, MERCHANT_FIELDS, NOVELTY_FIELDS
from engine.ranker import Ranker
from engine.ranker_memory import RankerMemory, read_ranker_memory
from engine.rules import Evidence, RuleSet
from engine.scoring import Thresholds, Verdict, judge
from engine.windows import ALLOWED_LATENESS_US

MOST_IN_WINDOW: Final = 100_000
"""More transactions of one card in a window are no memory of an engine."""
_PROFILES: Final = (CARD_FIELDS, MERCHANT_FIELDS, CATEGORY_FIELDS, MERCHANT_FIELDS, CATEGORY_FIELDS, NOVELTY_FIELDS)
_LAYOUT: Final = struct.Struct(f"<{sum(_PROFILES)}d2dI2?")
"""The profiles of card, merchant, category and all traffic, its amounts and its novelty; latitude and longitude, NaN
where no place is known; small amounts in their window before; whether places were unreliable, and whether the
transaction was late."""


@dataclass(frozen=True, slots=True)
class Detectors:
    """What judges transactions now; ``new_state`` makes an empty memory with its windows.

    ``load_ranker`` reads the ranker of a version; it raises ``ModelError`` where there is none, or it cannot serve.
    """

    model: AnomalyModel
    rules: RuleSet
    thresholds: Thresholds
    new_state: Callable[[], FeatureState]
    load_ranker: Callable[[str], Ranker]


@dataclass(frozen=True, slots=True)
class Ranked:
    """What the ranker that decided knew, at ``time`` in microseconds.

    Nothing of it depends on the hour, so that it is looked at from then, whatever the event's time becomes.
    """

    ranker: Ranker
    memory: RankerMemory
    time: int


@dataclass(frozen=True, slots=True)
class Situation:
    """A transaction and what was remembered before it.

    ``velocity`` counts the window, the transaction included. ``prior`` is the probability of fraud that known fraud
    let expect. ``ranked`` is None where the anomaly model decided.
    """

    event: Event
    location: str | None
    velocity: int
    late: bool
    memory: Memory
    prior: float
    ranked: Ranked | None


def rescoring_of(
    event: Event,
    observation: Observation,
    model: str,
    fitted: QuantileCalibration | None,
    *,
    prior: float,
    ranker: RankerRescoring | None,
) -> Rescoring:
    """What to store with an alert. ``fitted`` is the site's own calibration, if it gave the score.

    ``ranker`` is what the ranker takes, where one decided.
    """
    memory = observation.memory
    packed = _LAYOUT.pack(
        *memory.card,
        *memory.merchant,
        *memory.category,
        *memory.overall,
        *memory.all_amounts,
        *memory.novelty,
        math.nan if event.latitude is None else event.latitude,
        math.nan if event.longitude is None else event.longitude,
        memory.small_amounts,
        memory.places_unreliable,
        observation.late,
    )
    return Rescoring(
        model=model,
        memory=b64encode(packed).decode(),
        calibration=None if fitted is None else tuple(fitted.raw.tolist()),
        prior=prior,
        ranked=ranker is not None,
        ranker=ranker,
    )


class Rescorer:
    """One alert's transaction, ready to be scored again under one's own assumptions.

    Raises:
        RescoringError: it cannot be scored as it was: what is needed was not stored or cannot be read, or the model,
            the rules or the settings are others now.
    """

    def __init__(self, alert: Alert, detectors: Detectors) -> None:
        self._detectors = detectors
        stored = alert.rescoring
        if stored is None:
            raise RescoringError(
                "This alert was stored by an earlier version, which did not keep what it takes to score it again: "
                "look at an alert that was raised since"
            )
        if stored.ranked and stored.ranker is None:
            raise RescoringError(
                "This alert was stored while a ranker served, by an earlier version, which did not keep what that knew "
                "of the card: look at an alert that was raised since"
            )
        if stored.model != detectors.model.card.version:
            raise RescoringError(
                f"This alert was scored by the model {stored.model:.40}, and the model now is "
                f"{detectors.model.card.version}: set MODEL_PATH to the file of the former, and start again"
            )
        ranker = None if stored.ranker is None else _ranker(stored.ranker.model, detectors)
        try:
            self.situation = _situation(alert, stored, ranker)
            self._calibration = (
                detectors.model.calibration
                if stored.calibration is None
                else QuantileCalibration.at_anchors(np.array(stored.calibration))
            )
        except ValueError as error:
            raise RescoringError(
                f"What was stored to score this alert again cannot be read ({error}): look at another alert"
            ) from error
        (again,) = self.judge([self.situation])
        if again.score != alert.score or again.level is None:
            raise RescoringError(
                f"With the rules and settings of now, this alert scores {again.score:.4f} and not {alert.score:.4f}: "
                "start again with those that raised it"
            )

    def judge(self, situations: Sequence[Situation]) -> list[Verdict]:
        """What becomes of each situation, in order; none knows of another."""
        observations = [_state(self._detectors, each).observe(each.event) for each in situations]
        matrix = np.array([observation.features for observation in observations], dtype=np.float64)
        scores: list[float] = self._calibration.apply(self._detectors.model.score(matrix).raw).tolist()
        return [
            judge(
                Evidence(situation.event, observation, situation.location, score),
                self._detectors.rules,
                self._detectors.thresholds,
                situation.prior,
                _probability(situation, observation),
            )
            for situation, observation, score in zip(situations, observations, scores, strict=True)
        ]


def _ranker(version: str, detectors: Detectors) -> Ranker:
    try:
        ranker = detectors.load_ranker(version)
    except ModelError as error:
        raise RescoringError(
            f"The ranker {version:.40}, which decided on this alert, cannot be read: {error}"
        ) from error
    if ranker.card.version != version:
        raise RescoringError(
            f"This alert was decided by the ranker {version:.40}, and its file holds {ranker.card.version} now: "
            "put the former back, or look at another alert"
        )
    return ranker


def _probability(situation: Situation, observation: Observation) -> float | None:
    """The ranker's probability of fraud, None where none decided."""
    if situation.ranked is None:
        return None
    row = _ranker_row(situation.ranked, situation.event, observation.features)
    return float(situation.ranked.ranker.score(np.array([row], dtype=np.float64))[0])


def _ranker_row(ranked: Ranked, event: Event, features: Sequence[float]) -> tuple[float, ...]:
    """The row that the ranker would have been served, in the order of ``RANKER_FEATURE_NAMES``."""
    event = event._replace(time=ranked.time)
    history = HistoryState()
    history.restore(event, ranked.memory.history)
    return (*features, *history.observe(event, features), *ranked.memory.labels)


def _situation(alert: Alert, stored: Rescoring, ranker: Ranker | None) -> Situation:
    """
    Raises:
        ValueError: ``stored`` does not hold what ``rescoring_of`` packs.
    """
    try:
        *numbers, latitude, longitude, small_amounts, places_unreliable, late = _LAYOUT.unpack(
            b64decode(stored.memory, validate=True)
        )
    except (struct.error, Base64Error) as error:
        raise ValueError("it is of another length or damaged") from error
    if max(alert.velocity, small_amounts) > MOST_IN_WINDOW:
        raise ValueError(f"there are more than {MOST_IN_WINDOW:,} transactions in a window")
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number in it is not finite")
    rest = iter(numbers)
    card, merchant, category, overall, all_amounts, novelty = (tuple(islice(rest, size)) for size in _PROFILES)
    located = math.isfinite(latitude) and math.isfinite(longitude)
    event = Event(
        alert.card_id,
        int(alert.amount.scaleb(2)) / 100.0,
        to_microseconds(alert.event_time),
        latitude if located else None,
        longitude if located else None,
        alert.merchant_category not in CARD_NOT_PRESENT,
        alert.merchant_id,
        alert.merchant_category,
    )
    memory = Memory(
        array("d", card), merchant, category, overall, all_amounts, novelty, small_amounts, places_unreliable
    )
    ranked = None
    if ranker is not None and stored.ranker is not None:
        ranked = Ranked(ranker, read_ranker_memory(stored.ranker), event.time)
    return Situation(event, alert.location, alert.velocity, late, memory, stored.prior, ranked)


def _state(detectors: Detectors, situation: Situation) -> FeatureState:
    """A memory that is what the engine's was before the event, as far as the event can tell."""
    event, memory = situation.event, situation.memory
    state = detectors.new_state()
    state.cards[event.card_id] = memory.card
    if event.merchant is not None:
        state.merchants[event.merchant] = memory.merchant
    if event.category is not None:
        state.categories[event.category] = memory.category
    state.overall = memory.overall
    state.all_amounts = memory.all_amounts
    state.novelty = memory.novelty
    if memory.places_unreliable:
        state.hops, state.impossible_share = HOPS_TO_JUDGE, 1.0
    state.watermark = event.time + ALLOWED_LATENESS_US + 1 if situation.late else event.time
    # How many there were in a window is all that counts; when, within it, does not.
    for window, count in ((state.velocity, situation.velocity - 1), (state.small_amounts, memory.small_amounts)):
        if count > 0:
            window.restore({event.card_id: [event.time] * count})
    return state
