"""A labelled file, scored once by the engine as it serves, as columns that any model can be trained and judged on."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from handbook_baseline import DAY_US, Payments
from numpy.typing import NDArray

from data.errors import SettingError
from engine.backtest_replay import Replay
from engine.backtest_rows import UNLABELLED, ReplayedRows
from engine.columns import preset
from engine.features import EventReader
from engine.files import open_file
from engine.gazetteer import Gazetteer
from engine.metrics import LabelledRows
from engine.model import AnomalyModel
from sentinel_tui.backtest_run import default_rules
from sentinel_tui.runtime import SYSTEM_CLOCKS, new_scorer
from sentinel_tui.settings import Settings

LABEL: Final = "TX_FRAUD"


@dataclass(frozen=True, slots=True, eq=False)
class HandbookRows:
    """Labelled transactions in order of time, with what the engine made of them; (rows,) each.

    Attributes:
        payments: what the file says of them.
        day: days from the file's first.
        cards: the cards' ids, by number.
        merchants: the merchants' ids, by number.
        anomaly: the Isolation Forest's calibrated score.
        fused: the score that a new installation alerts by.
        features: (rows, features), those of the ranker's that need no label.
    """

    payments: Payments
    day: NDArray[np.int64]
    cards: tuple[str, ...]
    merchants: tuple[str, ...]
    anomaly: NDArray[np.float64]
    fused: NDArray[np.float64]
    features: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.day)

    def card_name(self, row: int) -> str:
        """The id of a row's card."""
        return self.cards[int(self.payments.card[row])]

    def merchant_name(self, row: int) -> str:
        """The id of a row's merchant."""
        return self.merchants[int(self.payments.merchant[row])]

    def start_of_day(self, number: int) -> int:
        """The midnight, UTC, at which a day of the file starts, in microseconds since the epoch."""
        return (int(self.payments.time[0]) // DAY_US + number) * DAY_US

    @property
    def fraud(self) -> NDArray[np.bool_]:
        """The ground truth."""
        return self.payments.fraud

    def labelled(self, chosen: NDArray[np.bool_]) -> LabelledRows:
        """What is true of the rows of a mask, for the measures."""
        return LabelledRows(
            self.fraud[chosen], self.payments.cents[chosen] / 100, self.day[chosen], self.payments.card[chosen]
        )


def replay(file: Path, model: AnomalyModel) -> ReplayedRows:
    """Score a file in the handbook's columns from first to last record, with the settings of a new installation.

    Raises:
        SourceError: the file cannot be read to its end.
        SettingError: a label is neither 0 nor 1.
    """
    reader = EventReader(Gazetteer())
    source, decoder = open_file(str(file), preset("handbook").with_label(LABEL), monotonic=SYSTEM_CLOCKS.monotonic)
    scorer = new_scorer(Settings(), default_rules(), reader, model)
    replaying = Replay(source, decoder, scorer, reader, LABEL, lambda share, records: None, for_ranker=True)
    return asyncio.run(replaying.run())


def handbook_rows(rows: ReplayedRows) -> HandbookRows:
    """The labelled rows of a replay.

    Raises:
        SettingError: there are none, or some without a merchant.
    """
    label, time, merchant = rows.labels(), rows.times(), np.array(rows.merchant, dtype=np.int64)
    labelled = np.flatnonzero(label != UNLABELLED)
    if not len(labelled) or merchant[labelled].min() < 0:
        raise SettingError("give a file in the handbook's columns, with a merchant and a label in every row")
    order = labelled[np.argsort(time[labelled], kind="stable")]
    day = time[order] // DAY_US
    return HandbookRows(
        Payments(
            time=time[order],
            card=rows.card_numbers()[order],
            merchant=merchant[order],
            cents=np.rint(np.array(rows.amount)[order] * 100).astype(np.int64),
            fraud=label[order] == 1,
        ),
        day - day[0],
        tuple(rows.cards),
        tuple(rows.merchants),
        np.array(rows.anomaly)[order],
        np.array(rows.fused)[order],
        rows.matrix(np.ones(len(rows), dtype=np.bool_))[order],
    )
