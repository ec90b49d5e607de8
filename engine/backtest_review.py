"""What analysts dispose of in a backtest: the cards of each day with the highest scores."""

import numpy as np
from numpy.typing import NDArray

from engine.backtest_rows import UNLABELLED


class CardReview:
    """Disposes of ``capacity`` cards a day, as card precision counts them; a card that was caught is left out since."""

    def __init__(self, card: NDArray[np.int64], label: NDArray[np.int8], capacity: int) -> None:
        """``card`` and ``label`` are (rows,), of all rows in order of arrival."""
        self._card = card
        self._label = label
        self._capacity = capacity
        self._caught = np.zeros(int(card.max(initial=0)) + 1, dtype=np.bool_)

    def of_day(self, start: int, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """The rows whose labels are known after the review of a day, (reviewed,).

        Args:
            start: the first row of the day.
            scores: (rows of the day,)
        """
        label = self._label[start : start + len(scores)]
        card = self._card[start : start + len(scores)]
        open_rows = np.flatnonzero((label != UNLABELLED) & ~self._caught[card])
        cards, position = np.unique(card[open_rows], return_inverse=True)
        highest = np.full(len(cards), -np.inf)
        np.maximum.at(highest, position, scores[open_rows])
        chosen = np.zeros(len(cards), dtype=np.bool_)
        chosen[np.argsort(-highest, kind="stable")[: self._capacity]] = True
        reviewed = open_rows[chosen[position]]
        self._caught[card[reviewed[label[reviewed] == 1]]] = True
        return start + reviewed
