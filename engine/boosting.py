"""Gradient boosting served from flattened arrays: scikit-learn's probabilities, without its threads and its checks.

Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001: the log-odds of a
row are a constant and the sum of one leaf of each tree.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.attribution import Attribution, Walk, check_expectations, expectations, path_contributions

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

DEEPEST = 64
"""More than any tree worth its training has; a file that claims more is refused."""

# Rows times trees walked at once, so that what is walked stays in the L2 cache.
_BLOCK_CELLS = 25_600


@dataclass(frozen=True, slots=True, eq=False)
class FlattenedBoosting:
    """All trees of a binary classifier in one set of arrays, valid by construction.

    The right child of a node is the one after its left child. A row goes right when its value in ``column`` is greater
    than ``threshold``. A leaf is its own left child and has threshold infinity, so that a row that has arrived stays.

    A row is widened before it is walked, so that a missing value needs no branch: columns 0 to ``features`` - 1 are the
    features with -infinity for NaN (missing goes left), the next ``features`` have +infinity (missing goes right), and
    the last ``features`` are 1 for NaN and 0 for a number (what is missing parts from all that is not).

    Attributes:
        column: (nodes,) int64, from 0 to 3 ``features`` - 1; 0 at a leaf.
        threshold: (nodes,) float64; infinity at a leaf.
        left_child: (nodes,) int64.
        expected: (nodes,) float64, log-odds: at a leaf what it adds, elsewhere the mean of the leaves below, by the
            training rows in each.
        roots: (trees,) int64.
        features: columns of a row.
        baseline: the log-odds that all rows start from.

    Raises:
        ValueError: the arrays do not describe an ensemble; the text says why.
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left_child: NDArray[np.int64]
    expected: NDArray[np.float64]
    roots: NDArray[np.int64]
    features: int
    baseline: float
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        for name, dtype in _ARRAYS.items():
            array = getattr(self, name)
            if array.ndim != 1 or not np.can_cast(array.dtype, dtype, casting="safe"):
                raise ValueError(f"{name} is an array of {array.dtype} of shape {array.shape}")
            copy = np.array(array, dtype=dtype)
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)
        _check_columns(self)
        object.__setattr__(self, "depth", _checked_depth(self))
        check_expectations(self.left_child, self.expected)

    @classmethod
    def from_sklearn(cls, model: "HistGradientBoostingClassifier") -> Self:
        """Flatten a fitted classifier.

        Raises:
            ValueError: it has more than two classes, or splits on categories.
        """
        if len(model.classes_) != 2:
            raise ValueError(f"a classifier of {len(model.classes_)} classes: two are expected")
        # scikit-learn has no public view of these trees; the versions that pyproject.toml allows keep them here.
        trees = [_flatten(predictor.nodes, model.n_features_in_) for (predictor,) in model._predictors]
        sizes = np.array([len(tree.column) for tree in trees])
        roots = np.cumsum(sizes) - sizes
        return cls(
            column=np.concatenate([tree.column for tree in trees]),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left_child=np.concatenate([tree.left_child + root for tree, root in zip(trees, roots, strict=True)]),
            expected=np.concatenate([tree.expected for tree in trees]),
            roots=roots,
            features=int(model.n_features_in_),
            baseline=float(model._baseline_prediction.item()),
        )

    def probability(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probability of the second class, within 1e-12 of scikit-learn's ``predict_proba``.

        A row's probability is the same to the last bit, whatever rows stand beside it.

        Args:
            rows: (rows, features); NaN is a missing value.

        Returns:
            (rows,), from 0 to 1.

        Raises:
            ValueError: another number of columns.
        """
        log_odds = self.log_odds(rows)
        # Beyond a double's range the exponential is infinite, and the probability 0, as it should be.
        with np.errstate(over="ignore"):
            probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-log_odds))
        return probability

    def log_odds(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logarithm of the odds of the second class; arguments and errors as ``probability``."""
        values = self._checked(rows)
        block = max(1, _BLOCK_CELLS // len(self.roots))
        if len(values) <= block:
            return self._log_odds(values)
        return np.concatenate([self._log_odds(values[at : at + block]) for at in range(0, len(values), block)])

    def attribute(self, rows: NDArray[np.float64]) -> Attribution:
        """What each feature adds to the log-odds; arguments and errors as ``probability``.

        Log-odds are what the trees add to, so contributions need no conversion there; to a probability, which is no
        sum, they would.
        """
        values = self._checked(rows)
        walk = Walk(
            column=self.column,
            feature=self.column % self.features,
            threshold=self.threshold,
            left_child=self.left_child,
            expected=self.expected,
            roots=self.roots,
            depth=self.depth,
        )
        base = self.baseline + float(self.expected[self.roots].sum())
        return Attribution(base, self.log_odds(values), path_contributions(walk, _widened(values), self.features))

    def _checked(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.asarray(rows, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self.features:
            raise ValueError(f"rows of {self.features} features are expected, not an array of shape {values.shape}")
        return values

    def _log_odds(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        values = _widened(rows).ravel()
        starts = np.arange(0, len(values), 3 * self.features)[:, np.newaxis]
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        # Every index is known to be in range; of NumPy's ways to treat one that is not, wrapping costs the least.
        for _ in range(self.depth):
            index = self.column.take(node, mode="wrap") + starts
            goes_right = values.take(index, mode="wrap") > self.threshold.take(node, mode="wrap")
            node = self.left_child.take(node, mode="wrap") + goes_right
        # One contiguous row of trees per row: summed in the same order in a batch of any size.
        total: NDArray[np.float64] = self.baseline + np.add.reduce(self.expected.take(node, mode="wrap"), axis=1)
        return total


def _widened(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, 3 features): the columns that nodes look at."""
    missing = np.isnan(rows)
    return np.concatenate((np.where(missing, -np.inf, rows), np.where(missing, np.inf, rows), missing), axis=1)


_ARRAYS: dict[str, type[np.generic]] = {
    "column": np.int64,
    "threshold": np.float64,
    "left_child": np.int64,
    "expected": np.float64,
    "roots": np.int64,
}


@dataclass(frozen=True, slots=True, eq=False)
class _FlatTree:
    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left_child: NDArray[np.int64]
    expected: NDArray[np.float64]


def _flatten(nodes: NDArray[Any], features: int) -> _FlatTree:
    """Reorder a scikit-learn tree by levels, so that siblings are neighbours."""
    if nodes["is_categorical"].any():
        raise ValueError("a tree splits on categories: numbers are expected")
    leaf = nodes["is_leaf"].astype(np.bool_)
    levels = [np.zeros(1, dtype=np.int64)]
    while len(parents := levels[-1][~leaf[levels[-1]]]):
        children = np.column_stack((nodes["left"][parents], nodes["right"][parents]))
        levels.append(children.ravel().astype(np.int64))
    order = np.concatenate(levels)
    depth = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
    nodes, leaf = nodes[order], leaf[order]

    threshold = nodes["num_threshold"].astype(np.float64)
    # Not even infinity is greater than infinity: such a split parts what is missing, if that goes right, from the rest.
    parts_missing = np.isposinf(threshold) & (nodes["missing_go_to_left"] == 0) & ~leaf
    view = np.where(parts_missing, 2, np.where(nodes["missing_go_to_left"] == 0, 1, 0))
    left_child = np.arange(len(order))
    left_child[~leaf] = 1 + 2 * np.arange(np.count_nonzero(~leaf))
    return _FlatTree(
        column=np.where(leaf, 0, nodes["feature_idx"].astype(np.int64) + view * features),
        threshold=np.where(leaf, np.inf, np.where(parts_missing, 0.5, threshold)),
        left_child=left_child,
        expected=expectations(left_child, depth, nodes["count"], nodes["value"]),
    )


def _check_columns(model: FlattenedBoosting) -> None:
    nodes = len(model.column)
    if not len(model.roots) or any(
        len(array) != nodes for array in (model.threshold, model.left_child, model.expected)
    ):
        raise ValueError("there is no tree, or the arrays of nodes differ in length")
    if model.features < 1 or not np.isfinite(model.baseline) or not np.isfinite(model.expected).all():
        raise ValueError("there is no feature, or a value is not a finite number")
    if nodes and not (model.column.min() >= 0 and model.column.max() < 3 * model.features):
        raise ValueError("a node looks at a column that does not exist")
    if np.isnan(model.threshold).any():
        raise ValueError("a threshold is not a number")


def _checked_depth(model: FlattenedBoosting) -> int:
    """Walk all trees level by level, each node once; the number of steps that bring every row to a leaf."""
    nodes = len(model.left_child)
    levels = [model.roots]
    while True:
        newest = levels[-1]
        if newest.min() < 0 or newest.max() >= nodes:
            raise ValueError("a root or a child lies outside the arrays")
        if len(levels) > DEEPEST or sum(map(len, levels)) > nodes:
            raise ValueError(f"a node has two parents, or a tree is deeper than {DEEPEST}")
        leaf = model.left_child[newest] == newest
        if not np.isposinf(model.threshold[newest[leaf]]).all():
            raise ValueError("a leaf has a threshold")
        if leaf.all():
            break
        left = model.left_child[newest[~leaf]]
        levels.append(np.concatenate((left, left + 1)))
    if not np.array_equal(np.sort(np.concatenate(levels)), np.arange(nodes)):
        raise ValueError("a node belongs to no tree, or to more than one")
    return len(levels) - 1
