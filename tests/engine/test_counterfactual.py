"""A stored alert scores again what it scored, and clears exactly where it is said to."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import RescoringError
from data.models import Alert
from data.store import Store
from data.timestamps import to_microseconds
from engine.calibration import QuantileCalibration
from engine.counterfactual import Change, Clearing, _usual_hours, clearings
from engine.features import FEATURE_NAMES
from engine.gazetteer import Gazetteer
from engine.label_features import KnownFraud
from engine.model import AnomalyModel
from engine.rescoring import Detectors, Rescorer, Situation, _state
from engine.scorer import Scorer
from engine.scoring import Thresholds

from .alerted import alerts_of, decoded, detectors_of, new_scorer, score_into

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SMALL = 200


@pytest.fixture(scope="module")
def store(model: AnomalyModel, gazetteer: Gazetteer, traffic: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("alerted") / "sentinel.db")
    score_into(store, new_scorer(store, model, gazetteer), decoded(traffic.read_bytes().splitlines()))
    return store


@pytest.fixture(scope="module")
def detectors(store: Store, model: AnomalyModel) -> Detectors:
    return detectors_of(store, model)


@pytest.fixture(scope="module")
def alerts(store: Store) -> list[Alert]:
    found = alerts_of(store)
    assert len(found) > 100
    return found


def level_at(rescorer: Rescorer, situation: Situation) -> Any:
    (verdict,) = rescorer.judge([situation])
    return verdict.level


def with_amount(situation: Situation, cents: int) -> Situation:
    return replace(situation, event=situation.event._replace(amount=cents / 100.0))


def test_every_alert_scores_again_exactly_what_is_stored(alerts: list[Alert], detectors: Detectors) -> None:
    for alert in alerts:
        rescorer = Rescorer(alert, detectors)
        (verdict,) = rescorer.judge([rescorer.situation])
        assert (verdict.score, verdict.level) == (alert.score, alert.level)
        assert {hit.rule.id for hit in verdict.hits} <= {reason.code for reason in alert.reasons}


def test_an_alert_clears_at_the_bound_and_not_one_beyond(alerts: list[Alert], detectors: Detectors) -> None:
    kinds = kinds_that_hold_at_their_bounds(alerts, detectors)
    assert min(kinds[change] for change in (Change.AMOUNT, Change.VELOCITY)) > 10


def kinds_that_hold_at_their_bounds(alerts: list[Alert], detectors: Detectors) -> Counter[Change]:
    """How many changes of each kind clear an alert, where each bound clears and one beyond it does not."""
    kinds: Counter[Change] = Counter()
    for alert in alerts:
        rescorer = Rescorer(alert, detectors)
        own = round(alert.amount * 100)
        for clearing in clearings(alert, detectors):
            kinds[clearing.change] += 1
            if clearing.bound is None:
                continue
            beyond = clearing.bound + (1 if clearing.bound < own or clearing.change is not Change.AMOUNT else -1)
            here, there = (at(rescorer.situation, clearing, value) for value in (clearing.bound, beyond))
            assert level_at(rescorer, here) is None, (alert.id, clearing)
            assert level_at(rescorer, there) is not None, (alert.id, clearing)
    return kinds


def at(situation: Situation, clearing: Clearing, value: int) -> Situation:
    match clearing.change:
        case Change.AMOUNT:
            return with_amount(situation, value)
        case Change.VELOCITY:
            return replace(situation, velocity=value)
        case _:
            return replace(situation, memory=situation.memory._replace(small_amounts=value - 1))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_amount_below_a_clear_bound_clears(alerts: list[Alert], detectors: Detectors, data: st.DataObject) -> None:
    alert = data.draw(st.sampled_from(alerts))
    below = [each for each in clearings(alert, detectors) if each.text.startswith("below")]
    for clearing in below:
        assert clearing.bound is not None
        cents = data.draw(st.integers(0, clearing.bound))
        rescorer = Rescorer(alert, detectors)
        assert level_at(rescorer, with_amount(rescorer.situation, cents)) is None


def purchase(number: int, at: datetime, amount: float = 20.0, **changes: Any) -> bytes:
    fields = {
        "transaction_id": f"t-{number}",
        "card_id": "card-1",
        "amount": amount,
        "timestamp": at.isoformat(),
        "location": "Austin, TX",
        "merchant_category": "grocery",
        "merchant_id": f"m-{number % 3}",
    }
    return orjson.dumps({key: value for key, value in (fields | changes).items() if value is not None})


def history() -> list[bytes]:
    """Forty days of a card that pays around noon, and of others that make a baseline of all."""
    records = []
    for day in range(40, 0, -1):
        time = NOON - timedelta(days=day)
        records.append(purchase(day, time, 18.0 + day % 5))
        records.append(purchase(1_000 + day, time + timedelta(hours=1), card_id=f"card-{2 + day % 7}"))
    return records


@pytest.fixture
def raised(tmp_path: Path, model: AnomalyModel, gazetteer: Gazetteer) -> Any:
    """The alerts that records raise after the history, with what judged them."""

    def raise_alerts(*records: bytes, prepare: Any = lambda _: None) -> tuple[list[Alert], Detectors]:
        store = Store.open(tmp_path / "sentinel.db")
        scorer = new_scorer(store, model, gazetteer)
        prepare(scorer)
        score_into(store, scorer, decoded([*history(), *records]))
        return alerts_of(store), detectors_of(store, model)

    return raise_alerts


def found(alert: Alert, detectors: Detectors) -> dict[Change, Clearing]:
    return {each.change: each for each in clearings(alert, detectors)}


def test_a_burst_of_usual_amounts_clears_at_fewer_in_the_window_only(raised: Any) -> None:
    burst = [purchase(2_000 + n, NOON + timedelta(seconds=n), 18.0) for n in range(4)]
    alerts, detectors = raised(*burst)
    clearing = found(alerts[0], detectors)[Change.VELOCITY]
    assert (clearing.text, clearing.bound) == ("at 2 in the window", 2)
    assert Change.AMOUNT not in found(alerts[0], detectors)


def test_a_large_amount_clears_below_a_bound_between_the_usual_one_and_its_own(raised: Any) -> None:
    alerts, detectors = raised(purchase(2_000, NOON, 9_500.0))
    clearing = found(alerts[-1], detectors)[Change.AMOUNT]
    assert clearing.bound is not None
    assert 2_200 < clearing.bound < 950_000
    assert clearing.text == f"below {(clearing.bound + 1) / 100:,.2f}"


def test_a_hidden_place_clears_at_the_usual_one(raised: Any) -> None:
    alerts, detectors = raised(purchase(2_000, NOON, 120.0, location="TOR Exit Node"))
    assert found(alerts[-1], detectors)[Change.PLACE].text == "at the card's usual place"


def test_a_hidden_place_of_a_new_card_clears_in_the_open(raised: Any) -> None:
    alerts, detectors = raised(purchase(2_000, NOON, 120.0, card_id="new", location="vpn"))
    assert found(alerts[-1], detectors)[Change.PLACE].text == "at a place that is not hidden"


def test_an_impossible_journey_clears_at_the_usual_place(raised: Any) -> None:
    here = purchase(2_000, NOON, 20.0)
    there = purchase(2_001, NOON + timedelta(minutes=20), 20.0, location="Anchorage, AK")
    alerts, detectors = raised(here, there)
    assert alerts[-1].transaction_id == "t-2001"
    assert found(alerts[-1], detectors)[Change.PLACE].text == "at the card's usual place"


def test_card_testing_clears_at_an_amount_that_is_not_small_or_at_fewer_of_them(raised: Any) -> None:
    tests = [purchase(2_000 + n, NOON + timedelta(minutes=2 * n), 1.0) for n in range(3)]
    alerts, detectors = raised(*tests)
    changes = found(alerts[-1], detectors)
    assert (changes[Change.AMOUNT].bound, changes[Change.AMOUNT].text) == (201, "at 2.01, which is no small amount")
    assert changes[Change.SMALL_AMOUNTS].text == "at 2 small amounts in their window"


def test_an_amount_that_would_be_card_testing_is_outside_the_stretch_that_clears(raised: Any) -> None:
    tests = [purchase(2_000 + n, NOON + timedelta(minutes=2 * n), 1.0) for n in range(2)]
    alerts, detectors = raised(*tests, purchase(2_010, NOON + timedelta(minutes=5), 9_500.0))
    assert found(alerts[-1], detectors)[Change.AMOUNT].text.startswith("from 2.01 to ")


def test_what_only_the_hour_or_the_merchant_raises_clears_at_a_usual_one(
    alerts: list[Alert], detectors: Detectors
) -> None:
    texts = {clearing.text for alert in alerts for clearing in clearings(alert, detectors)}
    assert "at a merchant known to the card" in texts
    assert any(text.startswith("at a usual hour, ") and text.endswith(" h UTC") for text in texts)


def test_a_change_of_the_hour_changes_no_other_feature(alerts: list[Alert], detectors: Detectors) -> None:
    seen = 0
    for alert in alerts:
        situation = Rescorer(alert, detectors).situation
        before = _state(detectors, situation).observe(situation.event).features
        for _, moved in _usual_hours(situation):
            after = _state(detectors, moved).observe(moved.event).features
            changed = {
                name
                for name, old, new in zip(FEATURE_NAMES, before, after, strict=True)
                if not np.isclose(old, new, rtol=1e-6, atol=1e-6)
            }
            assert changed <= {"hour_rarity"}
            seen += 1
    assert seen > 50


def test_what_no_single_change_clears_has_no_clearing(raised: Any) -> None:
    burst = [
        purchase(2_000 + n, NOON + timedelta(seconds=n), 9_500.0, location="TOR Exit Node", merchant_id=f"x-{n}")
        for n in range(12)
    ]
    alerts, detectors = raised(*burst)
    assert clearings(alerts[-1], detectors) == ()


@pytest.mark.parametrize("records", [
    [purchase(2_000, NOON, 9_500.0), purchase(2_001, NOON - timedelta(hours=2), 9_500.0)],
    [purchase(2_000, NOON, 9_500.0, merchant_id=None, merchant_category=None, location=None)],
    [purchase(2_000, NOON, 9_500.0, merchant_category="online", latitude=47.4, longitude=8.5)],
    [purchase(2_000, NOON, 9_500.0, card_id="new")],
], ids=["late", "bare", "card not present", "new card"])  # fmt: skip
def test_alerts_of_every_kind_score_again_what_they_scored(raised: Any, records: list[bytes]) -> None:
    alerts, detectors = raised(*records)
    assert len(alerts) >= len(records)
    for alert in alerts:
        Rescorer(alert, detectors)


def test_an_alert_of_a_site_with_its_own_calibration_and_without_places_scores_again_what_it_scored(
    raised: Any, model: AnomalyModel
) -> None:
    def prepare(scorer: Scorer) -> None:
        rng = np.random.default_rng(0)
        state = scorer.state
        state.site.model_version = model.card.version
        state.site.decided = True
        state.site.fitted = QuantileCalibration.fit(rng.uniform(0.3, 0.5, 6_000))
        state.hops, state.impossible_share = 1_000, 0.9

    alerts, detectors = raised(
        purchase(2_000, NOON, 120.0), purchase(2_001, NOON + timedelta(minutes=1), location="Anchorage, AK"),
        prepare=prepare,
    )  # fmt: skip
    assert alerts[-1].rescoring is not None
    assert alerts[-1].rescoring.calibration is not None
    Rescorer(alerts[-1], detectors)


def test_what_only_known_fraud_raises_clears_without_it(raised: Any) -> None:
    def prepare(scorer: Scorer) -> None:
        time = to_microseconds(NOON - timedelta(days=2))
        for number in range(30):
            scorer.learning.tell(KnownFraud(time, time, f"victim-{number}", "m-1", 1.0))

    alerts, detectors = raised(purchase(2_002, NOON, 20.0, merchant_id="m-1"), prepare=prepare)
    assert alerts[-1].transaction_id == "t-2002"
    assert alerts[-1].model_score < 0.5
    assert found(alerts[-1], detectors)[Change.KNOWN_FRAUD].text == "with no fraud known of merchant and card"


def refused(alert: Alert, detectors: Detectors, problem: str) -> None:
    with pytest.raises(RescoringError, match=problem):
        clearings(alert, detectors)


def test_an_alert_that_cannot_be_scored_as_it_was_is_refused_in_words(
    alerts: list[Alert], detectors: Detectors, store: Store, model: AnomalyModel
) -> None:
    alert = next(each for each in alerts if each.model_score > 0.6)
    assert alert.rescoring is not None
    refused(alert.model_copy(update={"rescoring": None}), detectors, "earlier version")
    changes: list[tuple[dict[str, Any], str]] = [
        ({"model": "iforest-0000"}, "model iforest-0000, and the model now is iforest-"),
        ({"ranked": True}, "stored while a ranker served, by an earlier version"),
        ({"prior": 0.5}, "rules and settings of now"),
        ({"memory": "AAAA"}, "cannot be read"),
        ({"memory": "é"}, "cannot be read"),
        ({"memory": alert.rescoring.memory[:8] + "/////////38" + alert.rescoring.memory[19:]}, "not finite"),
        ({"calibration": (0.0, 1.0)}, "cannot be read"),
    ]
    for change, problem in changes:
        changed = alert.model_copy(update={"rescoring": alert.rescoring.model_copy(update=change)})
        refused(changed, detectors, problem)
    refused(alert.model_copy(update={"score": alert.score - 0.01}), detectors, "rules and settings of now")
    refused(alert.model_copy(update={"velocity": 10**9}), detectors, "more than 100,000")
    stricter = detectors_of(store, model, Thresholds(low_score=1.0, low_velocity=99))
    refused(alert, stricter, "rules and settings of now")


def test_what_an_alert_takes_of_the_store_is_bounded(store: Store) -> None:
    with store.reader() as reader:
        (largest,) = reader.execute("SELECT max(length(evidence)) FROM alerts").fetchone()
    assert largest < 3_500
