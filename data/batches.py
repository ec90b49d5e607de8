"""What the engine hands to the store: the rows, alerts and dead letters of one batch, and its position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from data.drift import DriftCount
from data.models import DeadLetterReason, RiskLevel

MAX_DEAD_LETTER_BYTES = 4096


class ScoredTransaction(NamedTuple):
    """A row of ``transactions``, without its sequence number; amounts in cents, times in microseconds."""

    transaction_id: str
    card_id: str
    amount_minor: int
    currency: str | None
    event_time: int
    location: str | None
    latitude: float | None
    longitude: float | None
    merchant_id: str | None
    merchant_name: str | None
    merchant_category: str | None
    customer_id: str | None
    score: float
    model_score: float
    velocity: int
    level_rank: int
    status: str
    late: int
    is_fraud: int | None
    scenario: str | None
    amount_ratio: float | None
    """The amount over the card's usual one, as it was before; 1 where it was not above it."""
    challenger_score: float | None
    """The fused score that the challenger would have given; None where there was none."""


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert on ``transactions[index]`` of the same batch; JSON texts are ready to store."""

    index: int
    alert_id: str
    level: RiskLevel
    reason_codes: tuple[str, ...]
    reasons_json: str
    evidence_json: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was set aside; ``raw`` is kept up to MAX_DEAD_LETTER_BYTES."""

    offset: int
    reason: DeadLetterReason
    detail: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch came to. ``first_offset`` must be the stored next offset, or the write is refused."""

    source: str
    partition: str
    first_offset: int
    next_offset: int
    watermark: int | None
    transactions: Sequence[ScoredTransaction]
    alerts: Sequence[NewAlert]
    dead_letters: Sequence[DeadLetter]
    duplicates: int
    rule_hits: Mapping[str, int]
    latency_us: int
    """From the records' arrival at the source to the commit being started, per transaction."""
    drift: Sequence[DriftCount] = ()
    checkpoint: bytes | None = None
    taken_in: "TakenIn | None" = None
    """What analysts had decided that the batch's scores took into account for the first time."""
    review_sample: Sequence[int] = ()
    """Indices of transactions without an alert that are offered for review."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """How far the engine has followed the labels and the roles of models: the highest id of each."""

    label_id: int
    role_id: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What a committed batch changed."""

    last_seq: int
    cases_opened: int
    alert_ids: tuple[int, ...] = field(default=())


class KnownTransaction(NamedTuple):
    """The fields of a stored transaction that a second arrival of its id must match."""

    card_id: str
    amount_minor: int
    event_time: int
    merchant_id: str | None
