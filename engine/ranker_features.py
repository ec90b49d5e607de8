"""The ranker's row of a transaction, as it was when the transaction came: in training and in serving the same code."""

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from engine.card_history import HISTORY_FEATURE_NAMES, HistoryState
from engine.features import FEATURE_NAMES, Event
from engine.label_features import LABEL_FEATURE_NAMES, KnownLabel, LabelState

RANKER_FEATURE_NAMES: Final = (*FEATURE_NAMES, *HISTORY_FEATURE_NAMES, *LABEL_FEATURE_NAMES)


class RankerFeatures:
    """Keeps what the ranker needs beyond the engine's features, and each label back until it is known."""

    def __init__(self, delay_us: int) -> None:
        self._delay_us = delay_us
        self._history = HistoryState()
        self._labels = LabelState()
        self._pending: list[KnownLabel] = []

    def observe(self, event: Event, features: Sequence[float], fraud: bool | None) -> tuple[float, ...]:
        """The row of an event, in the order of ``RANKER_FEATURE_NAMES``; then learn from the event.

        Args:
            event: not earlier than the ones before it by more than the allowed lateness.
            features: the engine's, of this event.
            fraud: its label, which counts for events from the delay after this one on; None where it has none.
        """
        while self._pending and self._pending[0].known_at <= event.time:
            self._labels.learn(heappop(self._pending))
        history = self._history.observe(event, features)
        row = (
            *features,
            *history.features,
            *self._labels.features(event.card_id, event.merchant, event.time),
        )
        if fraud is not None:
            known_at = event.time + self._delay_us
            heappush(
                self._pending, KnownLabel(known_at, event.time, event.card_id, event.merchant, fraud, history.ratio)
            )
        return row
