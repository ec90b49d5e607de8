"""A store of real alerts: generated traffic, scored and committed as the engine does."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime

from data.batches import BatchResult
from data.engine_writes import EngineWriter
from data.errors import ModelError
from data.models import Alert
from data.queries import alerts, recovery
from data.store import Store
from engine.columns import ColumnMap
from engine.decode import Decoded, JsonDecoder
from engine.features import EventReader, FeatureState
from engine.gazetteer import Gazetteer
from engine.model import AnomalyModel
from engine.ranker import Ranker
from engine.rescoring import Detectors
from engine.rules import RuleSet
from engine.scorer import Scorer
from engine.scoring import Thresholds

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def new_state() -> FeatureState:
    return FeatureState(60, 2.0, 600)


def no_ranker(version: str) -> Ranker:
    raise ModelError(f"there is no ranker {version}")


def detectors_of(
    store: Store,
    model: AnomalyModel,
    thresholds: Thresholds | None = None,
    load_ranker: Callable[[str], Ranker] = no_ranker,
) -> Detectors:
    """The model, the rules of the store, and the thresholds of the default settings."""
    with closing(store.reader()) as reader:
        rules = RuleSet(recovery.rules(reader))
    return Detectors(model, rules, thresholds or Thresholds(), new_state, load_ranker)


def decoded(records: Iterable[bytes]) -> list[Decoded]:
    decoder = JsonDecoder(ColumnMap())
    return [outcome for raw in records if isinstance(outcome := decoder.decode(raw), Decoded)]


def score_into(store: Store, scorer: Scorer, transactions: Sequence[Decoded], size: int = 256) -> None:
    """Score transactions in batches and commit each."""
    with closing(EngineWriter(store)) as writer:
        (start,) = writer.connection.execute("SELECT coalesce(max(next_offset), 0) FROM source_positions").fetchone()
        for at in range(0, len(transactions), size):
            batch = transactions[at : at + size]
            scored = scorer.score(batch)
            writer.commit(
                BatchResult(
                    source="list",
                    partition="0",
                    first_offset=start + at,
                    next_offset=start + at + len(batch),
                    watermark=scorer.state.watermark,
                    transactions=scored.transactions,
                    alerts=scored.alerts,
                    dead_letters=(),
                    duplicates=0,
                    rule_hits=scored.rule_hits,
                    latency_us=1,
                ),
                NOW,
            )


def new_scorer(store: Store, model: AnomalyModel, gazetteer: Gazetteer) -> Scorer:
    detectors = detectors_of(store, model)
    return Scorer(detectors.new_state(), EventReader(gazetteer), model, detectors.rules, detectors.thresholds)


def alerts_of(store: Store) -> list[Alert]:
    with closing(store.reader()) as reader:
        ids = [number for (number,) in reader.execute("SELECT id FROM alerts ORDER BY id")]
        return [found for number in ids if (found := alerts.alert(reader, number)) is not None]
