"""Recalibration on a site's own traffic, so that a threshold is an alert rate there too.

A model is calibrated on simulated honest traffic. Another site's cards spend otherwise: the same raw anomaly may be
reached by a tenth as many transactions, or by a hundred times as many.
"""

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.calibration import QuantileCalibration
from engine.model import AnomalyModel

SITE_ROWS: Final = 10_000
"""Transactions of cards with a history that are seen before it is decided."""
JUDGED_AT: Final = 0.25
"""Reached by so much honest traffic that the fraud among it does not decide."""
TOLERANCE: Final = 3.0
"""How many times more or fewer than stated may reach ``JUDGED_AT`` before the site gets a calibration of its own."""


class SiteCalibration:
    """Watches the raw anomaly of the first transactions, then keeps the model's calibration or fits the site's own.

    The decision falls on one transaction, wherever batches are cut. Another model starts the watch anew.
    """

    __slots__ = ("decided", "fitted", "model_version", "seen")

    def __init__(self) -> None:
        self.model_version = ""
        self.seen = array("d")
        self.decided = False
        self.fitted: QuantileCalibration | None = None

    def calibrate(
        self, model: AnomalyModel, raw: NDArray[np.float64], experienced: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], int]:
        """Scores of a batch in order, watching it while there is no decision yet.

        Args:
            model: the model that gave ``raw``.
            raw: (rows,) raw anomaly, each in (0, 1].
            experienced: (rows,) whether the transaction's card has a history; only these are watched.

        Returns:
            (rows,) scores in [0, 1], and the first row that was scored by the site's own calibration (rows if none).
        """
        if self.model_version != model.card.version:
            self._watch(model)
        own = 0
        if not self.decided:
            own = self._see(model, raw, experienced)
        scores = model.calibration.apply(raw)
        if self.fitted is None:
            return scores, len(raw)
        scores[own:] = self.fitted.apply(raw[own:])
        return scores, own

    def _watch(self, model: AnomalyModel) -> None:
        self.model_version = model.card.version
        self.seen = array("d")
        self.decided = False
        self.fitted = None

    def _see(self, model: AnomalyModel, raw: NDArray[np.float64], experienced: NDArray[np.bool_]) -> int:
        """Watch until enough is seen; the row after the one that the decision fell on."""
        watched = np.flatnonzero(experienced)[: SITE_ROWS - len(self.seen)]
        self.seen.extend(raw[watched].tolist())
        if len(self.seen) < SITE_ROWS:
            return len(raw)
        rows = np.array(self.seen)
        stated = model.calibration.alert_rate(JUDGED_AT)
        share = float(np.mean(model.calibration.apply(rows) >= JUDGED_AT))
        if not stated / TOLERANCE <= share <= stated * TOLERANCE:
            self.fitted = QuantileCalibration.fit(rows)
        self.decided = True
        self.seen = array("d")
        return int(watched[-1]) + 1
