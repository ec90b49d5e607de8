"""One simulated purchase, and its record as bytes."""

from datetime import UTC, datetime
from random import Random
from typing import Final, NamedTuple

import orjson

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
        self._city_texts = [_json(f"{city.name}, {city.state}") for city in population.cities]
        self._merchant_texts: dict[int, str] = {}
        self._minute = -1
        self._minute_text = ""

    def write(self, purchase: Purchase) -> bytes:
        """A record as JSON. ``is_fraud`` and ``scenario`` are the ground truth."""
        time, card, merchant, amount, _, scenario = purchase
        location, latitude, longitude = self._place(purchase)
        truth = '"is_fraud":0,"scenario":null' if scenario is None else f'"is_fraud":1,"scenario":"{scenario}"'
        # Put together by hand, because the generator must not hold up what it feeds.
        return (
            f'{{"transaction_id":"{self._identifier()}","card_id":"CARD-{card:07d}",'
            f'"amount":{max(round(amount, 2), 0.01)},"timestamp":"{self._timestamp(time)}","location":{location},'
            f'{self._merchant_texts.get(merchant) or self._merchant_text(merchant)},"currency":"USD",'
            f'"latitude":{latitude},"longitude":{longitude},"customer_id":"CUST-{card // 2:07d}",{truth}}}'
        ).encode()

    def malformed(self, purchase: Purchase) -> bytes:
        """A record that cannot be a transaction, of one of several kinds."""
        whole = self.write(purchase)
        kinds = (
            b"",
            b"not valid json at all {{{",
            b'["not", "an object"]',
            b'{"incomplete": true}',
            whole[: len(whole) // 2],
            whole.replace(b'"amount":', b'"amount":-', 1),
            whole.replace(b'"amount":', b'"amount":NaN,"was":', 1),
            whole.replace(b'"card_id":"CARD', b'"card_id":"\xff\xfe', 1),
            whole.replace(b'"timestamp":"', b'"timestamp":"tomorrow ', 1),
            whole.replace(b'"amount":', b'"card_id":"twice","amount":', 1),
        )
        return self._random.choice(kinds)

    def _place(self, purchase: Purchase) -> tuple[str, str | float, str | float]:
        """``location``, ``latitude`` and ``longitude`` as they stand in JSON."""
        if purchase.location is not None:
            return _json(purchase.location), "null", "null"
        population = self._population
        merchant = purchase.merchant
        form = self._random.random()
        if merchant < population.online:
            return self._city_texts[population.home[purchase.card]] if form < 0.9 else "null", "null", "null"
        if form < 0.6:
            latitude, longitude = population.latitude[merchant], population.longitude[merchant]
            if form < 0.3:
                return f'"{latitude},{longitude}"', "null", "null"
            return self._city_texts[population.merchant_city[merchant]], latitude, longitude
        return self._city_texts[population.merchant_city[merchant]], "null", "null"

    def _merchant_text(self, merchant: int) -> str:
        population = self._population
        fields = {
            "merchant_category": CATEGORIES[population.category[merchant]].name,
            "merchant_id": f"M-{merchant:06d}",
            "merchant_name": population.merchant_name(merchant),
        }
        text = self._merchant_texts[merchant] = _json(fields)[1:-1]
        return text

    def _timestamp(self, time: float) -> str:
        """ISO 8601 in microseconds; successive records mostly share the minute."""
        minute, micros = divmod(int(time * 1e6), 60_000_000)
        if minute != self._minute:
            self._minute = minute
            self._minute_text = datetime.fromtimestamp(minute * 60, UTC).isoformat()[:16]
        second, micros = divmod(micros, 1_000_000)
        return f"{self._minute_text}:{second:02d}.{micros:06d}+00:00"

    def _identifier(self) -> str:
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _json(value: str | dict[str, str]) -> str:
    return orjson.dumps(value).decode()
