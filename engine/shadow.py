"""Champion and challenger on what both have scored since the roles were given, and where they differ."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.errors import ModelError
from data.model_registry import RoleChange, holders, latest_role_id, role_changes
from data.models import ModelRole
from data.queries import labels as label_queries
from data.queries import shadow
from data.queries.shadow import FlippedTransaction, ShadowRow
from data.store import Store
from engine.comparison import Comparison, Side, compare
from engine.learning import LABEL_DELAY_US
from engine.metrics import LabelledRows
from engine.scoring import Thresholds

FLIPS_LISTED: Final = 500
_DAY_US: Final = 86_400_000_000
_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class AsOf:
    """What a comparison was made on: the numbers of the latest label and of the latest decision on roles."""

    label_id: int
    role_id: int


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """Champion and challenger on the days that both have scored; None where no outcome is known of these yet.

    ``champion`` is None for the anomaly model. ``scored`` transactions were scored by both, ``unknown`` of them have
    no outcome yet. ``flips`` are those that one of them alerts alone, frauds first, then the newest, at most
    ``FLIPS_LISTED``; ``comparison`` counts them all.
    """

    champion: str | None
    challenger: str
    scored: int
    unknown: int
    comparison: Comparison | None
    flips: tuple[FlippedTransaction, ...]
    as_of: AsOf


def compare_in_shadow(store: Store, thresholds: Thresholds) -> ShadowComparison:
    """Judge champion and challenger by the outcome of what both have scored since either got its role.

    A transaction without a label is honest when it is older than the label delay, as far as chargebacks are imported;
    otherwise its outcome is unknown.

    Raises:
        ModelError: nobody competes.
        StoreError: the store cannot be read.
    """
    with closing(store.reader()) as reader:
        as_of = AsOf(label_queries.latest_label_id(reader), latest_role_id(reader))
        champion, challenger = holders(reader)
        if challenger is None:
            raise ModelError("there is no challenger to compare: train one with `sentinel-tui model train`")
        after = _followed(role_changes(reader))
        rows = _Rows([] if after is None else shadow.shadow_rows(reader, after))
        settled = label_queries.settled_until(reader, LABEL_DELAY_US) or 0
        known = (rows.fraud != _UNKNOWN) | (rows.time <= settled)
        return ShadowComparison(
            champion=None if champion is None else champion.version,
            challenger=challenger.version,
            scored=len(known),
            unknown=int((~known).sum()),
            comparison=rows.compared(known, thresholds) if known.any() else None,
            flips=shadow.flipped_transactions(reader, rows.flips(known, thresholds)[:FLIPS_LISTED]),
            as_of=as_of,
        )


def _followed(changes: Iterable[RoleChange]) -> int | None:
    """The last transaction before the engine followed the roles as they are now; None where it has not yet.

    A champion of before has decided what came before it, so that this says nothing of the one there is.
    """
    latest: dict[ModelRole, int | None] = {}
    for change in changes:
        latest.setdefault(change.role, change.applied_seq)
    followed = [seq for seq in latest.values() if seq is not None]
    return max(followed) if len(followed) == len(latest) else None


class _Rows:
    """What both have scored, as columns of (rows,)."""

    def __init__(self, portions: Iterable[list[ShadowRow]]) -> None:
        cards: dict[str, int] = {}
        parts = [_columns(portion, cards) for portion in portions] or [_columns([], cards)]
        (
            self.seq, self.time, self._card, self._amount, self._score, self._alerted, self._velocity,
            self._challenging, self.fraud,
        ) = (np.concatenate(column) for column in zip(*parts, strict=True))  # fmt: skip

    def compared(self, known: NDArray[np.bool_], thresholds: Thresholds) -> Comparison:
        """Both sides on the known rows, of which there must be one at least."""
        labelled = LabelledRows(self.fraud == 1, self._amount / 100.0, self.time // _DAY_US, self._card)
        return compare(
            labelled.take(known),
            self.time[known],
            Side(self._score[known], self._alerted[known]),
            Side(self._challenging[known], self._challenger_alerts(thresholds)[known]),
        )

    def flips(self, known: NDArray[np.bool_], thresholds: Thresholds) -> list[int]:
        """The known transactions that one of the two alerts alone: frauds first, then the newest."""
        rows = np.flatnonzero(known & (self._alerted != self._challenger_alerts(thresholds)))
        seqs: list[int] = self.seq[rows[np.lexsort((-rows, self.fraud[rows] != 1))]].tolist()
        return seqs

    def _challenger_alerts(self, thresholds: Thresholds) -> NDArray[np.bool_]:
        by_velocity: NDArray[np.bool_] = self._velocity >= thresholds.low_velocity
        return by_velocity | (self._challenging >= thresholds.low_score)


def _columns(portion: list[ShadowRow], cards: dict[str, int]) -> tuple[NDArray[np.generic], ...]:
    seq, time, card, amount, score, level, velocity, challenging, fraud = (
        zip(*portion, strict=True) if portion else (((),) * len(ShadowRow._fields))
    )
    return (
        np.array(seq, dtype=np.int64),
        np.array(time, dtype=np.int64),
        np.array([cards.setdefault(each, len(cards)) for each in card], dtype=np.int64),
        np.array(amount, dtype=np.int64),
        np.array(score, dtype=np.float64),
        np.array(level, dtype=np.int64) > 0,
        np.array(velocity, dtype=np.int64),
        np.array(challenging, dtype=np.float64),
        np.array([_UNKNOWN if each is None else each for each in fraud], dtype=np.int8),
    )
