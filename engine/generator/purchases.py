"""One simulated purchase, and its record as bytes."""

from datetime import timedelta
from random import Random
from typing import Final, NamedTuple

import orjson

from data.timestamps import EPOCH
from engine.generator.population import CATEGORIES, Population

ANONYMISERS: Final = ("TOR Exit Node", "Unknown VPN", "Proxy Server")


class Purchase(NamedTuple):
    """A purchase before it is written. ``time`` is seconds since the epoch, ``amount`` currency units.

    ``location`` replaces what the merchant's place says; ``scenario`` is None for honest ones.
    """

    time: float
    card: int
    merchant: int
    amount: float
    location: str | None = None
    scenario: str | None = None


class RecordWriter:
    """Writes purchases as the messages of a feed, with places in each form that feeds have, and malformed ones."""

    def __init__(self, population: Population, random: Random) -> None:
        self._population = population
        self._random = random

    def write(self, purchase: Purchase) -> bytes:
        """A record as JSON. ``is_fraud`` and ``scenario`` are the ground truth."""
        population = self._population
        merchant = purchase.merchant
        home = population.cities[population.home[purchase.card]]
        location: str | None
        latitude = longitude = None
        form = self._random.random()
        if purchase.location is not None:
            location = purchase.location
        elif merchant < population.online:
            location = f"{home.name}, {home.state}" if form < 0.9 else None
        else:
            city = population.cities[population.merchant_city[merchant]]
            place = (round(population.latitude[merchant], 5), round(population.longitude[merchant], 5))
            location = f"{city.name}, {city.state}"
            if form < 0.3:
                location = f"{place[0]},{place[1]}"
            elif form < 0.6:
                latitude, longitude = place
        return orjson.dumps(
            {
                "transaction_id": self._identifier(),
                "card_id": f"CARD-{purchase.card:07d}",
                "amount": round(max(purchase.amount, 0.01), 2),
                "timestamp": (EPOCH + timedelta(microseconds=int(purchase.time * 1e6))).isoformat(),
                "location": location,
                "merchant_category": CATEGORIES[population.category[merchant]].name,
                "merchant_id": f"M-{merchant:06d}",
                "merchant_name": population.merchant_name(merchant),
                "currency": "USD",
                "latitude": latitude,
                "longitude": longitude,
                "customer_id": f"CUST-{purchase.card // 2:07d}",
                "is_fraud": int(purchase.scenario is not None),
                "scenario": purchase.scenario,
            }
        )

    def malformed(self, purchase: Purchase) -> bytes:
        """A record that cannot be a transaction, of one of several kinds."""
        whole = self.write(purchase)
        kinds = (
            b"not valid json at all {{{",
            b'{"incomplete": true}',
            whole[: len(whole) // 2],
            whole.replace(b'"amount":', b'"amount":-', 1),
            whole.replace(b'"amount":', b'"amount":NaN,"was":', 1),
            whole.replace(b'"card_id":"CARD', b'"card_id":"\xff\xfe', 1),
            whole.replace(b'"timestamp":"', b'"timestamp":"tomorrow ', 1),
            whole.replace(b'"amount":', b'"card_id":"twice","amount":', 1),
        )
        return self._random.choice(kinds)

    def _identifier(self) -> str:
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
