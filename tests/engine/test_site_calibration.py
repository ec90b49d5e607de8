from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import checkpoint
from engine.features import FeatureState
from engine.model import AnomalyModel
from engine.site_calibration import JUDGED_AT, SITE_ROWS, TOLERANCE, SiteCalibration

ROWS = SITE_ROWS + 3_000


def traffic(model: AnomalyModel, shift: float, rows: int = ROWS, seed: int = 3) -> NDArray[np.float64]:
    """Raw anomalies like the model's own calibration traffic, moved by ``shift``."""
    shares = np.random.default_rng(seed).random(rows)
    calibration = model.calibration
    return (np.interp(shares, calibration.share[::-1], calibration.raw[::-1]) + shift).clip(1e-6, 1.0)


def everyone(raw: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.ones(len(raw), dtype=np.bool_)


def test_traffic_that_agrees_with_the_model_keeps_the_models_calibration(model: AnomalyModel) -> None:
    site = SiteCalibration()
    raw = traffic(model, 0.0)
    scores, own = site.calibrate(model, raw, everyone(raw))
    assert site.decided
    assert site.fitted is None
    assert own == len(raw)
    assert (scores == model.calibration.apply(raw)).all()


@pytest.mark.parametrize("shift", [-0.1, 0.1])
def test_traffic_of_another_kind_gets_the_stated_alert_rate(model: AnomalyModel, shift: float) -> None:
    site = SiteCalibration()
    first = traffic(model, shift, SITE_ROWS)
    site.calibrate(model, first, everyone(first))
    later = traffic(model, shift, 100_000, seed=4)
    scores, own = site.calibrate(model, later, everyone(later))
    assert own == 0
    stated = model.calibration.alert_rate(JUDGED_AT)
    by_the_model = float(np.mean(model.calibration.apply(later) >= JUDGED_AT))
    assert not stated / TOLERANCE <= by_the_model <= stated * TOLERANCE
    assert float(np.mean(scores >= JUDGED_AT)) == pytest.approx(stated, rel=0.3)


@given(cuts=st.lists(st.integers(0, ROWS), max_size=6), restart_at=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_the_decision_falls_on_one_transaction_whatever_the_batches_and_restarts(
    model: AnomalyModel, cuts: list[int], restart_at: int
) -> None:
    raw = traffic(model, 0.1)
    experienced = np.random.default_rng(5).random(ROWS) < 0.9
    whole, own = SiteCalibration().calibrate(model, raw, experienced)
    assert own == int(np.flatnonzero(experienced)[SITE_ROWS - 1]) + 1

    state = FeatureState(60, 2.0, 600)
    edges = [0, *sorted(cuts), ROWS]
    pieces = []
    for number, (first, last) in enumerate(pairwise(edges)):
        if number == restart_at:
            saved = checkpoint.dump(state)
            state = FeatureState(60, 2.0, 600)
            checkpoint.load(saved, state)
        pieces.append(state.site.calibrate(model, raw[first:last], experienced[first:last])[0])
    assert (np.concatenate(pieces) == whole).all()


def test_cards_without_a_history_are_not_watched(model: AnomalyModel) -> None:
    site = SiteCalibration()
    raw = traffic(model, 0.1)
    site.calibrate(model, raw, ~everyone(raw))
    assert not site.decided
    assert len(site.seen) == 0


def test_another_model_starts_the_watch_anew(model: AnomalyModel) -> None:
    site = SiteCalibration()
    raw = traffic(model, 0.1)
    site.calibrate(model, raw, everyone(raw))
    assert site.fitted is not None
    site.model_version = "iforest-000000000000"
    scores, own = site.calibrate(model, raw[:100], everyone(raw[:100]))
    assert not site.decided
    assert own == 100
    assert (scores == model.calibration.apply(raw[:100])).all()
