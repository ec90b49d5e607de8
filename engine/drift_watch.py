"""Counts each day's traffic against a reference: the model's training window, or the site's first traffic.

A model is trained on simulated traffic. Against that, a site whose cards simply spend otherwise would drift for as long
as it exists. So the transactions by which it is decided whether the site gets a calibration of its own also decide what
its later traffic is compared with: they give the bins, and the days of its first week what is expected in each.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.drift import DriftCount, DriftReference, Window, signals_json
from engine.calibration import QuantileCalibration
from engine.drift_reference import SCORES, Reference
from engine.model import AnomalyModel
from engine.psi import has_drifted, level_of, population_stability_index
from engine.site_calibration import JUDGED_AT, SITE_ROWS

DAY_US: Final = 86_400_000_000
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """Transactions in the order of scoring; all arrays have one row for each.

    ``features`` is (rows, features); ``raw`` the raw anomaly; ``remaining`` what the rules leave of the doubt,
    ``(1 - score of model and rules) / (1 - model score)``; ``experienced`` whether the card has a history: only these
    are counted.
    """

    features: NDArray[np.float64]
    raw: NDArray[np.float64]
    remaining: NDArray[np.float64]
    experienced: NDArray[np.bool_]


class DriftWatch:
    """Keeps the site's first transactions, then what they say of later ones. Another model starts the watch anew.

    ``rows`` holds features, raw anomaly and what the rules leave, of each transaction in turn, until enough are seen.
    ``site`` is the reference of the site's own traffic, None where that of the model's training stands.
    """

    __slots__ = ("_record", "_reference", "decided", "model_version", "rows", "site")

    def __init__(self) -> None:
        self.model_version = ""
        self.rows = array("d")
        self.decided = False
        self.site: Reference | None = None
        self._reference: Reference | None = None
        self._record: DriftReference | None = None

    def learn(self, model: AnomalyModel, calibration: QuantileCalibration, watched: Watched) -> int:
        """Watch until enough is seen.

        Args:
            model: the model that gave the raw anomalies.
            calibration: the one that the site's scores are made by from the row of the decision on.
            watched: transactions that were not seen before.

        Returns:
            The first row that is to be counted against the site's own traffic (rows if none).
        """
        if self.model_version != model.card.version:
            self._start(model)
        rows = len(watched.raw)
        if self.decided:
            return rows if self.site is None else 0
        width = watched.features.shape[1] + 2
        seen = np.flatnonzero(watched.experienced)[: SITE_ROWS - len(self.rows) // width]
        kept = np.column_stack([watched.features[seen], watched.raw[seen], watched.remaining[seen]])
        self.rows.frombytes(kept.tobytes())
        if len(self.rows) < SITE_ROWS * width:
            return rows
        self._decide(model, calibration, np.array(self.rows).reshape(SITE_ROWS, width))
        return rows if self.site is None else int(seen[-1]) + 1

    def count(
        self,
        model: AnomalyModel,
        calibration: QuantileCalibration,
        watched: Watched,
        times: NDArray[np.int64],
        scores: NDArray[np.float64],
        first_of_site: int,
    ) -> tuple[DriftCount, ...]:
        """Count transactions by UTC day of event time, those before ``first_of_site`` against the training window.

        Args:
            model: the serving model.
            calibration: the running calibration.
            watched: the transactions, as ``learn`` was given them.
            times: (rows,) event time in microseconds.
            scores: (rows,) the model's calibrated score.
            first_of_site: what ``learn`` returned.
        """
        if not watched.experienced.any():
            return ()
        values = np.empty((len(times), watched.features.shape[1] + 2))
        values[:, :-2] = watched.features
        values[:, -2] = watched.raw
        values[:, -1] = 1.0 - (1.0 - scores) * watched.remaining
        counted: list[DriftCount] = []
        parts = ((0, first_of_site, None), (first_of_site, len(times), self.site))
        for start, end, site in parts:
            rows = start + np.flatnonzero(watched.experienced[start:end])
            if not len(rows):
                continue
            reference, record = self._stand(model, calibration, site)
            for day, members in _by_day(times, rows):
                counted.append(
                    DriftCount(
                        reference=record,
                        day=day,
                        transactions=len(members),
                        alerts=int(np.count_nonzero(scores[members] >= JUDGED_AT)),
                        counts=reference.flat(reference.count(values[members])),
                    )
                )
        return tuple(counted)

    def _start(self, model: AnomalyModel) -> None:
        self.model_version = model.card.version
        self.rows = array("d")
        self.decided = False
        self.site = None
        self._reference = self._record = None

    def _decide(self, model: AnomalyModel, calibration: QuantileCalibration, rows: NDArray[np.float64]) -> None:
        """Keep the site's own traffic as reference where it got its own calibration, or is of another kind."""
        values = rows.copy()
        values[:, -1] = 1.0 - (1.0 - calibration.apply(rows[:, -2])) * rows[:, -1]
        if calibration is not model.calibration or _differs(model.reference, values):
            self.site = Reference.fit(list(values.T))
        self.decided = True
        self.rows = array("d")

    def _stand(
        self, model: AnomalyModel, calibration: QuantileCalibration, site: Reference | None
    ) -> tuple[Reference, DriftReference]:
        """The reference to count against and its record, made once."""
        reference = model.reference if site is None else site
        if self._record is None or self._reference is not reference:
            shares = model.calibration if site is None else calibration
            self._reference = reference
            self._record = DriftReference(
                model_version=model.card.version,
                window=Window.TRAINING if site is None else Window.SITE,
                alert_score=JUDGED_AT,
                alert_share=shares.alert_rate(JUDGED_AT),
                signals_json=signals_json(reference.bins((*model.card.features, *SCORES))),
            )
        return reference, self._record


def _differs(reference: Reference, values: NDArray[np.float64]) -> bool:
    counts = reference.count(values)
    levels = [
        level_of(population_stability_index(expected, actual), len(values))
        for expected, actual in zip(reference.counts.tolist(), counts.tolist(), strict=True)
    ]
    return has_drifted(levels[: -len(SCORES)], levels[-len(SCORES) :])


def _by_day(times: NDArray[np.int64], rows: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """UTC days in seconds, each with the rows of it."""
    days = times[rows] // DAY_US
    if days.min() == days.max():
        yield int(days[0]) * DAY_S, rows
        return
    for day in np.unique(days).tolist():
        yield day * DAY_S, rows[days == day]
