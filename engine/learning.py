"""What the engine has learnt from labels: the frauds that are known, and the rankers that were trained on them."""

from collections.abc import Collection, Sequence
from math import isnan, log
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.card_history import CardHistory
from engine.entity_graph import EntityGraph, Neighbourhood
from engine.features import AMOUNT_OVER_MEAN, FEATURE_NAMES, Event
from engine.label_features import KnownFraud, LabelState
from engine.prior import fraud_prior
from engine.ranker import Ranker
from engine.ranker_features import RankerFeatures

LABEL_DELAY_US: Final = 7 * 86_400_000_000


class Rankers(NamedTuple):
    """The rankers in the two roles. Without a champion, the anomaly model decides."""

    champion: Ranker | None = None
    challenger: Ranker | None = None


class Learnt(NamedTuple):
    """What is known of a transaction from labels, before it.

    ``prior`` is the fraud that known fraud at its merchant and on its card lets expect, from 0 to 1. ``row`` is the
    ranker's, None where no ranker serves or the transaction came too late to be placed in the card's history.
    ``history`` is what the card's was, None where there is no row or no champion, whose alerts alone need it.
    """

    prior: float
    row: tuple[float, ...] | None
    history: CardHistory | None = None


NOTHING_LEARNT: Final = Learnt(0.0, None)


class RankerScores(NamedTuple):
    """Probabilities of fraud for each transaction of a batch, NaN where one has no row; None where no model serves."""

    champion: list[float] | None
    challenger: list[float] | None

    def champion_of(self, index: int) -> float | None:
        """The champion's probability for one transaction, None where the anomaly model must decide."""
        return _present(self.champion, index)

    def challenger_of(self, index: int) -> float | None:
        """The challenger's probability for one transaction, None where there is none."""
        return _present(self.challenger, index)


def _present(scores: list[float] | None, index: int) -> float | None:
    return None if scores is None or isnan(scores[index]) else scores[index]


NO_SCORES: Final = RankerScores(None, None)


class Learning:
    """Belongs to one thread. ``rankers`` may be exchanged between two batches.

    The history of cards is kept only where a ranker needs it: ``begin_history`` starts it. What cards share is kept
    only where a fraud has been told: without one, ``graph`` is None.
    """

    def __init__(self, delay_us: int = LABEL_DELAY_US) -> None:
        """``delay_us`` is how long after a transaction without a label it is taken for honest."""
        self.labels = LabelState(delay_us)
        self.rankers = Rankers()
        self.history: RankerFeatures | None = None
        self.graph: EntityGraph | None = None
        self.problem: str | None = None
        """Why a model that holds a role does not serve, as one line for the analyst."""

    def begin_history(self, dumped: bytes | None) -> None:
        """Remember the history of cards from now on, going on from one that was dumped.

        Raises:
            CheckpointError: the dump is damaged or of another version; nothing has changed.
        """
        history = RankerFeatures(self.labels)
        if dumped is not None:
            history.load(dumped)
        self.history = history

    def observe(self, event: Event, features: Sequence[float], *, late: bool) -> Learnt:
        """What labels say of an event, from what was known before it; then learn from it, unless it came late."""
        self.labels.advance(event.time)
        prior = fraud_prior(self.labels, event.card_id, event.merchant, event.time) if self.labels.has_labels else 0.0
        row = history = None
        if not late:
            if self.history is not None:
                history = None if self.rankers.champion is None else self.history.remembered(event)
                row = self.history.observe(event, features)
            self.labels.observe(event)
        return NOTHING_LEARNT if row is None and not prior else Learnt(prior, row, history)

    def catch_up(self, event: Event, amount_ratio: float) -> None:
        """Let the history of cards learn from an event that everything else has seen already.

        ``amount_ratio`` is the event's amount over the card's usual one, at least 1, as it was stored.
        """
        if self.history is not None:
            features = [0.0] * len(FEATURE_NAMES)
            features[AMOUNT_OVER_MEAN] = log(amount_ratio)
            self.history.observe(event, features)

    def connect(
        self, events: Sequence[Event], late: Sequence[bool], alerted: Collection[int] = ()
    ) -> dict[int, Neighbourhood]:
        """Let the graph follow events that were decided on, in order, but for those that came late.

        Returns:
            What the cards of those whose places are ``alerted`` share with known fraud, as known before each.
        """
        graph = self.graph
        if graph is None:
            return {}
        shared = {}
        for index, event in enumerate(events):
            if index in alerted:
                shared[index] = graph.neighbourhood(event)
            if not late[index]:
                graph.observe(event)
        return shared

    def tell(self, fraud: KnownFraud, place: int | None = None) -> None:
        """Take in a fraud, in the cell ``place``; it counts from the moment on at which it was known."""
        self.labels.tell(fraud)
        if self.graph is not None:
            self.graph.learn(fraud.card, fraud.merchant, place, fraud.time, fraud.known_at)

    def retract(self, fraud: KnownFraud, place: int | None = None) -> None:
        """Forget a fraud that was told and turned out to be none."""
        self.labels.retract(fraud)
        if self.graph is not None:
            self.graph.retract(fraud.card, fraud.merchant, place, fraud.time)

    def score(self, learnt: Sequence[Learnt]) -> RankerScores:
        """What the rankers make of a batch."""
        if self.rankers == (None, None):
            return NO_SCORES
        ranked = [index for index, each in enumerate(learnt) if each.row is not None]
        rows = np.array([learnt[index].row for index in ranked], dtype=np.float64)
        return RankerScores(
            *(None if model is None else _scores(model, rows, ranked, len(learnt)) for model in self.rankers)
        )


def _scores(model: Ranker, rows: NDArray[np.float64], places: list[int], length: int) -> list[float]:
    scores = np.full(length, np.nan)
    if places:
        scores[places] = model.score(rows)
    as_list: list[float] = scores.tolist()
    return as_list
