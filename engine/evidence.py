"""The evidence of an alert: what its model score is made of, and what was usual for the card."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from data.models import Anomaly, CardBaseline, Contribution, Neighbour, NeighbourKind, RankedEvidence, Rescoring
from data.timestamps import from_microseconds
from engine import profiles
from engine.compromise import WORTH_SAYING
from engine.entities import EntityKind
from engine.entity_graph import DAY_US, NEIGHBOUR_DAYS, Neighbourhood
from engine.entity_graph import Neighbour as SharedEntity
from engine.features import FEATURES, Memory
from engine.model import AnomalyModel
from engine.ranker import Ranker
from engine.ranker_titles import RANKER_FEATURES

_KINDS: Final = {EntityKind.MERCHANT: NeighbourKind.MERCHANT, EntityKind.PLACE: NeighbourKind.PLACE}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one transaction's raw anomaly is made of: the base, and every feature's part, the largest first."""

    anomaly: Anomaly
    contributions: tuple[Contribution, ...]


def explanations(model: AnomalyModel, rows: NDArray[np.float64]) -> list[Explanation]:
    """Explain the raw anomaly of transactions; ``rows`` is (transactions, features)."""
    parts = model.explain(rows)
    usual = model.usual.tolist()
    scored = zip(rows.tolist(), parts.scores.tolist(), parts.contributions.tolist(), strict=True)
    return [
        Explanation(Anomaly(base=parts.base, score=score), _contributions(features, usual, shares))
        for features, score, shares in scored
    ]


def ranked_evidence(ranker: Ranker, rows: NDArray[np.float64], probabilities: Sequence[float]) -> list[RankedEvidence]:
    """Explain what a ranker made of transactions; ``rows`` is (transactions, features) in its order."""
    parts = ranker.explain(rows)
    explained = zip(rows.tolist(), probabilities, parts.scores.tolist(), parts.contributions.tolist(), strict=True)
    return [
        RankedEvidence(
            model=ranker.card.version,
            probability=probability,
            base=parts.base,
            log_odds=log_odds,
            contributions=_ranked_contributions(features, shares),
        )
        for features, probability, log_odds, shares in explained
    ]


def _ranked_contributions(features: Sequence[float], shares: Sequence[float]) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(
            feature=RANKER_FEATURES[k].name,
            value=None if isnan(features[k]) else _shortened(RANKER_FEATURES[k].natural(features[k])),
            usual=None,
            share=shares[k],
        )
        for k in sorted(range(len(RANKER_FEATURES)), key=lambda k: (-abs(shares[k]), k))
    )


def shared_evidence(shared: Neighbourhood | None) -> tuple[Neighbour, ...]:
    """What a card shares with known fraud, as far as it says something; None where no fraud was known."""
    if shared is None:
        return ()
    return tuple(_neighbour(each) for each in shared.neighbours if each.posterior >= WORTH_SAYING)


def _neighbour(shared: SharedEntity) -> Neighbour:
    first_day = shared.last_visit // DAY_US - NEIGHBOUR_DAYS
    return Neighbour(
        kind=_KINDS[shared.kind],
        name=shared.name,
        since=from_microseconds(first_day * DAY_US),
        last_visit=from_microseconds(shared.last_visit),
        cards_seen=shared.cards_seen,
        fraud_cards=shared.fraud_cards,
        expected=shared.expected,
        lift=shared.lift,
        posterior=shared.posterior,
    )


def evidence_json(
    explanation: Explanation,
    memory: Memory,
    rescoring: Rescoring,
    ranked: RankedEvidence | None = None,
    shared: Sequence[Neighbour] = (),
) -> str:
    """The evidence as it is stored with the alert; ``ranked`` where a ranker decided."""
    evidence = {
        "anomaly": explanation.anomaly.model_dump(),
        "contributions": [each.model_dump() for each in explanation.contributions],
        "baseline": _baseline(memory.card).model_dump(mode="json"),
        "rescoring": rescoring.model_dump(mode="json"),
        "ranked": None if ranked is None else ranked.model_dump(mode="json"),
        "shared": [each.model_dump(mode="json") for each in shared],
    }
    return orjson.dumps(evidence).decode()


def _contributions(
    features: Sequence[float], usual: Sequence[float], shares: Sequence[float]
) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(
            feature=FEATURES[k].name,
            value=_shortened(FEATURES[k].natural(features[k])),
            usual=_shortened(FEATURES[k].natural(usual[k])),
            share=shares[k],
        )
        for k in sorted(range(len(FEATURES)), key=lambda k: (-abs(shares[k]), k))
    )


def _shortened(value: float) -> float:
    """Nine significant digits: amounts as they came, without the last digits of a logarithm and back."""
    return float(f"{value:.9g}")


def _baseline(profile: "array[float]") -> CardBaseline:
    count = int(profile[profiles.COUNT])
    located = profile[profiles.HOME_COUNT] > 0.0
    hours = profiles.usual_hour_bins(profile)
    return CardBaseline(
        transactions=count,
        mean_amount=round(profile[profiles.MEAN], 2) if count else None,
        usual_places=_place(profile[profiles.HOME_LATITUDE], profile[profiles.HOME_LONGITUDE]) if located else None,
        usual_hours=_usual_hours(hours) if hours else None,
        last_seen=_seen(profile[profiles.LAST_TIME]) if count else None,
        last_location=_place(profile[profiles.PLACE_LATITUDE], profile[profiles.PLACE_LONGITUDE]) if located else None,
    )


def _seen(time_s: float) -> datetime:
    return from_microseconds(round(time_s * 1_000_000))


def _place(latitude: float, longitude: float) -> str:
    return f"{latitude:.2f}, {longitude:.2f}"


def _usual_hours(bins: Sequence[int]) -> str:
    width = 24 // profiles.HOUR_BINS
    spans: list[list[int]] = []
    for index in sorted(bins):
        if spans and spans[-1][1] == index * width:
            spans[-1][1] += width
        else:
            spans.append([index * width, (index + 1) * width])
    return ", ".join(f"{start:02d}-{end:02d} h" for start, end in spans) + " UTC"
