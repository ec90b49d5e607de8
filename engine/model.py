"""The anomaly model: an Isolation Forest, its calibration and its card, as one value to train, score with and keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from data.errors import ModelError, ModelOutdatedError
from engine import model_file
from engine.attribution import Attribution
from engine.calibration import ANCHORS, MINIMUM_ROWS, QuantileCalibration
from engine.drift_reference import BINS, SCORES, Reference
from engine.forest import FlattenedForest
from engine.model_card import FORMAT_VERSION, AlertShare, ModelCard, content_digest, features_digest
from engine.model_file import ModelFile, unusable

LARGEST_FOREST_SAMPLES = 1_500_000
"""Trees times samples per tree: at two nodes a sample, the file stays below what is read back."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelScores:
    """Scores of a batch, (rows,) each: ``raw`` in (0, 1], ``calibrated`` in [0, 1]; higher is more anomalous."""

    raw: NDArray[np.float64]
    calibrated: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyModel:
    """An immutable model. ``usual`` is (features,), the median of each feature in the training rows.

    ``reference`` is what later traffic is compared with: each feature in the training rows, then the raw anomaly and
    the calibrated score in the calibration rows. The latter stands for the fused score, which it is where no rule
    speaks.

    Raises:
        ValueError: the parts do not belong together.
    """

    card: ModelCard
    forest: FlattenedForest
    calibration: QuantileCalibration
    usual: NDArray[np.float64]
    reference: Reference

    def __post_init__(self) -> None:
        expected = (self.card.trees, self.card.samples_per_tree, len(self.card.features))
        if expected != (len(self.forest.roots), self.forest.samples_per_tree, self.forest.features):
            raise ValueError("the forest is not the one on the card")
        if self.usual.shape != (self.forest.features,) or not np.isfinite(self.usual).all():
            raise ValueError("the usual values do not match the features")
        if len(self.reference.edges) != self.forest.features + len(SCORES):
            raise ValueError("the reference does not match the features")
        usual = self.usual.copy()
        usual.setflags(write=False)
        object.__setattr__(self, "usual", usual)

    def score(self, rows: NDArray[np.float64]) -> ModelScores:
        """Score a batch; a row's scores do not depend on the rows beside it.

        Args:
            rows: (rows, features), finite, columns as in ``card.features``.

        Raises:
            ValueError: another number of columns, or a value that is NaN or infinite.
        """
        raw = -self.forest.score_samples(rows)
        return ModelScores(raw, self.calibration.apply(raw))

    def explain(self, rows: NDArray[np.float64]) -> Attribution:
        """What each feature adds to the raw anomaly, and what a row has before any; arguments and errors as ``score``.

        The method is that of ``engine.attribution``.
        """
        return self.forest.attribute(rows)

    def save(self, path: Path) -> None:
        """Write the model to one file, replacing it as a whole, readable by its owner only.

        Raises:
            ModelError: the file cannot be written.
        """
        arrays = _arrays(self.forest, self.calibration, self.usual, self.reference)
        model_file.write(path, ModelFile(self.card.model_dump_json().encode(), arrays))

    @classmethod
    def load(cls, path: Path, names: tuple[str, ...]) -> Self:
        """Read a model that was trained on the features ``names``, in this order.

        Raises:
            FileNotFoundError: there is no such file.
            ModelOutdatedError: the file is sound, but of an earlier format version or of other features.
            ModelError: the file is damaged, foreign, of another format version or of other features.
        """
        contents = model_file.read(path)
        described = _card_values(path, contents.card)
        if (found := described.get("format_version")) != FORMAT_VERSION:
            raise unusable(
                path,
                f"has format version {found!r:.20}; this program reads version {FORMAT_VERSION}",
                ModelOutdatedError if type(found) is int and 0 < found < FORMAT_VERSION else ModelError,
            )
        try:
            card = ModelCard.model_validate_json(contents.card)
        except ValueError as error:
            raise unusable(path, "has a card that does not hang together") from error
        if content_digest(described, contents.arrays) != card.content_sha256:
            raise unusable(path, "is damaged (its contents do not match their digest)")
        if card.features != names:
            difference = _difference(card.features, names)
            raise unusable(path, f"was trained on other features ({difference})", ModelOutdatedError)
        try:
            return cls(card, *_parts(card, contents.arrays))
        except ValueError as error:
            raise unusable(path, f"is not a sound model ({error})") from error

    @classmethod
    def load_if_present(cls, path: Path, names: tuple[str, ...]) -> Self | None:
        """``load``, or None where there is no such file.

        Raises:
            ModelError: as ``load``.
        """
        try:
            return cls.load(path, names)
        except FileNotFoundError:
            return None


def train(
    features: NDArray[np.float64],
    names: tuple[str, ...],
    *,
    seed: int,
    trained_at: datetime,
    data_from: datetime,
    data_to: datetime,
    source: str,
    trees: int = 100,
    samples_per_tree: int = 1_024,
    calibration_share: float = 0.3,
) -> AnomalyModel:
    """Fit a forest on the earlier rows and calibrate it on the later ones, which it has not seen.

    The calibration takes its rows for honest traffic: leave known fraud out. The same arguments give the same model,
    byte for byte, with one release of scikit-learn and NumPy.

    Args:
        features: (rows, features) in time order, finite.
        names: the features, one for each column.
        seed: of the forest's random splits, 0 to 2**32 - 1.
        trained_at: when, aware.
        data_from: time of the first row, aware.
        data_to: time of the last row, aware.
        source: where the rows came from, in words.
        trees: of the forest.
        samples_per_tree: rows that each tree is fitted on; all training rows where there are fewer.
        calibration_share: of the rows, at the end; at least 5,000 rows.

    Raises:
        ValueError: the rows are too few, not finite or do not match the names, or another argument is out of range.
    """
    if trees < 1 or samples_per_tree < 2 or trees * samples_per_tree > LARGEST_FOREST_SAMPLES:
        raise ValueError(f"{trees} trees of {samples_per_tree} samples are too few, or too many to keep")
    _check_rows(features, names)
    training, held_out = _split(features, calibration_share)
    forest = _fit_forest(training, seed, trees, min(samples_per_tree, len(training)))
    raw = -forest.score_samples(held_out)
    calibration = QuantileCalibration.fit(raw)
    usual = np.median(training, axis=0)
    reference = Reference.fit([*training.T, raw, calibration.apply(raw)])
    unsigned = ModelCard(
        format_version=FORMAT_VERSION,
        content_sha256="0" * 64,
        trained_at=trained_at,
        data_from=data_from,
        data_to=data_to,
        source=source,
        training_rows=len(training),
        calibration_rows=len(held_out),
        features=names,
        features_sha256=features_digest(names),
        seed=seed,
        trees=trees,
        samples_per_tree=forest.samples_per_tree,
        alert_shares=_alert_shares(calibration, raw),
        scikit_learn=version("scikit-learn"),
        numpy=version("numpy"),
    )
    digest = content_digest(from_json(unsigned.model_dump_json()), _arrays(forest, calibration, usual, reference))
    return AnomalyModel(unsigned.model_copy(update={"content_sha256": digest}), forest, calibration, usual, reference)


def _check_rows(features: NDArray[np.float64], names: tuple[str, ...]) -> None:
    if not names or len(set(names)) != len(names) or features.shape[1:] != (len(names),):
        raise ValueError(f"an array of shape {features.shape} does not have one column for each of {len(names)} names")
    finite = np.isfinite(features).all(axis=0)
    if not finite.all():
        raise ValueError(f"feature {names[int(np.argmin(finite))]} is NaN or infinite in some row")


def _split(features: NDArray[np.float64], calibration_share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The earlier rows to fit, the later ones to calibrate."""
    if not 0 < calibration_share < 1:
        raise ValueError(f"a calibration share of {calibration_share} lies outside 0 to 1")
    training_rows = len(features) - round(len(features) * calibration_share)
    if len(features) - training_rows < MINIMUM_ROWS or training_rows < 2:
        raise ValueError(
            f"{len(features):,} rows are too few to train on: a calibration share of {calibration_share:.0%} must hold "
            f"at least {MINIMUM_ROWS:,} rows, for one of them to be among the highest {ANCHORS[-1].share:.2%}"
        )
    return features[:training_rows], features[training_rows:]


def _fit_forest(training: NDArray[np.float64], seed: int, trees: int, samples_per_tree: int) -> FlattenedForest:
    # Here, not at the top: the import takes a second, and only a training needs it.
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415

    forest = IsolationForest(n_estimators=trees, max_samples=samples_per_tree, n_jobs=1, random_state=seed)
    return FlattenedForest.from_sklearn(forest.fit(training))


def _alert_shares(calibration: QuantileCalibration, raw: NDArray[np.float64]) -> tuple[AlertShare, ...]:
    calibrated = calibration.apply(raw)
    return tuple(
        AlertShare(score=anchor.score, stated=anchor.share, measured=float(np.mean(calibrated >= anchor.score)))
        for anchor in ANCHORS
    )


_DTYPES: dict[str, np.dtype[Any]] = {
    "feature": np.dtype("<i4"),
    "threshold": np.dtype("<f4"),
    "left_child": np.dtype("<i4"),
    "expected": np.dtype("<f8"),
    "roots": np.dtype("<i4"),
    "calibration_raw": np.dtype("<f8"),
    "calibration_score": np.dtype("<f8"),
    "calibration_share": np.dtype("<f8"),
    "usual": np.dtype("<f8"),
    "reference_edges": np.dtype("<f8"),
    "reference_counts": np.dtype("<i8"),
}


def _arrays(
    forest: FlattenedForest, calibration: QuantileCalibration, usual: NDArray[np.float64], reference: Reference
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "feature": forest.feature,
        "threshold": forest.threshold,
        "left_child": forest.left_child,
        "expected": forest.expected,
        "roots": forest.roots,
        "calibration_raw": calibration.raw,
        "calibration_score": calibration.score,
        "calibration_share": calibration.share,
        "usual": usual,
        "reference_edges": reference.edges.ravel(),
        "reference_counts": reference.counts.ravel(),
    }
    return {name: array.astype(_DTYPES[name]) for name, array in arrays.items()}


def _parts(
    card: ModelCard, arrays: Mapping[str, NDArray[Any]]
) -> tuple[FlattenedForest, QuantileCalibration, NDArray[np.float64], Reference]:
    if {name: array.dtype for name, array in arrays.items()} != _DTYPES:
        raise ValueError("an array is missing, unknown or of another type")
    forest = FlattenedForest(
        feature=arrays["feature"],
        threshold=arrays["threshold"],
        left_child=arrays["left_child"],
        expected=arrays["expected"],
        roots=arrays["roots"],
        features=len(card.features),
        samples_per_tree=card.samples_per_tree,
    )
    calibration = QuantileCalibration(
        raw=arrays["calibration_raw"], score=arrays["calibration_score"], share=arrays["calibration_share"]
    )
    reference = Reference(
        edges=arrays["reference_edges"].reshape(-1, BINS - 1), counts=arrays["reference_counts"].reshape(-1, BINS)
    )
    return forest, calibration, arrays["usual"], reference


def _card_values(path: Path, card: bytes) -> dict[str, Any]:
    try:
        values = from_json(card)
    except ValueError as error:
        raise unusable(path, "has a card that is not JSON") from error
    if not isinstance(values, dict):
        raise unusable(path, "has a card that is not a JSON object")
    return values


def _difference(trained: tuple[str, ...], expected: tuple[str, ...]) -> str:
    missing = [name for name in expected if name not in trained]
    unknown = [name for name in trained if name not in expected]
    if missing or unknown:
        return f"{len(missing)} missing, {len(unknown)} unknown, the first {(missing + unknown)[0]!r:.40}"
    return "in another order"
