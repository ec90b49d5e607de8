"""Training the anomaly model at first start, on simulated honest traffic, through the code that serves it."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from engine.columns import ColumnMap
from engine.decode import Decoded, JsonDecoder
from engine.features import FEATURE_NAMES, EventReader, FeatureState
from engine.gazetteer import Gazetteer
from engine.generator import GeneratorConfig, GeneratorSource
from engine.model import AnomalyModel, train

TRAINING_SEED = 20_180_401
TRAINING_CARDS = 6_000
TRAINING_RECORDS = 120_000
TRAINING_START = datetime(2025, 9, 1, tzinfo=UTC)
TREES = 100
SAMPLES_PER_TREE = 4_096
"""Enough for what one honest purchase in a thousand does to be in every tree, and so to be told from what none does."""
CALIBRATION_SHARE = 0.6
"""The tail decides the alert rate, and needs more rows than the forest does."""
SOURCE = "simulated honest traffic"


def train_on_simulated_traffic(
    state: FeatureState,
    gazetteer: Gazetteer,
    now: datetime,
    progress: Callable[[float], None],
    records: int = TRAINING_RECORDS,
) -> AnomalyModel:
    """Train and calibrate on ``records`` honest transactions, after the cards have a history.

    ``state`` must be empty and is used up; ``progress`` is told the share done, from 0 to 1.
    """
    config = GeneratorConfig(
        seed=TRAINING_SEED, cards=TRAINING_CARDS, start=TRAINING_START, records=records, honest_only=True
    )
    source = GeneratorSource(config)
    reader = EventReader(gazetteer)
    warm_up(state, source, reader, lambda share: progress(0.3 * share))
    matrix, first, last = _features(state, source, reader, records, lambda share: progress(0.3 + 0.5 * share))
    model = train(
        matrix,
        FEATURE_NAMES,
        seed=TRAINING_SEED,
        trees=TREES,
        samples_per_tree=SAMPLES_PER_TREE,
        calibration_share=CALIBRATION_SHARE,
        trained_at=now,
        data_from=first,
        data_to=last,
        source=SOURCE,
    )
    progress(1.0)
    return model


def warm_up(
    state: FeatureState, source: GeneratorSource, reader: EventReader, progress: Callable[[float], None]
) -> None:
    """Let a state see the history of a generator's cards."""
    decoder = JsonDecoder(ColumnMap())
    expected = source.history_records
    for number, raw in enumerate(source.history()):
        outcome = decoder.decode(raw)
        if isinstance(outcome, Decoded):
            state.observe(reader.of_transaction(outcome.transaction))
        if number % 1_000 == 0:
            progress(number / expected)


def _features(
    state: FeatureState,
    source: GeneratorSource,
    reader: EventReader,
    records: int,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], datetime, datetime]:
    """One row for each honest record, (rows, features), with the first and last event time."""
    decoder = JsonDecoder(ColumnMap())
    matrix = np.empty((records, len(FEATURE_NAMES)))
    row = 0
    times: list[datetime] = []
    for raw in source.draw():
        outcome = decoder.decode(raw)
        if not isinstance(outcome, Decoded):
            continue
        matrix[row] = state.observe(reader.of_transaction(outcome.transaction)).features
        times = [*times[:1], outcome.transaction.timestamp]
        row += 1
        if row % 1_000 == 0:
            progress(row / records)
    return matrix[:row], times[0], times[-1]
