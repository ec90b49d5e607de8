"""Isolation Forest served from flattened arrays: the same scores as scikit-learn's, at a fraction of the cost per call.

Liu, Ting and Zhou, "Isolation Forest", ICDM 2008: an anomaly is isolated by fewer random splits, so its path from the
root is short. ``score_samples`` is ``-2 ** -(E[path length] / c(samples per tree))``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.attribution import Attribution, Walk, check_expectations, expectations, path_contributions

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

# Rows times trees walked at once: large enough to hide the cost of a NumPy call, small enough to stay in the L2 cache.
_BLOCK_CELLS = 25_600


@dataclass(frozen=True, slots=True, eq=False)
class FlattenedForest:
    """All trees of a forest in one set of arrays, valid by construction.

    The nodes of a tree follow its root; the right child of a node is the one after its left child. A row goes right
    when its value of ``feature`` is greater than ``threshold``. A leaf is its own left child and has threshold
    infinity, so that a row that has arrived stays: every row takes ``depth`` steps, and no mask is needed.

    Attributes:
        feature: (nodes,) int64, column that the node looks at; 0 at a leaf.
        threshold: (nodes,) float32; infinity at a leaf.
        left_child: (nodes,) int64, index of the left child; the node itself at a leaf.
        expected: (nodes,) float64, path length: at a leaf its depth + c(training samples in it), elsewhere the mean of
            the leaves below, by the training samples in each.
        roots: (trees,) int64, index of each tree's root.
        features: columns of a row.
        samples_per_tree: training samples that each tree saw, at least 1.

    Raises:
        ValueError: the arrays do not describe a forest; the text says why.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left_child: NDArray[np.int64]
    expected: NDArray[np.float64]
    roots: NDArray[np.int64]
    features: int
    samples_per_tree: int
    depth: int = field(init=False)
    _normalisation: float = field(init=False, repr=False)
    _root_feature: NDArray[np.int64] = field(init=False, repr=False)
    _root_threshold: NDArray[np.float32] = field(init=False, repr=False)
    _root_left_child: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The constructor sets what is derived; after it, nothing can be assigned and no array can be written to.
        assign = object.__setattr__
        for name, dtype in _ARRAYS.items():
            assign(self, name, _read_only(name, getattr(self, name), dtype))
        _check_columns(self)
        assign(self, "depth", _checked_depth(self))
        check_expectations(self.left_child, self.expected)
        average = float(average_path_length(np.array([self.samples_per_tree]))[0])
        assign(self, "_normalisation", len(self.roots) * average)
        assign(self, "_root_feature", self.feature[self.roots])
        assign(self, "_root_threshold", self.threshold[self.roots])
        assign(self, "_root_left_child", self.left_child[self.roots])

    @classmethod
    def from_sklearn(cls, forest: "IsolationForest") -> Self:
        """Flatten a fitted forest, of any ``max_samples`` and ``max_features``."""
        trees = [
            _flatten(estimator.tree_, columns)
            for estimator, columns in zip(forest.estimators_, forest.estimators_features_, strict=True)
        ]
        sizes = np.array([len(tree.feature) for tree in trees])
        roots = np.cumsum(sizes) - sizes
        return cls(
            feature=np.concatenate([tree.feature for tree in trees]),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left_child=np.concatenate([tree.left_child + root for tree, root in zip(trees, roots, strict=True)]),
            expected=np.concatenate([tree.expected for tree in trees]),
            roots=roots,
            features=int(forest.n_features_in_),
            samples_per_tree=int(forest.max_samples_),
        )

    def score_samples(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores in [-1, 0), lower is more anomalous, within 1e-12 of scikit-learn's ``score_samples``.

        Values are rounded to float32 before they are compared, as scikit-learn does. A row's score is the same to the
        last bit, whatever rows stand beside it.

        Args:
            rows: (rows, features), finite.

        Returns:
            (rows,)

        Raises:
            ValueError: another number of columns, or a value that is NaN or infinite. scikit-learn accepts NaN where
                the forest was trained on it; here a feature is always a number.
        """
        singles = self._singles(rows)
        block = max(1, _BLOCK_CELLS // len(self.roots))
        if len(singles) <= block:
            return self._score(singles)
        return np.concatenate([self._score(singles[at : at + block]) for at in range(0, len(singles), block)])

    def attribute(self, rows: NDArray[np.float64]) -> Attribution:
        """What each feature adds to the raw anomaly, ``-score_samples``; arguments and errors as there.

        A tree's path length is what its root expects and the steps from there, and so is the logarithm of the raw
        anomaly, ``-E[path length] / c``: in it, contributions add up by themselves. To the raw anomaly itself a
        feature contributes in proportion: its part of the logarithm times the logarithmic mean of score and base,
        ``(score - base) / (log score - log base)`` (Ang, "Decomposition analysis for policymaking in energy", Energy
        Policy 32, 2004). That factor is positive and one for the row: order and signs are those of the logarithm.
        """
        paths = path_contributions(self._walk(), self._singles(rows), self.features)
        if not self._normalisation:
            return Attribution(0.5, np.full(len(paths), 0.5), paths)
        base = float(np.exp2(-self.expected[self.roots].sum() / self._normalisation))
        logarithms = -np.log(2.0) / self._normalisation * paths
        total = np.add.reduce(logarithms, axis=1)
        # The limit of (exp(x) - 1) / x at 0 is 1.
        growth = np.divide(np.expm1(total), total, out=np.ones_like(total), where=total != 0.0)
        return Attribution(base, -self.score_samples(rows), logarithms * (base * growth)[:, np.newaxis])

    def _walk(self) -> Walk:
        return Walk(
            column=self.feature,
            feature=self.feature,
            threshold=self.threshold,
            left_child=self.left_child,
            expected=self.expected,
            roots=self.roots,
            depth=self.depth,
        )

    def _singles(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        values = np.asarray(rows, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self.features:
            raise ValueError(f"rows of {self.features} features are expected, not an array of shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("a feature is NaN or infinite")
        # A double beyond the range of a float32 becomes infinite, which compares as it should.
        with np.errstate(over="ignore"):
            return values.astype(np.float32)

    def _score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        path_lengths = self.expected.take(self._leaves(rows), mode="wrap")
        # One contiguous row of trees per row: summed in the same order in a batch of any size.
        total = np.add.reduce(path_lengths, axis=1)
        # With one sample per tree there is no path; scikit-learn takes the ratio as 1 then.
        ratio = total / self._normalisation if self._normalisation else np.ones_like(total)
        scores: NDArray[np.float64] = -np.exp2(-ratio)
        return scores

    def _leaves(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """(rows, trees): the leaf that each row ends in."""
        values = rows.ravel()
        starts = np.arange(0, len(values), self.features)[:, np.newaxis] if len(rows) != 1 else None
        index = self._root_feature[np.newaxis].copy() if starts is None else self._root_feature + starts
        # Every index is known to be in range; of NumPy's ways to treat one that is not, wrapping costs the least.
        value = values.take(index, mode="wrap")
        goes_right = value > self._root_threshold
        node = self._root_left_child + goes_right
        threshold = np.empty_like(value)
        feature_of, threshold_of, left_child_of = self.feature.take, self.threshold.take, self.left_child.take
        # All levels write to the same few arrays: making new ones takes a twentieth of the time of a single row.
        for _ in range(1, self.depth):
            feature_of(node, None, index, "wrap")
            if starts is not None:
                index += starts
            values.take(index, None, value, "wrap")
            threshold_of(node, None, threshold, "wrap")
            np.greater(value, threshold, goes_right)
            left_child_of(node, None, index, "wrap")
            np.add(index, goes_right, node)
        return node


_ARRAYS: dict[str, type[np.generic]] = {
    "feature": np.int64,
    "threshold": np.float32,
    "left_child": np.int64,
    "expected": np.float64,
    "roots": np.int64,
}


def average_path_length(samples: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """c(n), the mean path length of an unsuccessful search in a binary tree of n samples (Liu et al., equation 1).

    ``2 (ln(n - 1) + Euler's gamma) - 2 (n - 1) / n``, with c(2) = 1 and c(1) = 0, as in scikit-learn.

    Args:
        samples: (k,), at least 1 each.

    Returns:
        (k,)
    """
    n = np.maximum(samples, 3).astype(np.float64)
    harmonic = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(samples > 2, harmonic, np.where(samples == 2, 1.0, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _FlatTree:
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left_child: NDArray[np.int64]
    expected: NDArray[np.float64]


def _flatten(tree: Any, columns: NDArray[np.integer[Any]]) -> _FlatTree:
    """Reorder a scikit-learn tree by levels, so that siblings are neighbours."""
    levels = [np.zeros(1, dtype=np.int64)]
    while len(parents := levels[-1][tree.children_left[levels[-1]] >= 0]):
        levels.append(np.column_stack((tree.children_left[parents], tree.children_right[parents])).ravel())
    order = np.concatenate(levels)
    depth = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
    is_leaf = tree.children_left[order] < 0

    left_child = np.arange(len(order))
    left_child[~is_leaf] = 1 + 2 * np.arange(np.count_nonzero(~is_leaf))
    samples = tree.n_node_samples[order]
    return _FlatTree(
        feature=np.where(is_leaf, 0, columns[np.where(is_leaf, 0, tree.feature[order])]),
        threshold=np.where(is_leaf, np.float32(np.inf), _round_down(tree.threshold[order])),
        left_child=left_child,
        expected=expectations(left_child, depth, samples, depth + average_path_length(samples)),
    )


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each threshold: a float32 is above the one exactly when above the other."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _read_only(name: str, array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    if array.ndim != 1 or not np.can_cast(array.dtype, dtype, casting="safe"):
        raise ValueError(f"{name} is an array of {array.dtype} of shape {array.shape}")
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy


def _check_columns(forest: FlattenedForest) -> None:
    nodes = len(forest.feature)
    if not len(forest.roots) or any(
        len(column) != nodes for column in (forest.threshold, forest.left_child, forest.expected)
    ):
        raise ValueError("there is no tree, or the arrays of nodes differ in length")
    if forest.features < 1 or forest.samples_per_tree < 1:
        raise ValueError("there is no feature, or no sample per tree")
    if nodes and not (forest.feature.min() >= 0 and forest.feature.max() < forest.features):
        raise ValueError("a node looks at a feature that does not exist")
    if np.isnan(forest.threshold).any():
        raise ValueError("a threshold is not a number")
    longest = _deepest(forest) + average_path_length(np.array([forest.samples_per_tree]))
    if not ((forest.expected >= 0) & (forest.expected <= longest)).all():
        raise ValueError("a path is longer than the samples of a tree allow")


def _deepest(forest: FlattenedForest) -> int:
    """log2(samples per tree), rounded up: scikit-learn cuts trees there, as a longer path tells of no anomaly."""
    return (max(forest.samples_per_tree, 2) - 1).bit_length()


def _checked_depth(forest: FlattenedForest) -> int:
    """Walk all trees level by level, each node once; the number of steps that bring every row to a leaf."""
    nodes = len(forest.left_child)
    deepest = _deepest(forest)
    levels: list[NDArray[np.int64]] = [forest.roots]
    _check_indices(levels, nodes)
    while len(parents := _internal(forest, levels[-1])):
        if len(levels) > deepest:
            raise ValueError(f"a tree is deeper than {deepest}")
        left = forest.left_child[parents]
        levels.append(np.concatenate((left, left + 1)))
        _check_indices(levels, nodes)
    if not np.array_equal(np.sort(np.concatenate(levels)), np.arange(nodes)):
        raise ValueError("a node belongs to no tree, or to more than one")
    return max(1, len(levels) - 1)


def _internal(forest: FlattenedForest, level: NDArray[np.int64]) -> NDArray[np.int64]:
    is_leaf: NDArray[np.bool_] = forest.left_child[level] == level
    if not np.isposinf(forest.threshold[level[is_leaf]]).all():
        raise ValueError("a leaf has a threshold")
    return level[~is_leaf]


def _check_indices(levels: Sequence[NDArray[np.int64]], nodes: int) -> None:
    newest = levels[-1]
    if newest.min() < 0 or newest.max() >= nodes:
        raise ValueError("a root or a child lies outside the arrays")
    if sum(len(level) for level in levels) > nodes:
        raise ValueError("a node has two parents")
