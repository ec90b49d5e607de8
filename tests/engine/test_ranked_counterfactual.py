"""An alert that a ranker decided scores again what it scored, and clears exactly where it is said to."""

import math
import struct
from base64 import b64decode, b64encode
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.models import Alert, RankerRescoring, Rescoring
from data.store import Store
from engine.card_history import AMOUNTS_KEPT, UNUSUAL_KEPT, CardHistory, HistoryState
from engine.columns import ColumnMap
from engine.counterfactual import Change, _no_known_fraud, _usual_hours
from engine.decode import Decoded, JsonDecoder
from engine.features import FEATURE_NAMES, Event, EventReader
from engine.gazetteer import Gazetteer
from engine.label_features import LABEL_FEATURE_NAMES, NO_KNOWN_FRAUD, KnownFraud, LabelState
from engine.learning import Learning, Rankers
from engine.model import AnomalyModel
from engine.ranker import Ranker, train_ranker
from engine.ranker_features import RANKER_FEATURE_NAMES, UNLABELLED_FEATURE_NAMES
from engine.ranker_memory import kept_for_ranker, read_ranker_memory
from engine.rescoring import Detectors, Rescorer, Situation, _probability, _ranker_row, _state
from engine.scorer import Scorer

from .alerted import NOW, alerts_of, detectors_of, new_scorer, new_state, score_into
from .test_counterfactual import kinds_that_hold_at_their_bounds, refused

HOUR_US = 3_600_000_000
RECORDS = 8_000
LONGEST_MEMORY = 668


@pytest.fixture(scope="module")
def transactions(traffic: Path) -> list[Decoded]:
    decoder = JsonDecoder(ColumnMap(label="is_fraud", scenario="scenario"))
    outcomes = map(decoder.decode, traffic.read_bytes().splitlines()[:RECORDS])
    return [each for each in outcomes if isinstance(each, Decoded)]


def tell_of_fraud(learning: Learning, events: list[Event], transactions: list[Decoded]) -> None:
    """Every fraud is known an hour after it happened."""
    for event, each in zip(events, transactions, strict=True):
        if each.is_fraud:
            learning.tell(KnownFraud(event.time + HOUR_US, event.time, event.card_id, event.merchant, 1.0))


@pytest.fixture(scope="module")
def events(transactions: list[Decoded], gazetteer: Gazetteer) -> list[Event]:
    reader = EventReader(gazetteer)
    return [reader.of_transaction(each.transaction) for each in transactions]


@pytest.fixture(scope="module")
def ranker(transactions: list[Decoded], events: list[Event]) -> Ranker:
    """Trained on what it will score, so that it decides on all kinds of fraud."""
    state, learning = new_state(), Learning(0)
    learning.begin_history(None)
    tell_of_fraud(learning, events, transactions)
    rows, fraud = [], []
    for event, each in zip(events, transactions, strict=True):
        observation = state.observe(event)
        row = learning.observe(event, observation.features, late=observation.late).row
        if row is not None:
            rows.append(row)
            fraud.append(bool(each.is_fraud))
    day = datetime(2026, 1, 5, tzinfo=UTC)
    return train_ranker(np.array(rows), np.array(fraud), seed=1, trained_at=NOW, data_from=day, data_to=day, trees=60)


def ranked_scorer(store: Store, model: AnomalyModel, gazetteer: Gazetteer, ranker: Ranker) -> Scorer:
    scorer = new_scorer(store, model, gazetteer)
    scorer.learning = Learning(0)
    scorer.learning.begin_history(None)
    scorer.learning.rankers = Rankers(champion=ranker)
    return scorer


@pytest.fixture(scope="module")
def store(
    transactions: list[Decoded],
    events: list[Event],
    ranker: Ranker,
    model: AnomalyModel,
    gazetteer: Gazetteer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Store:
    store = Store.open(tmp_path_factory.mktemp("ranked") / "sentinel.db")
    scorer = ranked_scorer(store, model, gazetteer, ranker)
    tell_of_fraud(scorer.learning, events, transactions)
    score_into(store, scorer, transactions)
    return store


@pytest.fixture(scope="module")
def alerts(store: Store) -> list[Alert]:
    found = [alert for alert in alerts_of(store) if alert.ranked is not None]
    assert len(found) > 80
    return found


@pytest.fixture(scope="module")
def detectors(store: Store, model: AnomalyModel, ranker: Ranker) -> Detectors:
    return detectors_of(store, model, load_ranker=lambda _: ranker)


def test_every_alert_scores_again_exactly_what_is_stored(alerts: list[Alert], detectors: Detectors) -> None:
    for alert in alerts:
        rescorer = Rescorer(alert, detectors)
        situation = rescorer.situation
        assert alert.ranked is not None
        assert (
            _probability(situation, _state(detectors, situation).observe(situation.event)) == alert.ranked.probability
        )
        for verdict in rescorer.judge([situation, situation]):
            assert (verdict.score, verdict.level) == (alert.score, alert.level)


def test_an_alert_clears_at_the_bound_and_not_one_beyond(alerts: list[Alert], detectors: Detectors) -> None:
    kinds = kinds_that_hold_at_their_bounds(alerts, detectors)
    changes = (Change.AMOUNT, Change.VELOCITY, Change.PLACE, Change.MERCHANT, Change.KNOWN_FRAUD)
    assert min(kinds[change] for change in changes) > 2


def test_a_change_of_the_hour_changes_no_other_feature_of_the_row(alerts: list[Alert], detectors: Detectors) -> None:
    seen = 0
    for alert in alerts:
        situation = Rescorer(alert, detectors).situation
        rows = [row_of(situation, detectors), *(row_of(moved, detectors) for _, moved in _usual_hours(situation))]
        for row in rows[1:]:
            changed = ~np.isclose(row, rows[0], rtol=1e-6, atol=1e-6, equal_nan=True)
            assert {RANKER_FEATURE_NAMES[k] for k in np.flatnonzero(changed)} <= {"hour_rarity"}
            seen += 1
    assert seen > 30


def row_of(situation: Situation, detectors: Detectors) -> tuple[float, ...]:
    assert situation.ranked is not None
    features = _state(detectors, situation).observe(situation.event).features
    return _ranker_row(situation.ranked, situation.event, features)


def test_without_known_fraud_the_labels_are_those_of_a_merchant_and_a_card_of_which_none_is_known(
    alerts: list[Alert], detectors: Detectors
) -> None:
    assert LabelState(0).features("c", "m", HOUR_US) == NO_KNOWN_FRAUD
    offered = 0
    for alert in alerts:
        situation = Rescorer(alert, detectors).situation
        assert situation.ranked is not None
        options = list(_no_known_fraud(situation))
        assert len(options) == any(each > 0.0 for each in situation.ranked.memory.labels)
        for text, without in options:
            assert text == "with no fraud known of merchant and card"
            row, own = row_of(without, detectors), row_of(situation, detectors)
            assert row[-len(LABEL_FEATURE_NAMES) :] == NO_KNOWN_FRAUD
            assert np.array_equal(row[: len(UNLABELLED_FEATURE_NAMES)], own[: len(UNLABELLED_FEATURE_NAMES)], True)
            offered += 1
    assert 0 < offered < len(alerts)


def test_what_is_kept_does_not_depend_on_how_transactions_are_cut_into_batches(
    transactions: list[Decoded],
    events: list[Event],
    ranker: Ranker,
    model: AnomalyModel,
    gazetteer: Gazetteer,
    store: Store,
) -> None:
    scorer = ranked_scorer(store, model, gazetteer, ranker)
    tell_of_fraud(scorer.learning, events, transactions)
    kept = [
        orjson.loads(alert.evidence_json)["rescoring"]["ranker"]
        for start in range(0, 2_000, 13)
        for alert in scorer.score(transactions[start : start + 13][: 2_000 - start]).alerts
    ]
    with closing(store.reader()) as reader:
        stored = reader.execute(
            "SELECT evidence FROM alerts WHERE transaction_seq <= 2000 ORDER BY transaction_seq"
        ).fetchall()
    assert kept == [orjson.loads(evidence)["rescoring"]["ranker"] for (evidence,) in stored]
    assert sum(each is not None for each in kept) > 10


def test_a_cards_history_is_kept_only_where_a_champion_may_need_it(events: list[Event], ranker: Ranker) -> None:
    learning = Learning(0)
    features = (0.0,) * len(FEATURE_NAMES)
    assert learning.observe(events[0], features, late=False).history is None
    learning.begin_history(None)
    learning.rankers = Rankers(challenger=ranker)
    assert learning.observe(events[1], features, late=False).history is None
    learning.rankers = Rankers(champion=ranker)
    assert learning.observe(events[2], features, late=False).history is not None
    assert learning.observe(events[3], features, late=True).history is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 2**33), max_size=2 * AMOUNTS_KEPT),
    st.lists(st.floats(allow_infinity=False), min_size=len(LABEL_FEATURE_NAMES), max_size=len(LABEL_FEATURE_NAMES)),
    st.integers(1, 2**33),
)
def test_what_is_kept_gives_the_features_that_the_whole_history_gives(
    amounts: list[int], labels: list[float], last: int
) -> None:
    def paid(number: int, cents: int) -> Event:
        return Event("c", cents / 100, number * 12 * HOUR_US, None, None, True, "m", None)

    whole, again = HistoryState(), HistoryState()
    features = (0.0,) * len(FEATURE_NAMES)
    for number, cents in enumerate(amounts):
        whole.observe(paid(number, cents), features)
        whole.observe(paid(number, cents)._replace(card_id="other", merchant="other"), features)
    event = paid(len(amounts), last)
    row = (*(0.0,) * len(UNLABELLED_FEATURE_NAMES), *labels)
    kept = kept_for_ranker("boosting-1", row, whole.remembered(event))
    assert len(kept.memory) <= LONGEST_MEMORY
    read = read_ranker_memory(kept)
    assert np.array_equal(read.labels, labels, equal_nan=True)
    again.restore(event, read.history)
    expected = whole.observe(event, features)
    assert np.array_equal(again.observe(event, features), expected, equal_nan=True)


def test_the_longest_memory_is_as_long_as_is_said() -> None:
    full = CardHistory(bytes(4 * AMOUNTS_KEPT), 0, bytes(8 * UNUSUAL_KEPT), (1.0, 1.0))
    assert len(kept_for_ranker("boosting-1", (0.0,) * len(RANKER_FEATURE_NAMES), full).memory) == LONGEST_MEMORY


def test_an_alert_that_cannot_be_scored_as_it_was_is_refused_in_words(
    alerts: list[Alert], detectors: Detectors, store: Store, model: AnomalyModel
) -> None:
    alert = alerts[-1]
    assert alert.rescoring is not None
    kept = alert.rescoring.ranker
    assert kept is not None
    packed = b64decode(kept.memory)
    labels = 8 * len(LABEL_FEATURE_NAMES)
    infinite = struct.pack("<d", math.inf)
    changes: list[tuple[RankerRescoring | None, str]] = [
        (None, "stored while a ranker served, by an earlier version"),
        (kept.model_copy(update={"model": "boosting-0000"}), "file holds boosting-[0-9a-f]+ now"),
        *(
            (kept.model_copy(update={"memory": b64encode(damaged).decode()}), "What was stored .* cannot be read")
            for damaged in (
                b"",
                packed[:-1],
                packed + b"\0",
                infinite + packed[8:],
                packed[:labels] + infinite + packed[labels + 8 :],
                packed[: labels + 17] + b"\xff" + packed[labels + 18 :],
            )
        ),
        (kept.model_copy(update={"memory": "é"}), "What was stored .* cannot be read"),
    ]
    for ranker, problem in changes:
        rescoring = alert.rescoring.model_copy(update={"ranker": ranker})
        refused(alert.model_copy(update={"rescoring": rescoring}), detectors, problem)
    refused(
        alert, detectors_of(store, model), "which decided on this alert, cannot be read: there is no ranker boosting-"
    )


def test_unusual_amounts_out_of_order_are_refused() -> None:
    unusual = struct.pack("<2Q", 2 << 30, 1 << 30)
    kept = kept_for_ranker("boosting-1", (0.0,) * len(RANKER_FEATURE_NAMES), CardHistory(b"", 0, unusual, (0.0, 0.0)))
    with pytest.raises(ValueError, match="hang together"):
        read_ranker_memory(kept)


def test_what_earlier_versions_stored_still_opens(alerts: list[Alert]) -> None:
    rescoring = alerts[0].rescoring
    assert rescoring is not None
    earlier = rescoring.model_dump(mode="json", exclude={"ranker"})
    assert Rescoring.model_validate(earlier).ranker is None
