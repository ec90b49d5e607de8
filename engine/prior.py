"""What known frauds alone let expect, until a model has learnt from them."""

from typing import Final

from engine.label_features import LabelState

MERCHANT_DAYS: Final = 28
DOUBT: Final = 2.0


def fraud_prior(labels: LabelState, card: str, merchant: str | None, time: int) -> float:
    """The probability of fraud that known frauds at the merchant let expect, from 0 to below 1."""
    if merchant is None:
        return 0.0
    frauds, transactions = labels.merchant_frauds(merchant, time, MERCHANT_DAYS)
    return frauds / (max(frauds, transactions) + DOUBT)
