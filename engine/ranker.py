"""The supervised ranker: gradient boosting over features and known labels, with its card, as one value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import from_json

from engine import model_file
from engine.attribution import Attribution
from engine.boosting import FlattenedBoosting
from engine.model_card import Count, Sha256, UtcTime, check_training_data, content_digest, features_digest
from engine.model_file import ModelFile, unusable
from engine.ranker_features import RANKER_FEATURE_NAMES

RANKER_FORMAT_VERSION: Final = 2
KIND: Final = "gradient boosting"

TREES: Final = 200
LEARNING_RATE: Final = 0.05
MAX_LEAVES: Final = 15
SMALLEST_LEAF: Final = 20
L2: Final = 1.0
FEATURE_SHARE: Final = 0.5
MINIMUM_FRAUDS: Final = 10
"""Fewer frauds than this teach nothing that would hold tomorrow."""


class RankerCard(BaseModel):
    """The record of a training. Times are UTC; rows are transactions. ``content_sha256`` covers card and arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    format_version: int
    content_sha256: Sha256
    trained_at: UtcTime
    data_from: UtcTime
    data_to: UtcTime
    training_rows: Count
    training_frauds: Count
    features: tuple[str, ...]
    features_sha256: Sha256
    seed: int
    trees: Count
    baseline: float
    scikit_learn: str
    numpy: str

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        check_training_data(self.data_from, self.data_to, self.features, self.features_sha256)
        return self

    @property
    def version(self) -> str:
        """Names these contents and no others."""
        return f"boosting-{self.content_sha256[:12]}"


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """An immutable model.

    Raises:
        ValueError: the parts do not belong together.
    """

    card: RankerCard
    boosting: FlattenedBoosting

    def __post_init__(self) -> None:
        expected = (self.card.trees, len(self.card.features), self.card.baseline)
        if expected != (len(self.boosting.roots), self.boosting.features, self.boosting.baseline):
            raise ValueError("the trees are not the ones on the card")

    def score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probability of fraud, (rows,), from (rows, features) in the card's order; NaN is a missing value.

        Raises:
            ValueError: another number of columns.
        """
        return self.boosting.probability(rows)

    def explain(self, rows: NDArray[np.float64]) -> Attribution:
        """What each feature adds to the log-odds of fraud; arguments and errors as ``score``."""
        return self.boosting.attribute(rows)

    def save(self, path: Path) -> None:
        """Write the model to one file, replacing it as a whole, readable by its owner only.

        Raises:
            ModelError: the file cannot be written.
        """
        model_file.write(path, ModelFile(self.card.model_dump_json().encode(), _arrays(self.boosting)))

    @classmethod
    def load(cls, path: Path, names: tuple[str, ...] = RANKER_FEATURE_NAMES) -> Self:
        """Read a ranker that was trained on the features ``names``, in this order.

        Raises:
            FileNotFoundError: there is no such file.
            ModelError: the file is damaged, of another kind or format version, or of other features.
        """
        contents = model_file.read(path)
        try:
            described = from_json(contents.card)
        except ValueError as error:
            raise unusable(path, "has a card that is not JSON") from error
        if not isinstance(described, dict) or described.get("kind") != KIND:
            raise unusable(path, "is not a ranker")
        if (found := described.get("format_version")) != RANKER_FORMAT_VERSION:
            raise unusable(path, f"has format version {found!r:.20}; this program reads {RANKER_FORMAT_VERSION}")
        try:
            card = RankerCard.model_validate_json(contents.card)
        except ValueError as error:
            raise unusable(path, "has a card that does not hang together") from error
        if card.features != names:
            raise unusable(path, "was trained on other features")
        if content_digest(described, contents.arrays) != card.content_sha256:
            raise unusable(path, "is damaged (its contents do not match their digest)")
        try:
            return cls(card, _boosting(card, contents.arrays))
        except ValueError as error:
            raise unusable(path, f"is not a sound model ({error})") from error


def train_ranker(
    features: NDArray[np.float64],
    fraud: NDArray[np.bool_],
    names: tuple[str, ...] = RANKER_FEATURE_NAMES,
    *,
    seed: int,
    trained_at: datetime,
    data_from: datetime,
    data_to: datetime,
    trees: int = TREES,
) -> Ranker:
    """Fit on transactions whose labels are known; on one core, whatever else the machine does.

    The same arguments give the same model, byte for byte, with one release of scikit-learn and NumPy.

    Args:
        features: (rows, features); NaN is a missing value.
        fraud: (rows,)

    Raises:
        ValueError: the columns are not those of ``names``, or there are fewer than ``MINIMUM_FRAUDS`` frauds or honest
            rows.
    """
    if features.shape != (len(fraud), len(names)):
        raise ValueError(f"an array of shape {features.shape} is not {len(fraud):,} rows of {len(names)} features")
    frauds = int(fraud.sum())
    if min(frauds, len(fraud) - frauds) < MINIMUM_FRAUDS:
        raise ValueError(
            f"{frauds:,} frauds among {len(fraud):,} transactions are too few to learn from: "
            f"{MINIMUM_FRAUDS} of each kind are needed"
        )
    boosting = _fit(features, fraud, seed, trees)
    unsigned = RankerCard(
        kind=KIND,
        format_version=RANKER_FORMAT_VERSION,
        content_sha256="0" * 64,
        trained_at=trained_at,
        data_from=data_from,
        data_to=data_to,
        training_rows=len(fraud),
        training_frauds=frauds,
        features=names,
        features_sha256=features_digest(names),
        seed=seed,
        trees=len(boosting.roots),
        baseline=boosting.baseline,
        scikit_learn=version("scikit-learn"),
        numpy=version("numpy"),
    )
    digest = content_digest(json.loads(unsigned.model_dump_json()), _arrays(boosting))
    return Ranker(unsigned.model_copy(update={"content_sha256": digest}), boosting)


def _fit(features: NDArray[np.float64], fraud: NDArray[np.bool_], seed: int, trees: int) -> FlattenedBoosting:
    # Here, not at the top: the import takes a second, and only a training needs it.
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # scikit-learn cannot bin a column without a number; a constant is never split on, so it is as good as missing.
    known = np.where(np.isnan(features).all(axis=0), 0.0, features)
    classifier = HistGradientBoostingClassifier(
        max_iter=trees,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=MAX_LEAVES,
        min_samples_leaf=SMALLEST_LEAF,
        l2_regularization=L2,
        max_features=FEATURE_SHARE,
        early_stopping=False,
        random_state=seed,
    )
    # With a thread for each core, and the cores busy, the threads wait for one another at every split.
    with threadpool_limits(1, user_api="openmp"):
        return FlattenedBoosting.from_sklearn(classifier.fit(known, fraud))


_DTYPES: dict[str, np.dtype[Any]] = {
    "column": np.dtype("<i4"),
    "threshold": np.dtype("<f8"),
    "left_child": np.dtype("<i4"),
    "expected": np.dtype("<f8"),
    "roots": np.dtype("<i4"),
}


def _arrays(boosting: FlattenedBoosting) -> dict[str, NDArray[Any]]:
    return {name: getattr(boosting, name).astype(dtype) for name, dtype in _DTYPES.items()}


def _boosting(card: RankerCard, arrays: Mapping[str, NDArray[Any]]) -> FlattenedBoosting:
    if {name: array.dtype for name, array in arrays.items()} != _DTYPES:
        raise ValueError("an array is missing, unknown or of another type")
    return FlattenedBoosting(
        column=arrays["column"],
        threshold=arrays["threshold"],
        left_child=arrays["left_child"],
        expected=arrays["expected"],
        roots=arrays["roots"],
        features=len(card.features),
        baseline=card.baseline,
    )
