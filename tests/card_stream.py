"""A small labelled stream in the handbook's columns: usual spending, a compromised merchant, single large amounts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO"
START = datetime(2026, 1, 1, tzinfo=UTC)


def card_stream(days: int, cards: int = 40, merchants: int = 20, seed: int = 3) -> list[str]:
    """CSV records, four a card and day: large amounts are fraud, and so is all at every fifth merchant m for ten days.

    The ten days start on day m.
    """
    rng = np.random.default_rng(seed)
    records = []
    means = rng.uniform(10, 60, cards)
    number = 0
    for day in range(days):
        for second in np.sort(rng.integers(0, 86_400, 4 * cards)):
            card, merchant = int(rng.integers(cards)), int(rng.integers(merchants))
            amount = max(1.0, float(rng.normal(means[card], means[card] / 4)))
            scenario = 2 if merchant % 5 == 0 and merchant <= day < merchant + 10 else 0
            if rng.random() < 0.01:
                scenario, amount = 1, 10 * amount
            time = (START + timedelta(days=day, seconds=int(second))).strftime("%Y-%m-%dT%H:%M:%SZ")
            records.append(f"{number},{time},c{card},m{merchant},{amount:.2f},{int(scenario > 0)},{scenario}")
            number += 1
    return records


def write_stream(path: Path, records: list[str]) -> Path:
    """A CSV file of the records."""
    path.write_text("\n".join([HEADER, *records]) + "\n")
    return path
