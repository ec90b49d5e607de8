"""The checkpoint of everything that the engine remembers, as bytes.

That is features, known frauds, and where they are kept the cards' history and the entity graph.
"""

import struct
from typing import Final

from engine import checkpoint, graph_checkpoint
from engine.entity_graph import EntityGraph
from engine.features import FeatureState
from engine.learning import Learning
from engine.sealed import CheckpointError, seal, unseal

FORMAT: Final = b"sentinel memory 2"
_LENGTHS: Final = struct.Struct("<QQQQ")


def dump(state: FeatureState, learning: Learning) -> bytes:
    """All memories, compressed; ``load`` gives them back bit for bit."""
    history = b"" if learning.history is None else learning.history.dump()
    graph = b"" if learning.graph is None else graph_checkpoint.dump(learning.graph)
    parts = (checkpoint.dump(state), learning.labels.dump(), history, graph)
    # Each part is compressed already.
    return seal(FORMAT + _LENGTHS.pack(*map(len, parts)), b"".join(parts), level=0)


def load(data: bytes, state: FeatureState, learning: Learning) -> None:
    """Fill empty memories from a checkpoint.

    Raises:
        CheckpointError: it is damaged, of another version, or taken with other windows; nothing has changed.
    """
    features, labels, history, graph = _parts(data)
    restored = Learning(learning.labels.delay_us)
    restored.labels.load(labels)
    if history:
        restored.begin_history(history)
    restored.graph = _graph(graph)
    # Last, because it is the one that fills what it is given; it refuses before it has changed anything.
    checkpoint.load(features, state)
    learning.labels, learning.history, learning.graph = restored.labels, restored.history, restored.graph


def load_graph(data: bytes) -> EntityGraph | None:
    """The entity graph of a checkpoint, None where no fraud had been told.

    Raises:
        CheckpointError: it is damaged or of another version.
    """
    return _graph(_parts(data)[-1])


def _parts(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    header, body = unseal(data)
    if header[: len(FORMAT)] != FORMAT:
        raise CheckpointError("the checkpoint was taken by another version")
    lengths = _LENGTHS.unpack(header[len(FORMAT) :])
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    features, labels, history, graph = (body[end - length : end] for end, length in zip(ends, lengths, strict=True))
    return features, labels, history, graph


def _graph(dumped: bytes) -> EntityGraph | None:
    if not dumped:
        return None
    graph = EntityGraph()
    graph_checkpoint.load(dumped, graph)
    return graph
