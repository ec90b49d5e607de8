"""The columns of alerts, cases, cards and transactions, defined once for every list that shows them."""

from dataclasses import dataclass
from datetime import datetime

from data.models import AlertStatus, Case, Customer, Disposition
from data.queries.alerts import AlertRow
from data.queries.customers import CardTransaction
from data.queries.dashboard import FeedRow
from data.queries.labels import ReviewRow
from screens import figures
from screens.safe import optional
from screens.tones import (
    ALERT_STATUS_TONES,
    CASE_STATUS_TONES,
    LEVEL_GLYPHS,
    LEVEL_TONES,
    PRIORITY_LEVELS,
    Tone,
    level_label,
    level_tone,
    words,
)
from screens.widgets.columns import Cell, Column, Record


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A case with its SLA as of a moment, so that the line changes when the countdown does."""

    case: Case
    sla: str
    late: bool


def case_line(case: Case, now: datetime) -> CaseLine:
    """A case as it stands at ``now``."""
    return CaseLine(case, figures.sla(case, now), case.is_breached(now))


def without(title: str, columns: tuple[Column[Record], ...]) -> tuple[Column[Record], ...]:
    """Columns without the one that would say the same on every line."""
    return tuple(column for column in columns if column.title != title)


def reason_words(codes: tuple[str, ...]) -> str:
    """Reason codes as words, the first one first."""
    return ", ".join(code.replace("_", " ") for code in codes)


def verdict(status: AlertStatus, disposition: Disposition | None) -> str:
    """What was found of an alert, or else how far it is."""
    return words(status if disposition is None else disposition)


_MARKS = {
    None: Cell(" "),
    Disposition.CONFIRMED_FRAUD: Cell("F", Tone.CRITICAL),
    Disposition.FALSE_POSITIVE: Cell("X", Tone.GOOD),
    Disposition.CUSTOMER_ERROR: Cell("A", Tone.GOOD),
    Disposition.INCONCLUSIVE: Cell("I", Tone.MUTED),
}
"""The letter of the key that gives the disposition, for where there is no room for its words."""

ALERT_COLUMNS: tuple[Column[AlertRow], ...] = (
    Column("D", 1, lambda row: _MARKS[row.disposition]),
    Column("Time UTC", 14, lambda row: Cell(figures.moment(row.event_time), Tone.MUTED)),
    Column("Level", 10, lambda row: Cell(level_label(row.level), level_tone(row.level))),
    Column("Score", 5, lambda row: Cell(figures.score(row.score)), right=True),
    Column("Card", 13, lambda row: Cell(row.card_id), grow=1),
    Column("Amount", 10, lambda row: Cell(figures.money(row.amount)), right=True),
    Column("Cur", 3, lambda row: Cell(optional(row.currency), Tone.MUTED), rank=7),
    Column("Location", 10, lambda row: Cell(optional(row.location)), grow=2, rank=4),
    Column("Category", 13, lambda row: Cell(optional(row.merchant_category)), grow=1, rank=5),
    Column("Reasons", 18, lambda row: Cell(reason_words(row.reason_codes)), grow=4, rank=1),
    Column(
        "Status", 15, lambda row: Cell(verdict(row.status, row.disposition), ALERT_STATUS_TONES[row.status]), rank=2
    ),
    Column("Case", 14, lambda row: Cell(_case_of(row), Tone.MUTED), rank=3),
    Column("Transaction", 16, lambda row: Cell(row.transaction_id, Tone.MUTED), grow=1, rank=6),
)

BRIEF_ALERT_COLUMNS: tuple[Column[AlertRow], ...] = (
    Column("Time UTC", 14, lambda row: Cell(figures.moment(row.event_time), Tone.MUTED)),
    Column("Level", 10, lambda row: Cell(level_label(row.level), level_tone(row.level))),
    Column("Score", 5, lambda row: Cell(figures.score(row.score)), right=True),
    Column("Card", 13, lambda row: Cell(row.card_id), grow=1, rank=1),
    Column("Amount", 10, lambda row: Cell(figures.money(row.amount)), right=True, rank=2),
    Column("Reasons", 16, lambda row: Cell(reason_words(row.reason_codes)), grow=3, rank=3),
    Column("Status", 10, lambda row: Cell(words(row.status), ALERT_STATUS_TONES[row.status]), rank=4),
)

CASE_COLUMNS: tuple[Column[CaseLine], ...] = (
    Column("Number", 19, lambda row: Cell(row.case.number)),
    Column(
        "Priority",
        10,
        lambda row: Cell(
            f"{LEVEL_GLYPHS[PRIORITY_LEVELS[row.case.priority]]} {row.case.priority.value}",
            LEVEL_TONES[PRIORITY_LEVELS[row.case.priority]],
        ),
    ),
    Column("Status", 13, lambda row: Cell(words(row.case.status), CASE_STATUS_TONES[row.case.status]), rank=1),
    Column("SLA", 17, lambda row: Cell(row.sla, _sla_tone(row))),
    Column("Amount", 12, lambda row: Cell(figures.money(row.case.total_amount)), right=True, rank=2),
    Column("Alerts", 6, lambda row: Cell(figures.integer(row.case.alerts)), right=True, rank=5),
    Column("Title", 24, lambda row: Cell(row.case.title), grow=3, rank=3),
    Column("Assignee", 12, lambda row: Cell(optional(row.case.assignee)), grow=1, rank=4),
    Column("Category", 19, lambda row: Cell(words(row.case.category)), rank=6),
    Column("Created UTC", 14, lambda row: Cell(figures.moment(row.case.opened_at), Tone.MUTED), rank=7),
    Column("Card", 13, lambda row: Cell(row.case.card_id), grow=1, rank=8),
)

CUSTOMER_COLUMNS: tuple[Column[Customer], ...] = (
    Column("Card", 16, lambda row: Cell(row.card_id), grow=2),
    Column("Score", 5, lambda row: Cell(figures.score(row.highest_score)), right=True),
    Column("Level", 10, lambda row: Cell(level_label(row.highest_level), level_tone(row.highest_level))),
    Column("Alerts", 6, lambda row: Cell(figures.integer(row.alerts)), right=True),
    Column("Trans.", 7, lambda row: Cell(figures.integer(row.transactions)), right=True, rank=1),
    Column("Spent", 13, lambda row: Cell(figures.money(row.spent)), right=True, rank=2),
    Column("Last activity UTC", 17, lambda row: Cell(figures.moment(row.last_seen), Tone.MUTED), rank=3),
    Column("Last location", 16, lambda row: Cell(optional(row.last_location)), grow=2, rank=4),
    Column("Customer", 14, lambda row: Cell(optional(row.customer_id)), grow=1, rank=5),
    Column("First seen UTC", 14, lambda row: Cell(figures.moment(row.first_seen), Tone.MUTED), rank=6),
)

TRANSACTION_COLUMNS: tuple[Column[CardTransaction], ...] = (
    Column("Time UTC", 14, lambda row: Cell(figures.moment(row.event_time), Tone.MUTED)),
    Column("Amount", 10, lambda row: Cell(figures.money(row.amount)), right=True),
    Column("Cur", 3, lambda row: Cell(optional(row.currency), Tone.MUTED), rank=5),
    Column("Score", 5, lambda row: Cell(figures.score(row.score)), right=True),
    Column("Level", 10, lambda row: Cell(level_label(row.level), level_tone(row.level)), rank=1),
    Column("Merchant", 12, lambda row: Cell(optional(row.merchant_name)), grow=2, rank=2),
    Column("Category", 12, lambda row: Cell(optional(row.merchant_category)), grow=1, rank=3),
    Column("Location", 14, lambda row: Cell(optional(row.location)), grow=2, rank=4),
    Column("Transaction", 16, lambda row: Cell(row.transaction_id, Tone.MUTED), grow=1, rank=6),
)

FEED_COLUMNS: tuple[Column[FeedRow], ...] = (
    Column("Time UTC", 14, lambda row: Cell(figures.moment(row.event_time), Tone.MUTED)),
    Column("Card", 13, lambda row: Cell(row.card_id), grow=1),
    Column("Amount", 10, lambda row: Cell(figures.money(row.amount)), right=True),
    Column("Score", 5, lambda row: Cell(figures.score(row.score)), right=True),
    Column("Level", 10, lambda row: Cell(level_label(row.level), level_tone(row.level)), rank=1),
    Column("Category", 12, lambda row: Cell(optional(row.merchant_category)), grow=1, rank=2),
    Column("Location", 14, lambda row: Cell(optional(row.location)), grow=1, rank=3),
    Column("Merchant", 14, lambda row: Cell(optional(row.merchant_name)), grow=1, rank=4),
)


REVIEW_COLUMNS: tuple[Column[ReviewRow], ...] = (
    Column("Time UTC", 14, lambda row: Cell(figures.moment(row.event_time), Tone.MUTED)),
    Column("Card", 11, lambda row: Cell(row.card_id), grow=1),
    Column("Amount", 9, lambda row: Cell(figures.money(row.amount)), right=True),
    Column("Cur", 3, lambda row: Cell(optional(row.currency), Tone.MUTED), rank=4),
    Column("Merchant", 11, lambda row: Cell(optional(row.merchant)), grow=2, rank=1),
    Column("Category", 10, lambda row: Cell(optional(row.merchant_category)), grow=1, rank=3),
    Column("Place", 10, lambda row: Cell(optional(row.location)), grow=2, rank=2),
    Column("Score", 5, lambda row: Cell(figures.score(row.score)), right=True),
    Column("Transaction", 16, lambda row: Cell(row.transaction_id, Tone.MUTED), grow=1, rank=5),
)


def _case_of(row: AlertRow) -> str:
    """A case's number without the word that the column's title already says."""
    return figures.ABSENT if row.case_number is None else row.case_number.removeprefix("CASE-")


def _sla_tone(row: CaseLine) -> Tone:
    if not row.case.status.is_active:
        return Tone.MUTED
    return Tone.CRITICAL if row.late else Tone.PLAIN
