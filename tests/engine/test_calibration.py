"""A threshold means a share of honest traffic, and the score never falls when the anomaly rises."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.calibration import ANCHORS, MINIMUM_ROWS, QuantileCalibration

STATED = {0.40: 0.003, 0.50: 0.001, 0.55: 0.0008, 0.70: 0.0004, 0.85: 0.0002}


def beta(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Shaped as the raw anomaly of a forest: most of it between 0.35 and 0.5, with a tail above."""
    anomaly: NDArray[np.float64] = 0.3 + 0.6 * rng.beta(2, 9, size=rows)
    return anomaly


def uniform(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    return 1.0 - rng.random(rows)


def bimodal(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    is_common = rng.random(rows) < 0.997
    return np.where(is_common, 0.4 + 0.01 * rng.random(rows), 0.8 + 0.1 * rng.random(rows))


@st.composite
def honest_traffic(draw: st.DrawFn) -> NDArray[np.float64]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    raw = draw(st.sampled_from([beta, uniform, bimodal]))(rng, draw(st.integers(MINIMUM_ROWS, 3 * MINIMUM_ROWS)))
    decimals = draw(st.sampled_from([16, 4, 2, 1, 0]))
    return np.asarray(np.clip(np.round(raw, decimals), 1e-12, 1.0))


@settings(max_examples=100, deadline=None)
@given(raw=honest_traffic(), others=st.lists(st.floats(0, 1, exclude_min=True), min_size=2, max_size=50))
def test_scores_rise_with_the_anomaly_and_stay_between_0_and_1(raw: NDArray[np.float64], others: list[float]) -> None:
    calibration = QuantileCalibration.fit(raw)
    anomalies = np.unique(np.concatenate([raw[:100], others, calibration.raw[1:-1], [1.0]]))
    scores = calibration.apply(anomalies)

    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()
    apart = np.diff(anomalies) > 1e-12
    assert (np.diff(scores)[apart] > 0).all()


@settings(max_examples=100, deadline=None)
@given(raw=honest_traffic())
def test_ties_never_raise_the_alert_rate_of_the_fitted_traffic(raw: NDArray[np.float64]) -> None:
    calibration = QuantileCalibration.fit(raw)
    scores = calibration.apply(raw)

    for anchor in ANCHORS:
        assert np.count_nonzero(scores >= anchor.score) <= np.ceil(anchor.share * (len(raw) + 1))


@pytest.mark.parametrize("distribution", [beta, uniform, bimodal])
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_alert_their_stated_share_of_traffic_not_seen_before(distribution: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    fitted, held_out = 20_000, 200_000
    calibration = QuantileCalibration.fit(distribution(rng, fitted))
    scores = calibration.apply(distribution(rng, held_out))

    for threshold, share in STATED.items():
        sampling_error = np.sqrt(share / fitted + share / held_out)
        assert np.mean(scores >= threshold) == pytest.approx(share, abs=4 * sampling_error)
        assert calibration.alert_rate(threshold) == share


def test_stated_shares_are_unbiased_at_the_smallest_number_of_rows() -> None:
    rng = np.random.default_rng(0)
    fits = [QuantileCalibration.fit(uniform(rng, MINIMUM_ROWS)) for _ in range(400)]

    for index, anchor in enumerate(ANCHORS, start=1):
        # Of a uniform anomaly, exactly 1 - x lies above x: no second sample adds its error.
        shares = np.array([1 - fit.raw[index] for fit in fits])
        assert shares.mean() == pytest.approx(anchor.share, abs=4 * shares.std() / np.sqrt(len(fits)))


def test_anomalies_above_all_honest_traffic_are_critical_and_still_ranked() -> None:
    raw = beta(np.random.default_rng(1), 20_000)
    calibration = QuantileCalibration.fit(raw)
    fraud = np.linspace(raw.max(), 1.0, 1_000)[1:]
    scores = calibration.apply(fraud)

    assert scores[0] > 0.85
    assert scores[-1] == 1.0
    assert (np.diff(scores) > 0).all()


@pytest.mark.parametrize("constant", [0.01, 0.5, 1.0])
def test_a_constant_anomaly_alerts_nobody(constant: float) -> None:
    calibration = QuantileCalibration.fit(np.full(MINIMUM_ROWS, constant))

    assert calibration.apply(np.array([constant]))[0] < ANCHORS[0].score
    assert calibration.apply(np.array([constant])) < calibration.apply(np.array([constant + 1e-6]))


def test_a_tied_tail_stays_below_the_threshold_it_would_overrun() -> None:
    raw = np.linspace(0.3, 0.5, 100_000)
    raw[-400:] = 0.6
    calibration = QuantileCalibration.fit(raw)

    score = calibration.apply(np.array([0.6]))[0]

    assert 0.25 <= score < 0.40


def test_the_order_of_rows_does_not_matter_and_rows_are_left_as_they_are() -> None:
    raw = beta(np.random.default_rng(2), MINIMUM_ROWS)
    before = raw.copy()

    forward, backward = QuantileCalibration.fit(raw), QuantileCalibration.fit(raw[::-1])

    assert forward.raw.tobytes() == backward.raw.tobytes()
    assert raw.tobytes() == before.tobytes()


def test_a_row_scores_the_same_to_the_last_bit_in_any_batch() -> None:
    calibration = QuantileCalibration.fit(beta(np.random.default_rng(3), MINIMUM_ROWS))
    raw = beta(np.random.default_rng(4), 1_024)

    alone = np.concatenate([calibration.apply(raw[at : at + 1]) for at in range(len(raw))])

    assert alone.tobytes() == calibration.apply(raw).tobytes()


def test_too_few_rows_are_refused_with_the_number_that_the_tail_needs() -> None:
    with pytest.raises(ValueError, match=r"4,999 honest rows are too few.* 0\.02% need at least 5,000"):
        QuantileCalibration.fit(np.full(MINIMUM_ROWS - 1, 0.5))


@pytest.mark.parametrize("value", [0.0, -0.1, np.nextafter(1.0, 2.0), np.nan, np.inf])
def test_an_anomaly_outside_0_to_1_is_refused(value: float) -> None:
    raw = np.full(MINIMUM_ROWS, 0.5)
    raw[7] = value

    with pytest.raises(ValueError, match="outside 0 to 1"):
        QuantileCalibration.fit(raw)


def test_the_alert_rate_falls_from_all_to_nothing() -> None:
    calibration = QuantileCalibration.fit(beta(np.random.default_rng(5), MINIMUM_ROWS))
    rates = [calibration.alert_rate(threshold) for threshold in np.linspace(0, 1, 101)]

    assert (rates[0], rates[-1]) == (1.0, 0.0)
    assert all(higher > lower for higher, lower in pairwise(rates))


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_a_threshold_outside_0_to_1_has_no_alert_rate(threshold: float) -> None:
    calibration = QuantileCalibration.fit(beta(np.random.default_rng(5), MINIMUM_ROWS))

    with pytest.raises(ValueError, match="outside 0 to 1"):
        calibration.alert_rate(threshold)


def knots(**changes: list[float]) -> QuantileCalibration:
    columns = {"raw": [0.0, 0.5, 1.0], "score": [0.0, 0.5, 1.0], "share": [1.0, 0.1, 0.0], **changes}
    return QuantileCalibration(**{name: np.array(column) for name, column in columns.items()})


@pytest.mark.parametrize(
    "changes",
    [
        {"raw": [0.0, 1.0, 0.5]},
        {"raw": [0.0, 0.5, 0.9]},
        {"raw": [0.1, 0.5, 1.0]},
        {"raw": [0.0, np.nan, 1.0]},
        {"raw": [0.0, 0.5, np.inf]},
        {"raw": [0.0, 1.0]},
        {"score": [0.0, 0.0, 1.0]},
        {"score": [0.0, 0.5, 1.5]},
        {"share": [1.0, 1.0, 0.0]},
        {"share": [0.9, 0.1, 0.0]},
        {"share": [1.0, 0.1]},
        {"raw": [], "score": [], "share": []},
    ],
)
def test_knots_that_are_not_a_rising_map_are_refused(changes: dict[str, list[float]]) -> None:
    assert knots().apply(np.array([0.25]))[0] == 0.25
    with pytest.raises(ValueError, match=r"knots|float64"):
        knots(**changes)


def test_a_calibration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        knots().raw[0] = 0.1
