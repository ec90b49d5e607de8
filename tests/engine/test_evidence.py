"""The evidence that alerts are stored with, of real alerts."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from data.models import Anomaly, CardBaseline, Contribution
from engine.columns import ColumnMap
from engine.decode import Decoded, JsonDecoder
from engine.features import FEATURE_NAMES, EventReader, FeatureState
from engine.gazetteer import Gazetteer
from engine.model import AnomalyModel
from engine.rules import RuleSet
from engine.scorer import ScoredBatch, Scorer
from engine.scoring import Thresholds

Scored = list[ScoredBatch]


@pytest.fixture(scope="module")
def scored(model: AnomalyModel, gazetteer: Gazetteer, traffic: Path) -> Scored:
    """Generated traffic, scored in batches."""
    decoder = JsonDecoder(ColumnMap())
    outcomes = [decoder.decode(raw) for raw in traffic.read_bytes().splitlines()[:8_000]]
    decoded = [outcome for outcome in outcomes if isinstance(outcome, Decoded)]
    scorer = Scorer(FeatureState(60, 2.0, 600), EventReader(gazetteer), model, RuleSet(()), Thresholds())
    return [scorer.score(decoded[at : at + 500]) for at in range(0, len(decoded), 500)]


def test_contributions_of_every_feature_and_the_base_add_up_to_the_raw_anomaly(
    scored: Scored, model: AnomalyModel
) -> None:
    seen = 0
    for batch in scored:
        raw = model.score(batch.features).raw
        for alert in batch.alerts:
            evidence = orjson.loads(alert.evidence_json)
            anomaly = Anomaly.model_validate(evidence["anomaly"])
            contributions = [Contribution.model_validate(each) for each in evidence["contributions"]]
            assert anomaly.score == raw[alert.index]
            assert anomaly.base + sum(each.share for each in contributions) == pytest.approx(anomaly.score, abs=1e-9)
            assert {each.feature for each in contributions} == set(FEATURE_NAMES)
            sizes = [abs(each.share) for each in contributions]
            assert sizes == sorted(sizes, reverse=True)
            seen += 1
    assert seen > 50


def test_values_read_in_natural_units_and_the_baseline_is_of_before(scored: Scored) -> None:
    for batch in scored:
        for alert in batch.alerts:
            evidence = orjson.loads(alert.evidence_json)
            amount = batch.transactions[alert.index].amount_minor / 100
            values = {each["feature"]: each["value"] for each in evidence["contributions"]}
            assert values["amount"] == pytest.approx(amount, rel=1e-8)
            assert values["velocity"] == batch.transactions[alert.index].velocity - 1
            CardBaseline.model_validate(evidence["baseline"])


def test_evidence_does_not_depend_on_the_alerts_beside_it(scored: Scored, model: AnomalyModel) -> None:
    rows = np.concatenate([batch.features for batch in scored])[::37]
    together = model.explain(rows)
    for row, contributions in zip(rows, together.contributions, strict=True):
        assert model.explain(row[np.newaxis]).contributions.tobytes() == contributions.tobytes()
