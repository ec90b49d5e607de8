"""A serving model and two weeks of drift counts, as the engine stores them."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

from data.batches import BatchResult
from data.drift import DriftCount, DriftReference, SignalBins, Window, signals_json
from data.engine_writes import EngineWriter
from data.store import Store
from data.timestamps import to_microseconds
from engine.calibration import ANCHORS
from engine.drift_reference import SCORES
from engine.features import FEATURE_NAMES
from engine.model_card import FORMAT_VERSION, AlertShare, ModelCard, features_digest

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
DAY_S = 86_400
MOVED_DAYS = 7
EVEN = (1_000,) * 10
MOSTLY_ZERO = (7_000, 1_000, 1_000, 1_000)
VERSION = "iforest-5eaf00d5eaf0"


def card(source: str = "simulated honest traffic") -> ModelCard:
    return ModelCard(
        format_version=FORMAT_VERSION,
        content_sha256="5eaf00d5" * 8,
        trained_at=NOW - timedelta(days=20),
        data_from=NOW - timedelta(days=190),
        data_to=NOW - timedelta(days=185),
        source=source,
        training_rows=48_000,
        calibration_rows=72_000,
        features=FEATURE_NAMES,
        features_sha256=features_digest(FEATURE_NAMES),
        seed=1,
        trees=100,
        samples_per_tree=1_024,
        alert_shares=tuple(AlertShare(score=each.score, stated=each.share, measured=each.share) for each in ANCHORS),
        scikit_learn="1.7.0",
        numpy="2.3.0",
    )


def reference(window: Window = Window.SITE, names: Sequence[str] = (*FEATURE_NAMES, *SCORES)) -> DriftReference:
    """Half of the signals in deciles, the others with a bin of zeros."""
    signals = [
        SignalBins(name, tuple(0.5 * edge for edge in range(1, 10)), EVEN)
        if number % 2 == 0
        else SignalBins(name, (0.0, 0.5, 1.0), MOSTLY_ZERO)
        for number, name in enumerate(names)
    ]
    return DriftReference(VERSION, window, 0.5, 0.005, signals_json(signals))


def counts(moved: Sequence[int], scale: int, signals: int = len(FEATURE_NAMES) + len(SCORES)) -> list[int]:
    """A thousandth times ``scale`` of the reference; signal number k is moved upwards by ``moved[k]`` percent."""
    result: list[int] = []
    for number in range(signals):
        bins = list(EVEN if number % 2 == 0 else MOSTLY_ZERO)
        moving = bins[0] * (moved[number] if number < len(moved) else 0) // 100
        bins[0] -= moving
        bins[-1] += moving
        result.extend(count * scale // 1_000 for count in bins)
    return result


def label_alerts(store: Store, labels: int) -> None:
    """Say of the newest alerts, one in three fraud, that it is known."""
    with closing(store.analyst_writer()) as connection, store.transaction(connection):
        connection.execute(
            "INSERT INTO labels (transaction_seq, fraud, known_at, source, actor, added_at) "
            "SELECT transaction_seq, id % 3 = 0, ?1, 'disposition', 'maria', ?1 FROM alerts ORDER BY id DESC LIMIT ?2",
            (to_microseconds(NOW), labels),
        )


def _of_day(days_ago: int, moved: Sequence[int], scale: int, names: Sequence[str]) -> list[int]:
    return counts(moved if days_ago < MOVED_DAYS else (), scale, len(names))


def count_days(
    store: Store,
    moved: Sequence[int] = (),
    *,
    window: Window = Window.SITE,
    days: int = 14,
    scale: int = 800,
    alerts: int = 44,
    names: Sequence[str] = (*FEATURE_NAMES, *SCORES),
    serving: ModelCard | None = None,
) -> None:
    """Serve a model and count days of ``10 * scale`` transactions each, the last of which is today's.

    Signals have moved in the last seven days only.
    """
    writer = EngineWriter(store)
    model = serving or card()
    writer.serve_model(VERSION, model.model_dump_json(), NOW - timedelta(days=days))
    today = to_microseconds(NOW) // 1_000_000 // DAY_S * DAY_S
    compared = reference(window, names)
    counted = [
        DriftCount(compared, today - number * DAY_S, 10 * scale, alerts, _of_day(number, moved, scale, names))
        for number in range(days)
    ]
    writer.commit(
        BatchResult(
            source="drift",
            partition="0",
            first_offset=0,
            next_offset=0,
            watermark=None,
            transactions=(),
            alerts=(),
            dead_letters=(),
            duplicates=0,
            rule_hits={},
            latency_us=0,
            drift=counted,
        ),
        NOW,
    )
    writer.close()
