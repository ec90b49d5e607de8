"""What is known about a model: where it came from, what it expects, what it may be relied on for."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Self

from numpy.typing import NDArray
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

FORMAT_VERSION = 2

Count = Annotated[int, Field(ge=1, le=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AlertShare(_Record):
    """The share of honest traffic that reaches a score: as ``stated`` by the calibration, and as ``measured``."""

    score: Share
    stated: Share
    measured: Share


class ModelCard(_Record):
    """The record of a training. Times are UTC; rows are transactions.

    ``alert_shares`` are measured on the calibration rows. ``content_sha256`` covers this card and all arrays.
    """

    format_version: int
    content_sha256: Sha256
    trained_at: UtcTime
    data_from: UtcTime
    data_to: UtcTime
    source: str
    training_rows: Count
    calibration_rows: Count
    features: tuple[str, ...]
    features_sha256: Sha256
    seed: int
    trees: Count
    samples_per_tree: Count
    alert_shares: tuple[AlertShare, ...]
    scikit_learn: str
    numpy: str

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        check_training_data(self.data_from, self.data_to, self.features, self.features_sha256)
        return self

    @property
    def version(self) -> str:
        """Names these contents and no others: a model that differs in anything has another version."""
        return f"iforest-{self.content_sha256[:12]}"

    @property
    def rows(self) -> int:
        """All rows that the training was given."""
        return self.training_rows + self.calibration_rows


def check_training_data(data_from: datetime, data_to: datetime, features: tuple[str, ...], digest: str) -> None:
    """Check what the card of any model says of the data that it was trained on.

    Raises:
        ValueError: the data end before they start, or ``digest`` is not that of the features.
    """
    if data_from > data_to:
        raise ValueError("the data end before they start")
    if digest != features_digest(features):
        raise ValueError("the features do not match their digest")


def features_digest(names: Iterable[str]) -> str:
    """SHA-256 of feature names in order, in hexadecimal."""
    return sha256(json.dumps(list(names)).encode()).hexdigest()


def content_digest(card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256, in hexadecimal, of a card's JSON values but its own digest, and of arrays with their names and types."""
    described = {key: value for key, value in card.items() if key != "content_sha256"}
    digest = sha256(json.dumps(described, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
