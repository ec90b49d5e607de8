"""The checkpoint of everything that the engine remembers, as bytes: features, known frauds, and the cards' history."""

import struct
from typing import Final

from engine import checkpoint
from engine.features import FeatureState
from engine.learning import Learning
from engine.sealed import CheckpointError, seal, unseal

FORMAT: Final = b"sentinel memory 1"
_LENGTHS: Final = struct.Struct("<QQQ")


def dump(state: FeatureState, learning: Learning) -> bytes:
    """Both memories, compressed; ``load`` gives them back bit for bit."""
    history = b"" if learning.history is None else learning.history.dump()
    parts = (checkpoint.dump(state), learning.labels.dump(), history)
    return seal(FORMAT + _LENGTHS.pack(*map(len, parts)), b"".join(parts))


def load(data: bytes, state: FeatureState, learning: Learning) -> None:
    """Fill empty memories from a checkpoint.

    Raises:
        CheckpointError: it is damaged, of another version, or taken with other windows; start again from empty ones.
    """
    header, body = unseal(data)
    if header[: len(FORMAT)] != FORMAT:
        raise CheckpointError("the checkpoint was taken by another version")
    lengths = _LENGTHS.unpack(header[len(FORMAT) :])
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    features, labels, history = (body[end - length : end] for end, length in zip(ends, lengths, strict=True))
    checkpoint.load(features, state)
    learning.labels.load(labels)
    if history:
        learning.begin_history(history)
