"""The domain: transactions, alerts, cases, customers, rules, and every closed set of values they use."""

import math
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from data.timestamps import parse_timestamp, to_microseconds

CENT = Decimal("0.01")
LARGEST_AMOUNT = Decimal("1000000000000.00")


class RiskLevel(StrEnum):
    """Ordered by ``rank``, never by text: as text, MEDIUM sorts above CRITICAL."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """1 for LOW to 4 for CRITICAL; 0 is left for no alert."""
        return _RANKS[self]


_RANKS = {level: rank for rank, level in enumerate(RiskLevel, start=1)}


class AlertStatus(StrEnum):
    NEW = "new"
    REVIEWING = "reviewing"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    FALSE_POSITIVE = "false_positive"


class TransactionStatus(StrEnum):
    COMPLETED = "completed"
    PENDING = "pending"
    DECLINED = "declined"
    FLAGGED = "flagged"


class CaseStatus(StrEnum):
    OPEN = "open"
    INVESTIGATING = "investigating"
    PENDING_INFO = "pending_info"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    CLOSED = "closed"

    @property
    def is_active(self) -> bool:
        """Whether a case in this status still takes alerts and runs against its SLA."""
        return self not in (CaseStatus.RESOLVED, CaseStatus.CLOSED)


class CasePriority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class CaseCategory(StrEnum):
    VELOCITY_FRAUD = "velocity_fraud"
    IDENTITY_THEFT = "identity_theft"
    CARD_TESTING = "card_testing"
    FRIENDLY_FRAUD = "friendly_fraud"
    SUSPICIOUS_ACTIVITY = "suspicious_activity"
    OTHER = "other"


class ActivityType(StrEnum):
    CREATED = "created"
    ASSIGNED = "assigned"
    STATUS_CHANGED = "status_changed"
    COMMENTED = "commented"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


class Disposition(StrEnum):
    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_POSITIVE = "false_positive"
    INCONCLUSIVE = "inconclusive"
    CUSTOMER_ERROR = "customer_error"


class LabelSource(StrEnum):
    """Who said that a transaction was fraud, or was not."""

    CHARGEBACK = "chargeback"
    DISPOSITION = "disposition"
    REVIEW = "review"


class ModelRole(StrEnum):
    """The champion decides; the challenger scores beside it, and nothing follows from its scores."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


class CommentVisibility(StrEnum):
    INTERNAL = "internal"
    CUSTOMER = "customer"


class Role(StrEnum):
    ADMIN = "admin"
    ANALYST = "analyst"
    VIEWER = "viewer"


class DeadLetterReason(StrEnum):
    """Why a record was set aside instead of scored."""

    EMPTY = "empty"
    OVERSIZED = "oversized"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    WRONG_COLUMN_COUNT = "wrong_column_count"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    ID_CONFLICT = "id_conflict"
    FUTURE_DATED = "future_dated"


class RuleAction(StrEnum):
    FLAG = "flag"
    BLOCK = "block"
    ALERT = "alert"
    REVIEW = "review"


class RuleType(StrEnum):
    """What a rule's condition looks at; one evidence family each, so that no fact is counted twice."""

    VELOCITY = "velocity"
    AMOUNT = "amount"
    TIME = "time"
    LOCATION = "location"
    CARD_TESTING = "card_testing"
    MODEL = "model"
    TRAVEL = "travel"


def _parse_amount(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError(f"a {type(value).__name__} is not an amount")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not an amount")
    if isinstance(value, str) and len(value) > 40:
        raise ValueError("an amount of over 40 characters is not an amount")
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        raise ValueError(f"{value!r} is not an amount")
    try:
        amount = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not an amount") from None
    if not amount.is_finite():
        raise ValueError(f"{value} is not an amount")
    if amount < 0:
        raise ValueError(f"{value} is negative")
    if amount >= LARGEST_AMOUNT:
        raise ValueError("it is 1,000,000,000,000 or more")
    return abs(amount.quantize(CENT, rounding=ROUND_HALF_EVEN))


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _coordinate(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a bool is not a coordinate")
    return _blank_to_none(value)


Identifier = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
OptionalIdentifier = Annotated[
    Annotated[str, StringConstraints(max_length=128)] | None, BeforeValidator(_blank_to_none)
]
OptionalText = Annotated[Annotated[str, StringConstraints(max_length=512)] | None, BeforeValidator(_blank_to_none)]
Amount = Annotated[Decimal, BeforeValidator(_parse_amount)]
"""Currency units, at least 0, to the cent."""
Timestamp = Annotated[datetime, BeforeValidator(parse_timestamp)]
"""Aware, UTC."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Transaction(BaseModel):
    """A card transaction as it arrives. Fields unknown to this model are ignored.

    ``location`` is ``"lat,lng"``, ``"City, ST"`` or a note such as ``"TOR Exit Node"``. ``latitude`` and
    ``longitude`` are degrees, and come together or not at all.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    transaction_id: Identifier
    card_id: Identifier
    amount: Amount
    timestamp: Timestamp
    location: OptionalText = None
    merchant_category: OptionalIdentifier = None
    merchant_id: OptionalIdentifier = None
    merchant_name: OptionalText = None
    currency: Annotated[
        Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{3}$")] | None,
        BeforeValidator(_blank_to_none),
    ] = None
    latitude: Annotated[Annotated[float, Field(ge=-90, le=90)] | None, BeforeValidator(_coordinate)] = None
    longitude: Annotated[Annotated[float, Field(ge=-180, le=180)] | None, BeforeValidator(_coordinate)] = None
    customer_id: OptionalIdentifier = None

    @model_validator(mode="after")
    def _coordinates_come_in_pairs(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude come together or not at all")
        return self

    @cached_property
    def amount_minor(self) -> int:
        """The amount in cents."""
        return int(self.amount.scaleb(2))

    @cached_property
    def event_time(self) -> int:
        """Microseconds since the epoch, UTC."""
        return to_microseconds(self.timestamp)


class Reason(_Record):
    """Why an alert was raised: a fixed code, and the value that met the threshold."""

    code: str
    rule: str
    value: float | str
    threshold: float | str
    text: str


class Contribution(_Record):
    """How much one feature adds to a model's score; negative where it speaks for the ordinary.

    ``value`` and ``usual``, what honest traffic has at the median, are in the feature's own unit; None where there is
    no value, or where the model has nothing to compare with.
    """

    feature: str
    value: float | None
    usual: float | None
    share: float


class Anomaly(_Record):
    """The model's raw anomaly, 0 to 1: ``score`` is ``base`` and the shares of all features together.

    ``base`` is what the model gives a transaction before it looks at any feature.
    """

    base: float
    score: float


class RankedEvidence(_Record):
    """What the ranker that decided made of a transaction.

    ``probability`` is that of fraud. ``base`` and the shares of all ``contributions`` add up to ``log_odds``, its
    natural logarithm of the odds; the base is what the ranker gives a transaction before it looks at any feature.
    """

    model: str
    probability: float
    base: float
    log_odds: float
    contributions: tuple[Contribution, ...]


class NeighbourKind(StrEnum):
    """What a card can share with others."""

    MERCHANT = "merchant"
    PLACE = "place"


class Neighbour(_Record):
    """A merchant, or a place as "lat, lng" in degrees, that an alert's card shares with cards that had fraud later.

    ``cards_seen`` were there from ``since`` until the transaction, ``fraud_cards`` of them before their own fraud, as
    far as it was known, ``expected`` is how many if it were ordinary. ``lift`` is observed over expected, shrunk;
    ``posterior`` is the probability that cards are taken there. ``last_visit`` is the card's own.
    """

    kind: NeighbourKind
    name: str
    since: datetime
    last_visit: datetime
    cards_seen: int
    fraud_cards: int
    expected: float
    lift: float
    posterior: float


class RankerRescoring(_Record):
    """What it takes for a ranker to score an alert's transaction again, beside what is kept for the anomaly model.

    ``model`` is the version of the ranker. ``memory`` is what was known from labels and of the card's history before
    the transaction, packed in base64; only the engine reads it.
    """

    model: str
    memory: str


class Rescoring(_Record):
    """What it takes to score an alert's transaction again.

    ``model`` is the version of the model. ``memory`` is what the engine remembered before the transaction, packed in
    base64; only the engine reads it. ``calibration`` is the raw anomaly at each knot of the site's own calibration,
    None where the score is by the model's. ``prior`` is what known fraud let expect. ``ranked`` says that a ranker
    decided; ``ranker`` is what that takes, None in alerts of versions that did not keep it.
    """

    model: str
    memory: str
    calibration: tuple[float, ...] | None
    prior: float
    ranked: bool
    ranker: RankerRescoring | None = None


class CardBaseline(_Record):
    """What this card usually does, as known before the transaction. Amounts in currency units."""

    transactions: int
    mean_amount: float | None
    usual_places: str | None
    usual_hours: str | None
    last_seen: datetime | None
    last_location: str | None


class Alert(_Record):
    id: int
    alert_id: str
    transaction_id: str
    card_id: str
    event_time: datetime
    created_at: datetime
    amount: Decimal
    currency: str | None
    location: str | None
    merchant_id: str | None
    merchant_name: str | None
    merchant_category: str | None
    score: float
    model_score: float
    velocity: int
    level: RiskLevel
    status: AlertStatus
    disposition: Disposition | None
    reasons: tuple[Reason, ...]
    contributions: tuple[Contribution, ...]
    """The largest first. All features where there is an ``anomaly``."""
    anomaly: Anomaly | None
    ranked: RankedEvidence | None
    """None in alerts of versions whose contributions were the strongest few, and no sum."""
    baseline: CardBaseline
    rescoring: Rescoring | None
    """None in alerts of versions that did not keep it."""
    shared: tuple[Neighbour, ...]
    """What speaks for the card having been taken, the strongest first; empty where no fraud was known."""
    case_id: int | None
    case_number: str | None
    version: int


class Case(_Record):
    id: int
    number: str
    title: str
    card_id: str
    status: CaseStatus
    priority: CasePriority
    category: CaseCategory
    total_amount: Decimal
    potential_loss: Decimal
    recovered_amount: Decimal
    alerts: int
    assignee: str | None
    escalated_to: str | None
    disposition: Disposition | None
    sla_due_at: datetime
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    version: int

    def is_breached(self, now: datetime) -> bool:
        """Whether the time allowed had run out: before ``now``, or before the case was resolved."""
        return (self.resolved_at or now) > self.sla_due_at


class CaseActivity(_Record):
    id: int
    case_id: int
    type: ActivityType
    actor: str
    at: datetime
    detail: str


class CaseComment(_Record):
    id: int
    case_id: int
    author: str
    at: datetime
    visibility: CommentVisibility
    text: str


class Customer(_Record):
    """Running totals of one card."""

    card_id: str
    customer_id: str | None
    transactions: int
    spent: Decimal
    alerts: int
    highest_score: float
    highest_level: RiskLevel | None
    first_seen: datetime
    last_seen: datetime
    last_location: str | None


class Rule(_Record):
    """A condition with a weight. ``threshold`` and ``window_seconds`` are read as the type defines them."""

    id: str
    name: str
    type: RuleType
    threshold: float
    window_seconds: int | None
    parameter: str | None
    weight: Annotated[float, Field(ge=0, le=10)]
    action: RuleAction
    active: bool
    version: int
    hits: int
    description: str


class User(_Record):
    id: int
    name: str
    role: Role
    created_at: datetime
