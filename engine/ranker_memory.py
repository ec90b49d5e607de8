"""What a ranker knew of a transaction beyond the engine's features, packed to be kept with an alert, and read back."""

import struct
from array import array
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite, isinf
from typing import Final, NamedTuple

from data.models import RankerRescoring
from engine.card_history import AMOUNTS_KEPT, UNUSUAL_KEPT, CardHistory
from engine.history_memory import CENT_BYTES
from engine.label_features import LABEL_FEATURE_NAMES
from engine.ranker_features import UNLABELLED_FEATURE_NAMES

_HEAD: Final = struct.Struct(f"<{len(LABEL_FEATURE_NAMES)}d2d3B")
"""The label features; the merchant's transactions and mean amount; how many amounts follow, which is the oldest, and
how many unusual ones follow these."""
_UNUSUAL_BYTES: Final = 8


class RankerMemory(NamedTuple):
    """The label features, in the order of ``LABEL_FEATURE_NAMES``, and what was remembered of card and merchant."""

    labels: tuple[float, ...]
    history: CardHistory


def kept_for_ranker(version: str, row: Sequence[float], history: CardHistory) -> RankerRescoring:
    """What to store with an alert that the ranker of this version decided by ``row``; at most 668 characters."""
    packed = _HEAD.pack(
        *row[len(UNLABELLED_FEATURE_NAMES) :],
        *history.merchant,
        len(history.cents) // CENT_BYTES,
        history.next,
        len(history.unusual) // _UNUSUAL_BYTES,
    )
    return RankerRescoring(model=version, memory=b64encode(packed + history.cents + history.unusual).decode())


def read_ranker_memory(kept: RankerRescoring) -> RankerMemory:
    """
    Raises:
        ValueError: it does not hold what ``kept_for_ranker`` packs.
    """
    try:
        packed = b64decode(kept.memory, validate=True)
        *numbers, count, mean, amounts, oldest, unusual = _HEAD.unpack_from(packed)
    except (struct.error, Base64Error) as error:
        raise ValueError("what the ranker knew is of another length or damaged") from error
    end_of_cents = _HEAD.size + CENT_BYTES * amounts
    if len(packed) != end_of_cents + _UNUSUAL_BYTES * unusual:
        raise ValueError("what the ranker knew is of another length")
    history = CardHistory(packed[_HEAD.size : end_of_cents], oldest, packed[end_of_cents:], (count, mean))
    if any(map(isinf, numbers)) or not _sound(history, amounts, unusual):
        raise ValueError("what the ranker knew does not hang together")
    return RankerMemory(tuple(numbers), history)


def _sound(history: CardHistory, amounts: int, unusual: int) -> bool:
    if amounts > AMOUNTS_KEPT or unusual > UNUSUAL_KEPT or not all(map(isfinite, history.merchant)):
        return False
    in_order = all(before <= after for before, after in pairwise(array("Q", history.unusual)))
    return in_order and (history.next == 0 or history.next < amounts == AMOUNTS_KEPT)
