"""What the ranker's features are in words, and how their stored values read in natural units."""

from math import exp, expm1
from typing import Final

from engine.card_history import HISTORY_FEATURE_NAMES
from engine.features import FEATURES, Feature
from engine.label_features import LABEL_FEATURE_NAMES


def _same(value: float) -> float:
    return value


def _percent(value: float) -> float:
    return 100.0 * value


_HISTORY: Final = (
    Feature("amount_step", "amount, to the nearest 4 %", "", expm1),
    Feature("amount_rank", "the card's last 50 amounts below it", "%", _percent),
    Feature("amount_over_median", "amount over the card's median", "×", exp),
    Feature("amount_over_highest", "amount over the card's highest", "×", exp),
    Feature("ratio_max_7d", "highest ratio to the median, 7 d", "×", exp),
    Feature("ratio_max_14d", "highest ratio to the median, 14 d", "×", exp),
    Feature("unusual_7d", "amounts over 2 × the median, 7 d", "", _same),
    Feature("unusual_14d", "amounts over 2 × the median, 14 d", "", _same),
    Feature("far_14d", "amounts over 3 × the median, 14 d", "", _same),
    Feature("days_since_unusual", "since one over 2 × the median", "d", _same),
    Feature("days_since_far", "since one over 3 × the median", "d", _same),
    Feature("merchant_mean", "the merchant's mean amount", "", exp),
)
_LABELS: Final = (
    *(
        Feature(f"merchant_fraud_share_{days}d", f"known fraud at the merchant, {days} d", "%", _percent)
        for days in (1, 7, 14, 28, 60)
    ),
    *(
        Feature(f"merchant_fraud_share_of_last_{count}", f"known fraud in the merchant's last {count}", "%", _percent)
        for count in (1, 3, 5)
    ),
    Feature("merchant_unexplained_share_28d", "fraud of usual amount at the merchant, 28 d", "%", _percent),
    Feature("merchant_frauds_28d", "known frauds at the merchant, 28 d", "", _same),
    Feature("merchant_early_frauds", "frauds at the merchant found early", "", _same),
    Feature("merchant_days_since_fraud", "since fraud at the merchant", "d", _same),
    Feature("merchant_days_since_first_fraud", "since the first fraud at the merchant", "d", _same),
    Feature("merchant_days_since_unexplained", "since fraud of usual amount at the merchant", "d", _same),
    Feature("merchant_days_since_first_unexplained", "since the first fraud of usual amount there", "d", _same),
    Feature("card_frauds_14d", "known frauds of the card, 14 d", "", _same),
    Feature("card_frauds_60d", "known frauds of the card, 60 d", "", _same),
    Feature("card_days_since_fraud", "since fraud on the card", "d", _same),
    Feature("card_days_since_first_fraud", "since the first fraud on the card", "d", _same),
)

RANKER_FEATURES: Final[tuple[Feature, ...]] = (*FEATURES, *_HISTORY, *_LABELS)
"""In the order of ``RANKER_FEATURE_NAMES``."""

if tuple(each.name for each in _HISTORY + _LABELS) != (*HISTORY_FEATURE_NAMES, *LABEL_FEATURE_NAMES):
    raise AssertionError("the titles are not those of the ranker's features")
