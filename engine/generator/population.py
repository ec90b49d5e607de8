"""The people: cards with homes, habits and merchants of their own, listed by card and by merchant."""

from array import array
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.gazetteer import City, largest_cities


class Category(NamedTuple):
    """A merchant category: its share of honest purchases, and the median and log-deviation of their amounts."""

    name: str
    share: float
    median: float
    deviation: float


ONLINE: Final = 0
CATEGORIES: Final[tuple[Category, ...]] = (
    Category("online", 0.20, 42.0, 0.55),
    Category("grocery", 0.25, 34.0, 0.50),
    Category("restaurant", 0.18, 26.0, 0.45),
    Category("gas_station", 0.13, 38.0, 0.25),
    Category("retail", 0.10, 52.0, 0.55),
    Category("entertainment", 0.05, 30.0, 0.45),
    Category("travel", 0.03, 160.0, 0.50),
    Category("healthcare", 0.03, 70.0, 0.50),
    Category("utilities", 0.03, 85.0, 0.30),
)
CITY_COUNT: Final = 300
FAVOURITES: Final = 8
ONLINE_FAVOURITES: Final = 2
NIGHT_WORKERS: Final = 0.04
SMALLEST_CITY_MERCHANTS: Final = 20
CARDS_PER_MERCHANT: Final = 8
ONLINE_MERCHANTS: Final = 400
MERCHANT_SCATTER_DEG: Final = 0.04
"""About 4 km around the city's centre."""

_NAMES: Final = (
    ("Parcel", "Cart", "Click", "Crate"),
    ("Fresh", "Corner", "Harvest", "Family"),
    ("Bistro", "Grill", "Diner", "Noodle"),
    ("Fuel", "Petrol", "Highway", "Station"),
    ("Outfit", "Home", "Tools", "Shoes"),
    ("Cinema", "Arcade", "Stage", "Bowl"),
    ("Air", "Hotel", "Rail", "Cruise"),
    ("Pharmacy", "Dental", "Clinic", "Optics"),
    ("Power", "Water", "Telecom", "Gas"),
)


@dataclass(frozen=True, slots=True)
class Population:
    """By card and by merchant. Merchants below ``online`` are on line; the rest lie by city in order.

    ``array`` rather than NumPy's: the traffic reads single values, which NumPy is slow at.
    """

    cities: tuple[City, ...]
    home: "array[int]"
    scale: "array[float]"
    favourites: "array[int]"
    """FAVOURITES of each card in turn: the first ONLINE_FAVOURITES on line, the rest in the home city."""
    day_cards: "array[int]"
    day_activity: "array[float]"
    """Running share of all activity, ending at 1, for a binary search to draw from; as long as ``day_cards``."""
    night_cards: "array[int]"
    night_activity: "array[float]"
    online: int
    category: "array[int]"
    merchant_city: "array[int]"
    latitude: "array[float]"
    longitude: "array[float]"
    first_of_city: "array[int]"
    """(cities + 1,): the merchants of city c are first_of_city[c] to first_of_city[c + 1]."""

    def merchant_name(self, merchant: int) -> str:
        """A name that says what the merchant sells, and where."""
        names = _NAMES[self.category[merchant]]
        name = names[merchant % len(names)]
        if merchant < self.online:
            return f"{name} {merchant:03d} Online"
        return f"{name} {self.cities[self.merchant_city[merchant]].name} {merchant % 97}"


def build_population(seed: int, cards: int) -> Population:
    """The population of a seed; the first cards of a larger one are not those of a smaller one."""
    rng = np.random.default_rng([seed, 1])
    cities = largest_cities(CITY_COUNT)
    weights = np.array([city.population for city in cities], dtype=np.float64)
    weights /= weights.sum()
    home = rng.choice(len(cities), size=cards, p=weights)

    physical = max(cards // CARDS_PER_MERCHANT, 1_000)
    counts = np.maximum((weights * physical).astype(np.int64), SMALLEST_CITY_MERCHANTS)
    city_of_physical = np.repeat(np.arange(len(cities)), counts)
    merchant_city = np.concatenate([np.full(ONLINE_MERCHANTS, -1), city_of_physical])
    shares = np.array([category.share for category in CATEGORIES[1:]])
    # Each city has every category, in turn, before categories repeat by their share.
    within = np.concatenate([np.arange(count) for count in counts])
    drawn = 1 + rng.choice(len(shares), size=len(within), p=shares / shares.sum())
    category = np.concatenate(
        [np.full(ONLINE_MERCHANTS, ONLINE), np.where(within < len(shares), 1 + within % len(shares), drawn)]
    )
    centre = np.array([(city.latitude, city.longitude) for city in cities])[city_of_physical]
    scattered = centre + rng.normal(0.0, MERCHANT_SCATTER_DEG, size=centre.shape).clip(-0.1, 0.1)
    # About a metre, and as it is written.
    scattered = scattered.round(5)
    latitude = np.concatenate([np.zeros(ONLINE_MERCHANTS), scattered[:, 0]])
    longitude = np.concatenate([np.zeros(ONLINE_MERCHANTS), scattered[:, 1]])
    first_of_city = ONLINE_MERCHANTS + np.concatenate([[0], np.cumsum(counts)])

    spread = rng.random((cards, FAVOURITES)) ** 1.5
    size = (first_of_city[home + 1] - first_of_city[home])[:, None]
    favourites = first_of_city[home][:, None] + (spread * size).astype(np.int64)
    online_favourites = (rng.random((cards, ONLINE_FAVOURITES)) ** 2 * ONLINE_MERCHANTS).astype(np.int64)
    favourites[:, :ONLINE_FAVOURITES] = online_favourites

    activity = rng.gamma(1.6, 1.0, size=cards) + 0.05
    by_night = rng.random(cards) < NIGHT_WORKERS
    # Nobody at all works by night in some small populations.
    by_night[0] = True
    day_cards, night_cards = np.flatnonzero(~by_night), np.flatnonzero(by_night)
    return Population(
        cities=cities,
        home=_integers(home),
        scale=_floats(rng.lognormal(0.0, 0.35, size=cards)),
        favourites=_integers(favourites.ravel()),
        day_cards=_integers(day_cards),
        day_activity=_cumulative(activity[day_cards]),
        night_cards=_integers(night_cards),
        night_activity=_cumulative(activity[night_cards]),
        online=ONLINE_MERCHANTS,
        category=_integers(category),
        merchant_city=_integers(merchant_city),
        latitude=_floats(latitude),
        longitude=_floats(longitude),
        first_of_city=_integers(first_of_city),
    )


def _integers(values: NDArray[np.int64]) -> "array[int]":
    return array("i", values.astype(np.intc).tobytes())


def _floats(values: NDArray[np.float64]) -> "array[float]":
    return array("d", values.tobytes())


def _cumulative(weights: NDArray[np.float64]) -> "array[float]":
    total = np.cumsum(weights)
    return _floats(total / total[-1])
