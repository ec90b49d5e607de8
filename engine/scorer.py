"""Scores batches: features in order, the model for all rows at once, then rules, level and reasons for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import orjson
from numpy.typing import NDArray

from data.batches import NewAlert, ScoredTransaction
from data.drift import DriftCount
from data.models import RankedEvidence, RankerRescoring, Rescoring, RiskLevel, RuleAction, TransactionStatus
from data.queries.recovery import StoredEvent
from engine import profiles
from engine.calibration import QuantileCalibration
from engine.decode import Decoded
from engine.drift_watch import Watched
from engine.entity_graph import Neighbourhood
from engine.evidence import Explanation, evidence_json, explanations, ranked_evidence, shared_evidence
from engine.features import FEATURES, Event, EventReader, FeatureState, Observation, amount_ratio
from engine.learning import Learning, Learnt
from engine.model import AnomalyModel
from engine.ranker_memory import kept_for_ranker
from engine.rescoring import rescoring_of
from engine.rules import Evidence, RuleHit, RuleSet
from engine.scoring import HONEST_TRAFFIC, OWN_TRAFFIC, Thresholds, decide, fuse, judge, reasons_of

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
    drift: tuple[DriftCount, ...] = ()


class Scorer:
    """The detectors around one feature state. Not thread-safe: it belongs to the pipeline's thread."""

    def __init__(
        self,
        state: FeatureState,
        reader: EventReader,
        model: AnomalyModel,
        rules: RuleSet,
        thresholds: Thresholds,
        learning: Learning | None = None,
    ) -> None:
        self.state = state
        self.learning = Learning() if learning is None else learning
        self.reader = reader
        self._model = model
        self._rules = rules
        self._thresholds = thresholds

    def score(self, batch: Sequence[Decoded]) -> ScoredBatch:
        """Score transactions in order; each sees all before it, however they are cut into batches."""
        if not batch:
            return ScoredBatch((), (), {}, np.empty((0, len(FEATURES))), ())
        events = [self.reader.of_transaction(decoded.transaction) for decoded in batch]
        observations, learnt = self._observe(events)
        matrix = np.array([observation.features for observation in observations], dtype=np.float64)
        raw = self._model.score(matrix).raw
        experienced = _experienced(observations)
        scores, own = self.state.site.calibrate(self._model, raw, experienced)
        model_scores: list[float] = scores.tolist()
        ranked = self.learning.score(learnt)

        rows: list[ScoredTransaction] = []
        alerted: list[_Alerted] = []
        hit_counts: Counter[str] = Counter()
        all_hits: list[tuple[RuleHit, ...]] = []
        for index, (decoded, event, observation, model_score) in enumerate(
            zip(batch, events, observations, model_scores, strict=True)
        ):
            transaction = decoded.transaction
            prior = learnt[index].prior
            seen = Evidence(event, observation, transaction.location, model_score)
            hits, score, level = judge(seen, self._rules, self._thresholds, prior, ranked.champion_of(index))
            if hits:
                hit_counts.update(hit.rule.id for hit in hits)
            if level is not None:
                alerted.append(
                    _Alerted(
                        index,
                        transaction.transaction_id,
                        event,
                        observation,
                        hits,
                        score,
                        model_score,
                        level,
                        index >= own,
                        learnt[index],
                        ranked.champion_of(index),
                    )
                )
            all_hits.append(hits)
            challenging = ranked.challenger_of(index)
            challenger_score = (
                None if challenging is None else decide(model_score, hits, self._thresholds, prior, challenging)
            )
            rows.append(_row(decoded, event, observation, score, model_score, challenger_score, level, hits))
        shared = self.learning.connect(events, [each.late for each in observations], {each.index for each in alerted})
        watched = Watched(matrix, raw, self._remaining(model_scores, all_hits), experienced)
        first_of_site = self.state.drift.learn(self._model, self._calibration, watched)
        times = np.array([event.time for event in events])
        return ScoredBatch(
            tuple(rows),
            tuple(self._alerts(alerted, matrix, shared)),
            hit_counts,
            matrix,
            tuple(all_hits),
            self.state.drift.count(self._model, self._calibration, watched, times, scores, first_of_site),
        )

    def _observe(self, events: Sequence[Event]) -> tuple[list[Observation], list[Learnt]]:
        """What is known of each event before it, by its features and by labels; an event moves both memories."""
        observations, learnt = [], []
        for event in events:
            observation = self.state.observe(event)
            observations.append(observation)
            learnt.append(self.learning.observe(event, observation.features, late=observation.late))
        return observations, learnt

    def learn(self, stored: Sequence[StoredEvent]) -> None:
        """Move the memory past transactions that were scored before."""
        events = [self.reader.of_stored(each) for each in stored]
        observations, _ = self._observe(events)
        self.learning.connect(events, [each.late for each in observations])
        if not observations or self._settled:
            return
        matrix = np.array([observation.features for observation in observations], dtype=np.float64)
        raw = self._model.score(matrix).raw
        experienced = _experienced(observations)
        scores: list[float] = self.state.site.calibrate(self._model, raw, experienced)[0].tolist()
        hits = [
            self._rules.evaluate(Evidence(event, observation, each.location, score))
            for event, observation, each, score in zip(events, observations, stored, scores, strict=True)
        ]
        watched = Watched(matrix, raw, self._remaining(scores, hits), experienced)
        self.state.drift.learn(self._model, self._calibration, watched)

    def _remaining(self, model_scores: Sequence[float], hits: Sequence[tuple[RuleHit, ...]]) -> NDArray[np.float64]:
        """What the rules leave of the doubt that the model had, without what is known of labels: that is no drift."""
        return np.array(
            [
                (1.0 - fuse(score, of_row)) / (1.0 - score) if of_row and score < 1.0 else 1.0
                for score, of_row in zip(model_scores, hits, strict=True)
            ]
        )

    @property
    def _settled(self) -> bool:
        """Whether all has been seen that the serving model's calibration and reference are decided by."""
        site, drift = self.state.site, self.state.drift
        version = self._model.card.version
        return site.decided and drift.decided and site.model_version == drift.model_version == version

    @property
    def model(self) -> AnomalyModel:
        """The serving model."""
        return self._model

    @property
    def _calibration(self) -> QuantileCalibration:
        """The running one: the site's own where there is one."""
        return self.state.site.fitted or self._model.calibration

    def _alerts(
        self, alerted: Sequence["_Alerted"], matrix: NDArray[np.float64], shared: Mapping[int, Neighbourhood]
    ) -> list[NewAlert]:
        if not alerted:
            return []
        rows = matrix[[each.index for each in alerted]]
        explained = explanations(self._model, rows)
        ranked = self._ranked(alerted)
        return [
            self._alert(each, explanation, ranked.get(each.index), shared.get(each.index))
            for each, explanation in zip(alerted, explained, strict=True)
        ]

    def _ranked(self, alerted: Sequence["_Alerted"]) -> dict[int, RankedEvidence]:
        """What the champion made of those alerts that it decided, by their place in the batch."""
        champion = self.learning.rankers.champion
        decided = [(each.index, each.learnt.row, each.ranked) for each in alerted]
        chosen = [(index, row, ranked) for index, row, ranked in decided if row is not None and ranked is not None]
        if champion is None or not chosen:
            return {}
        rows = np.array([row for _, row, _ in chosen], dtype=np.float64)
        evidence = ranked_evidence(champion, rows, [ranked for *_, ranked in chosen])
        return dict(zip((index for index, *_ in chosen), evidence, strict=True))

    def _alert(
        self,
        alerted: "_Alerted",
        explanation: Explanation,
        ranked: RankedEvidence | None,
        shared: Neighbourhood | None,
    ) -> NewAlert:
        reasons = reasons_of(
            alerted.score,
            alerted.model_score,
            alerted.observation,
            alerted.hits,
            self._thresholds,
            self._model.calibration.alert_rate(alerted.model_score),
            OWN_TRAFFIC if alerted.by_own_traffic else HONEST_TRAFFIC,
            alerted.learnt.prior,
            ranked,
        )
        return NewAlert(
            index=alerted.index,
            alert_id=str(uuid5(NAMESPACE_OID, alerted.transaction_id)),
            level=alerted.level,
            reason_codes=tuple(reason.code for reason in reasons),
            reasons_json=orjson.dumps([reason.model_dump() for reason in reasons]).decode(),
            evidence_json=evidence_json(
                explanation,
                alerted.observation.memory,
                self._rescoring(alerted),
                ranked,
                shared_evidence(shared),
            ),
        )

    def _rescoring(self, alerted: "_Alerted") -> Rescoring:
        fitted = self.state.site.fitted if alerted.by_own_traffic else None
        return rescoring_of(
            alerted.event,
            alerted.observation,
            self._model.card.version,
            fitted,
            prior=alerted.learnt.prior,
            ranker=self._kept_for_ranker(alerted),
        )

    def _kept_for_ranker(self, alerted: "_Alerted") -> RankerRescoring | None:
        champion, learnt = self.learning.rankers.champion, alerted.learnt
        if champion is None or alerted.ranked is None or learnt.row is None or learnt.history is None:
            return None
        return kept_for_ranker(champion.card.version, learnt.row, learnt.history)


@dataclass(frozen=True, slots=True)
class _Alerted:
    index: int
    transaction_id: str
    event: Event
    observation: Observation
    hits: tuple[RuleHit, ...]
    score: float
    model_score: float
    level: RiskLevel
    by_own_traffic: bool
    learnt: Learnt
    ranked: float | None


def _experienced(observations: Sequence[Observation]) -> NDArray[np.bool_]:
    return np.array(
        [not each.late and each.memory.card[profiles.COUNT] >= EXPERIENCED for each in observations], dtype=np.bool_
    )


def _row(
    decoded: Decoded,
    event: Event,
    observation: Observation,
    score: float,
    model_score: float,
    challenger_score: float | None,
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
        amount_ratio(observation.features),
        challenger_score,
    )
