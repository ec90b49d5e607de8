"""Scores batches: features in order, the model for all rows at once, then rules, level and reasons for each."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import orjson
from numpy.typing import NDArray

from data.batches import NewAlert, ScoredTransaction
from data.models import CardBaseline, RiskLevel, RuleAction, TransactionStatus
from data.timestamps import from_microseconds
from engine import profiles
from engine.decode import Decoded
from engine.features import FEATURE_NAMES, FEATURES, Event, EventReader, FeatureState, Observation
from engine.model import AnomalyModel
from engine.rules import Evidence, RuleHit, RuleSet
from engine.scoring import HONEST_TRAFFIC, OWN_TRAFFIC, Thresholds, fuse, reasons_of

TOP_CONTRIBUTIONS = 5
_AMOUNT_OVER_MEAN = FEATURE_NAMES.index("amount_over_mean")
EXPERIENCED = 5.0
"""Transactions of a card from which its baseline says something, so that a site is not judged by its first day."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """What scoring made of a batch, ready to commit; and what it was made of, for those who judge scores.

    ``features`` is (transactions, features) and ``hits`` are the rules that held for each transaction.
    """

    transactions: tuple[ScoredTransaction, ...]
    alerts: tuple[NewAlert, ...]
    rule_hits: Mapping[str, int]
    features: NDArray[np.float64]
    hits: tuple[tuple[RuleHit, ...], ...]


class Scorer:
    """The detectors around one feature state. Not thread-safe: it belongs to the pipeline's thread."""

    def __init__(
        self,
        state: FeatureState,
        reader: EventReader,
        model: AnomalyModel,
        rules: RuleSet,
        thresholds: Thresholds,
    ) -> None:
        self.state = state
        self._reader = reader
        self._model = model
        self._rules = rules
        self._thresholds = thresholds

    def score(self, batch: Sequence[Decoded]) -> ScoredBatch:
        """Score transactions in order; each sees all before it, however they are cut into batches."""
        if not batch:
            return ScoredBatch((), (), {}, np.empty((0, len(FEATURES))), ())
        events = [self._reader.of_transaction(decoded.transaction) for decoded in batch]
        observations = [self.state.observe(event) for event in events]
        matrix = np.array([observation.features for observation in observations], dtype=np.float64)
        scores, own = self._calibrate(matrix, observations)
        model_scores: list[float] = scores.tolist()

        rows: list[ScoredTransaction] = []
        alerted: list[_Alerted] = []
        hit_counts: Counter[str] = Counter()
        all_hits: list[tuple[RuleHit, ...]] = []
        for index, (decoded, event, observation, model_score) in enumerate(
            zip(batch, events, observations, model_scores, strict=True)
        ):
            transaction = decoded.transaction
            hits = self._rules.evaluate(Evidence(event, observation, transaction.location, model_score))
            score = fuse(model_score, hits, self._thresholds.low_score) if hits else model_score
            level = self._thresholds.level(score, observation.velocity)
            if hits:
                hit_counts.update(hit.rule.id for hit in hits)
            if level is not None:
                alerted.append(
                    _Alerted(
                        index, transaction.transaction_id, observation, hits, score, model_score, level, index >= own
                    )
                )
            all_hits.append(hits)
            rows.append(_row(decoded, event, observation, score, model_score, level, hits))
        return ScoredBatch(tuple(rows), tuple(self._alerts(alerted, matrix)), hit_counts, matrix, tuple(all_hits))

    def learn(self, events: Sequence[Event]) -> None:
        """Move the memory past events that were scored before."""
        observations = [self.state.observe(event) for event in events]
        if observations and not self.state.site.decided:
            matrix = np.array([observation.features for observation in observations], dtype=np.float64)
            self._calibrate(matrix, observations)

    def _calibrate(
        self, matrix: NDArray[np.float64], observations: Sequence[Observation]
    ) -> tuple[NDArray[np.float64], int]:
        experienced = np.array(
            [not each.late and each.profile[profiles.COUNT] >= EXPERIENCED for each in observations], dtype=np.bool_
        )
        return self.state.site.calibrate(self._model, self._model.score(matrix).raw, experienced)

    def _alerts(self, alerted: Sequence["_Alerted"], matrix: NDArray[np.float64]) -> list[NewAlert]:
        if not alerted:
            return []
        contributions = self._model.contributions(matrix[[each.index for each in alerted]])
        usual = self._model.usual
        return [
            self._alert(each, matrix[each.index].tolist(), shares.tolist(), usual.tolist())
            for each, shares in zip(alerted, contributions, strict=True)
        ]

    def _alert(self, alerted: "_Alerted", features: list[float], shares: list[float], usual: list[float]) -> NewAlert:
        reasons = reasons_of(
            alerted.score,
            alerted.model_score,
            alerted.observation,
            alerted.hits,
            self._thresholds,
            self._model.calibration.alert_rate(alerted.model_score),
            OWN_TRAFFIC if alerted.by_own_traffic else HONEST_TRAFFIC,
        )
        strongest = sorted(range(len(FEATURES)), key=lambda k: (-shares[k], k))[:TOP_CONTRIBUTIONS]
        evidence = {
            "contributions": [
                {
                    "feature": FEATURES[k].name,
                    "value": FEATURES[k].natural(features[k]),
                    "usual": FEATURES[k].natural(usual[k]),
                    "share": shares[k],
                }
                for k in strongest
                if shares[k] > 0.0
            ],
            "baseline": _baseline(alerted.observation.profile).model_dump(mode="json"),
            "features": dict(zip((feature.name for feature in FEATURES), features, strict=True)),
        }
        return NewAlert(
            index=alerted.index,
            alert_id=str(uuid5(NAMESPACE_OID, alerted.transaction_id)),
            level=alerted.level,
            reason_codes=tuple(reason.code for reason in reasons),
            reasons_json=orjson.dumps([reason.model_dump() for reason in reasons]).decode(),
            evidence_json=orjson.dumps(evidence).decode(),
        )


@dataclass(frozen=True, slots=True)
class _Alerted:
    index: int
    transaction_id: str
    observation: Observation
    hits: tuple[RuleHit, ...]
    score: float
    model_score: float
    level: RiskLevel
    by_own_traffic: bool


def _row(
    decoded: Decoded,
    event: Event,
    observation: Observation,
    score: float,
    model_score: float,
    level: RiskLevel | None,
    hits: tuple[RuleHit, ...],
) -> ScoredTransaction:
    transaction = decoded.transaction
    status = TransactionStatus.COMPLETED
    if level is not None:
        blocked = any(hit.rule.action is RuleAction.BLOCK for hit in hits)
        status = TransactionStatus.DECLINED if blocked else TransactionStatus.FLAGGED
    return ScoredTransaction(
        transaction.transaction_id,
        transaction.card_id,
        transaction.amount_minor,
        transaction.currency,
        event.time,
        transaction.location,
        transaction.latitude,
        transaction.longitude,
        transaction.merchant_id,
        transaction.merchant_name,
        transaction.merchant_category,
        transaction.customer_id,
        score,
        model_score,
        observation.velocity,
        0 if level is None else level.rank,
        status.value,
        int(observation.late),
        None if decoded.is_fraud is None else int(decoded.is_fraud),
        decoded.scenario,
        exp(observation.features[_AMOUNT_OVER_MEAN]),
        None,
    )


def _baseline(profile: "array[float]") -> CardBaseline:
    count = int(profile[profiles.COUNT])
    located = profile[profiles.HOME_COUNT] > 0.0
    return CardBaseline(
        transactions=count,
        mean_amount=round(profile[profiles.MEAN], 2) if count else None,
        usual_places=_place(profile[profiles.HOME_LATITUDE], profile[profiles.HOME_LONGITUDE]) if located else None,
        usual_hours=_usual_hours(profile) if count >= 5 else None,
        last_seen=_seen(profile[profiles.LAST_TIME]) if count else None,
        last_location=_place(profile[profiles.PLACE_LATITUDE], profile[profiles.PLACE_LONGITUDE]) if located else None,
    )


def _seen(time_s: float) -> datetime:
    return from_microseconds(round(time_s * 1_000_000))


def _place(latitude: float, longitude: float) -> str:
    return f"{latitude:.2f}, {longitude:.2f}"


def _usual_hours(profile: "array[float]") -> str:
    """The fewest three-hour bins of the day that hold four fifths of the card's transactions."""
    bins = profile[profiles.HOUR_PROFILE : profiles.HOUR_PROFILE + profiles.HOUR_BINS]
    wanted = 0.8 * sum(bins)
    chosen: list[int] = []
    for index in sorted(range(len(bins)), key=lambda k: (-bins[k], k)):
        if sum(bins[k] for k in chosen) >= wanted:
            break
        chosen.append(index)
    width = 24 // profiles.HOUR_BINS
    spans: list[list[int]] = []
    for index in sorted(chosen):
        if spans and spans[-1][1] == index * width:
            spans[-1][1] += width
        else:
            spans.append([index * width, (index + 1) * width])
    return ", ".join(f"{start:02d}-{end:02d} h" for start, end in spans) + " UTC"
