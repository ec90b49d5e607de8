"""What each feature adds to the score of a row, by the way that the row takes through the trees, and exactly.

The path attribution of Saabas ("Interpreting random forests", 2014) and of Palczewska, Palczewski, Marchese Robinson
and Neagu ("Interpreting random forest models using a feature contribution method", 2013): a node expects the mean of
the training rows that reached it, and each step down a tree adds to the feature that it asks for what the expectation
changes by. What a tree expects at its root and all steps together are the leaf, so nothing is left over.

It is not TreeSHAP (Lundberg and others, "From local explanations to global understanding with explainable AI for
trees", 2020), which averages over every order of the features and needs every leaf of every tree for it, more than a
hundred times the work of a path. Path attribution favours what a tree asks last; an isolation forest asks in random
order, and over a hundred trees most of that evens out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Rows times trees walked at once, so that what is walked stays in the L2 cache.
_BLOCK_CELLS = 25_600
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """What the scores of some rows are made of: ``base`` and a row's contributions add up to its score.

    Attributes:
        base: the score of a row of which nothing is known: what the trees expect at their roots.
        scores: (rows,)
        contributions: (rows, features); negative where a feature speaks for the ordinary.
    """

    base: float
    scores: NDArray[np.float64]
    contributions: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Flattened trees as a walk reads them; arrays are (nodes,) but for ``roots``, (trees,).

    A row goes right, to ``left_child`` + 1, when its value in ``column`` is greater than ``threshold``; a leaf is its
    own left child with threshold infinity. ``feature`` is the one that ``column`` is of.
    """

    column: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.floating]
    left_child: NDArray[np.int64]
    expected: NDArray[np.float64]
    roots: NDArray[np.int64]
    depth: int


def path_contributions(walk: Walk, rows: NDArray[np.floating], features: int) -> NDArray[np.float64]:
    """By how much each feature changes the expectation on the way to the leaves, summed over the trees.

    A row's contributions are the same to the last bit, whatever rows stand beside it.

    Args:
        walk: the trees.
        rows: (rows, columns), with the columns that the nodes look at.
        features: that the columns are of.

    Returns:
        (rows, features); a row's sum is that of its leaves less that of the roots.
    """
    block = max(1, _BLOCK_CELLS // len(walk.roots))
    parts = [_contributions(walk, rows[at : at + block], features) for at in range(0, len(rows), block)]
    return np.concatenate(parts) if parts else np.empty((0, features))


def _contributions(walk: Walk, rows: NDArray[np.floating], features: int) -> NDArray[np.float64]:
    values = np.ascontiguousarray(rows).ravel()
    each_row = np.arange(len(rows))[:, np.newaxis]
    starts = each_row * rows.shape[1]
    cells = each_row * features
    node = np.broadcast_to(walk.roots, (len(rows), len(walk.roots)))
    before = walk.expected.take(node)
    total = np.zeros(len(rows) * features)
    # Every index is known to be in range; of NumPy's ways to treat one that is not, wrapping costs the least.
    for _ in range(walk.depth):
        cell = walk.feature.take(node, mode="wrap") + cells
        goes_right = values.take(walk.column.take(node, mode="wrap") + starts, mode="wrap") > walk.threshold.take(
            node, mode="wrap"
        )
        node = walk.left_child.take(node, mode="wrap") + goes_right
        after = walk.expected.take(node, mode="wrap")
        # A row that has arrived stays, and adds nothing.
        total += np.bincount(cell.ravel(), (after - before).ravel(), minlength=len(total))
        before = after
    return total.reshape(len(rows), features)


def expectations(
    left_child: NDArray[np.int64],
    depth: NDArray[np.integer],
    samples: NDArray[np.integer],
    at_leaves: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What each node of one tree expects: the mean of the leaves below, by the training rows that reached each.

    Args:
        left_child: (nodes,); the node itself at a leaf.
        depth: (nodes,), steps from the root.
        samples: (nodes,), training rows that reached the node.
        at_leaves: (nodes,), of which the values at leaves are read.

    Returns:
        (nodes,)
    """
    expected = at_leaves.astype(np.float64)
    internal = left_child != np.arange(len(left_child))
    weights = samples.astype(np.float64)
    for level in range(int(depth.max()) - 1, -1, -1):
        parents = np.flatnonzero(internal & (depth == level))
        left, right = left_child[parents], left_child[parents] + 1
        total = weights[left] * expected[left] + weights[right] * expected[right]
        expected[parents] = total / (weights[left] + weights[right])
    return expected


def check_expectations(left_child: NDArray[np.int64], expected: NDArray[np.float64]) -> None:
    """Check that what a node expects lies between what its children expect, as a mean does.

    Raises:
        ValueError: it does not.
    """
    parents = np.flatnonzero(left_child != np.arange(len(left_child)))
    left, right = expected[left_child[parents]], expected[left_child[parents] + 1]
    slack = _ROUNDING * np.maximum(1.0, np.maximum(np.abs(left), np.abs(right)))
    of_parents = expected[parents]
    if not ((of_parents >= np.minimum(left, right) - slack) & (of_parents <= np.maximum(left, right) + slack)).all():
        raise ValueError("a node expects what its children do not")
