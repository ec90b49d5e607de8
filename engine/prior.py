"""What known frauds alone say of a transaction, from the first one on, while there are too few to train a ranker."""

from typing import Final

from engine.label_features import LabelState

MERCHANT_WINDOWS_DAYS: Final = (1, 3, 7, 14, 28)
MERCHANT_PSEUDO_COUNT: Final = 1.0
CARD_DAYS: Final = 14
CARD_PSEUDO_COUNT: Final = 25.0
"""Honest transactions that are added to what was seen. One fraud in one transaction then makes 1/2 of a merchant, as is
found among terminals; one known fraud of a card makes 1/26, as its later transactions are mostly honest."""


def fraud_prior(labels: LabelState, card: str, merchant: str | None, time: int) -> float:
    """The probability of fraud that the known frauds of a merchant and of a card speak for, from 0 to below 1.

    A merchant's is its highest share of frauds in a window, smoothed as a beta-binomial rate whose prior is all honest
    (Gelman et al., "Bayesian Data Analysis", 2013, chapter 5); frauds with amounts that explain them do not count, as
    they accuse the card. A card's is k / (k + c) for k known frauds. Both are joined as independent causes (noisy-or).
    """
    frauds = labels.card_frauds(card, time, CARD_DAYS)
    of_card = frauds / (frauds + CARD_PSEUDO_COUNT)
    if merchant is None:
        return of_card
    of_merchant = max(
        (
            share.frauds / (max(share.frauds, share.transactions) + MERCHANT_PSEUDO_COUNT)
            for share in labels.unexplained_shares(merchant, time, MERCHANT_WINDOWS_DAYS)
        ),
        default=0.0,
    )
    return 1.0 - (1.0 - of_merchant) * (1.0 - of_card)
