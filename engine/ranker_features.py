"""The ranker's row of a transaction, as it was when the transaction came: in training and in serving the same code."""

from collections.abc import Sequence
from typing import Final

from engine.card_history import HISTORY_FEATURE_NAMES, CardHistory, HistoryState
from engine.features import FEATURE_NAMES, Event
from engine.label_features import LABEL_FEATURE_NAMES, LabelState

UNLABELLED_FEATURE_NAMES: Final = (*FEATURE_NAMES, *HISTORY_FEATURE_NAMES)
RANKER_FEATURE_NAMES: Final = (*UNLABELLED_FEATURE_NAMES, *LABEL_FEATURE_NAMES)


class RankerFeatures:
    """Keeps what the ranker needs beyond the engine's features: the history of cards, beside known labels."""

    def __init__(self, labels: LabelState) -> None:
        self._labels = labels
        self._history = HistoryState()

    def observe(self, event: Event, features: Sequence[float]) -> tuple[float, ...]:
        """The row of an event, in the order of ``RANKER_FEATURE_NAMES``; then the card's history learns from it.

        The labels are taken to the event's time. The caller counts the event in them afterwards.

        Args:
            event: not earlier than the ones before it by more than the allowed lateness.
            features: the engine's, of this event.
        """
        self._labels.advance(event.time)
        history = self._history.observe(event, features)
        return (*features, *history, *self._labels.features(event.card_id, event.merchant, event.time))

    def remembered(self, event: Event) -> CardHistory:
        """A copy of what the history knows of the event's card and merchant; to be taken before ``observe``."""
        return self._history.remembered(event)

    def dump(self) -> bytes:
        """The cards' history, without the labels; ``load`` gives it back bit for bit."""
        return self._history.dump()

    def load(self, data: bytes) -> None:
        """Take over the history that was dumped.

        Raises:
            CheckpointError: it is damaged or of another version; this history is unchanged.
        """
        self._history.load(data)
