"""Where a location text is, and how far apart two places are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gazetteer import (
    CACHED_LOCATIONS,
    EARTH_RADIUS_KM,
    LONGEST_LOCATION,
    TERRITORIES,
    Gazetteer,
    distance_km,
    is_anonymised,
    largest_cities,
)

degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("40.7128,-74.0060", (40.7128, -74.006)),
        ("40.7128, -74.0060", (40.7128, -74.006)),
        ("  -33 , 151  ", (-33.0, 151.0)),
        ("0,0", (0.0, 0.0)),
        ("90,180", (90.0, 180.0)),
        ("-90,-180", (-90.0, -180.0)),
    ],
)
def test_coordinates_are_read_as_they_stand(gazetteer: Gazetteer, text: str, place: tuple[float, float]) -> None:
    assert gazetteer.locate(text) == place


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_on_earth_can_be_written_as_coordinates(
    gazetteer: Gazetteer, latitude: float, longitude: float
) -> None:
    place = gazetteer.locate(f"{latitude:.5f},{longitude:.5f}")
    assert place == (float(f"{latitude:.5f}"), float(f"{longitude:.5f}"))


@pytest.mark.parametrize(
    "text",
    [
        "90.1,0",
        "-90.1,0",
        "0,180.1",
        "0,-180.1",
        "999,0",
        "40.7",
        "40.7,",
        "40.7;-74",
        "40.7,-74,3",
        "nan,nan",
        "1e1,2",
        "٤٠,٧٤",
        "40.,-74.",
        "--40,74",
        "40.7 -74",
    ],
)
def test_what_is_no_place_on_earth_is_nowhere(gazetteer: Gazetteer, text: str) -> None:
    assert gazetteer.locate(text) is None


@pytest.mark.parametrize("text", ["Boise, ID", "boise, id", "BOISE,ID", "  Boise ,  id ", "Boise,\tID"])
def test_case_and_blanks_of_a_city_do_not_matter(gazetteer: Gazetteer, text: str) -> None:
    assert gazetteer.locate(text) == pytest.approx((43.6135, -116.2035), abs=0.01)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("New York, NY", (40.714, -74.006)),
        ("New York City, NY", (40.714, -74.006)),
        ("Bronx, NY", (40.850, -73.866)),
        ("St. Louis, MO", (38.627, -90.198)),
        ("Saint Louis, MO", (38.627, -90.198)),
        ("St Louis, MO", (38.627, -90.198)),
        ("Ft. Worth, TX", (32.725, -97.321)),
        ("Canon City, CO", (38.441, -105.242)),
        ("Cañon City, CO", (38.441, -105.242)),
        ("Winston-Salem, NC", (36.100, -80.244)),
        ("Coeur d'Alene, ID", (47.678, -116.780)),
    ],
)
def test_the_ways_in_which_people_write_a_city_lead_to_it(
    gazetteer: Gazetteer, text: str, place: tuple[float, float]
) -> None:
    assert gazetteer.locate(text) == pytest.approx(place, abs=0.01)


@pytest.mark.parametrize(
    ("text", "place"),
    [("Portland, OR", (45.523, -122.676)), ("Portland, ME", (43.657, -70.259)), ("Paris, TX", (33.661, -95.556))],
)
def test_the_state_tells_cities_of_one_name_apart(gazetteer: Gazetteer, text: str, place: tuple[float, float]) -> None:
    assert gazetteer.locate(text) == pytest.approx(place, abs=0.01)


def test_of_two_cities_of_a_name_in_one_state_the_most_populous_is_meant(gazetteer: Gazetteer) -> None:
    # Not the quarter of Los Angeles, which is half as large.
    assert gazetteer.locate("Brentwood, CA") == pytest.approx((37.932, -121.696), abs=0.01)


def test_a_full_name_goes_before_the_short_name_of_a_larger_city(gazetteer: Gazetteer) -> None:
    # Franklin Park, whose people call it Franklin, is more than twice as large.
    assert gazetteer.locate("Franklin, PA") == pytest.approx((41.398, -79.831), abs=0.01)


@pytest.mark.parametrize(
    ("text", "place"), [("San Juan, PR", (18.466, -66.106)), ("Charlotte Amalie, VI", (18.342, -64.931))]
)
def test_territories_are_found_by_their_postal_code(
    gazetteer: Gazetteer, text: str, place: tuple[float, float]
) -> None:
    assert gazetteer.locate(text) == pytest.approx(place, abs=0.02)


@pytest.mark.parametrize(
    "text",
    [
        "Lake Adriana, MT",
        "Boise, WY",
        "London, UK",
        "Paris, FR",
        "Berlin, DE",
        "Vancouver, CA",
        "Toronto, ON",
        "Boise",
        "Boise ID",
        "Boise, Idaho",
        "Boise, ID, US",
        ", ID",
        "Boise,",
        ",",
        "",
        "   ",
        "TOR Exit Node",
    ],
)
def test_an_unknown_city_is_nowhere_and_never_guessed(gazetteer: Gazetteer, text: str) -> None:
    assert gazetteer.locate(text) is None


def test_no_location_is_nowhere(gazetteer: Gazetteer) -> None:
    assert gazetteer.locate(None) is None


@pytest.mark.parametrize(
    "piece", [" ", "1", "1.", ",", "a,", "İ", "\x00", "\u0301", "-1,", "1 ", "\U0010ffff", "\ud800"]
)
@pytest.mark.parametrize("length", [LONGEST_LOCATION, 1_000_000])
def test_hostile_texts_are_nowhere(gazetteer: Gazetteer, piece: str, length: int) -> None:
    assert gazetteer.locate((piece * length)[:length]) is None


@given(st.text(max_size=LONGEST_LOCATION + 10))
def test_any_text_has_an_answer_on_earth_or_none(gazetteer: Gazetteer, text: str) -> None:
    place = gazetteer.locate(text)
    assert place is None or (abs(place[0]) <= 90 and abs(place[1]) <= 180)


def test_memory_holds_a_bounded_number_of_short_texts() -> None:
    gazetteer = Gazetteer()
    long = " " * (LONGEST_LOCATION + 1)
    for number in range(CACHED_LOCATIONS + 500):
        gazetteer.locate(f"{number}")
    kept = gazetteer.remembered
    gazetteer.locate(long)
    assert kept == CACHED_LOCATIONS
    assert gazetteer.remembered == kept


def test_an_answer_from_memory_is_the_same_answer(gazetteer: Gazetteer) -> None:
    assert gazetteer.locate("Denver, CO") == gazetteer.locate("Denver, CO") == Gazetteer().locate("Denver, CO")


def test_the_largest_cities_are_in_the_states_and_come_in_order() -> None:
    cities = largest_cities(300)
    assert len(cities) == 300
    assert cities[0].name == "New York City"
    assert [city.population for city in cities] == sorted((city.population for city in cities), reverse=True)
    assert not {city.state for city in cities} & TERRITORIES


def test_every_two_large_cities_have_a_third_that_is_far_from_both() -> None:
    """Distant fraud looks for such a city until it has one."""
    places = [city.place for city in largest_cities(300)]
    far = [{n for n, there in enumerate(places) if distance_km(here, there) > 1_500} for here in places]
    assert all(a & b for a in far for b in far)


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ((40.7128, -74.0060), (34.0522, -118.2437), 3_936),  # New York, Los Angeles
        ((51.5074, -0.1278), (48.8566, 2.3522), 343.6),  # London, Paris
        ((-33.8688, 151.2093), (-37.8136, 144.9631), 713.4),  # Sydney, Melbourne
        ((35.6762, 139.6503), (37.7749, -122.4194), 8_270),  # Tokyo, San Francisco, over the date line
    ],
)
def test_distances_agree_with_published_ones(a: tuple[float, float], b: tuple[float, float], km: float) -> None:
    assert distance_km(a, b) == pytest.approx(km, rel=0.005)


@given(degrees)
def test_the_antipode_is_half_the_earth_away(place: tuple[float, float]) -> None:
    latitude, longitude = place
    antipode = (-latitude, longitude - 180 if longitude > 0 else longitude + 180)
    assert distance_km(place, antipode) == pytest.approx(math.pi * EARTH_RADIUS_KM, rel=1e-6)


@given(st.floats(-180, 180), st.floats(-180, 180))
def test_at_a_pole_the_longitude_does_not_matter(a: float, b: float) -> None:
    assert distance_km((90, a), (90, b)) == pytest.approx(0, abs=1e-6)
    assert distance_km((90, a), (-90, b)) == pytest.approx(math.pi * EARTH_RADIUS_KM)


@given(degrees, degrees)
def test_distance_is_symmetric_and_at_most_half_the_earth(a: tuple[float, float], b: tuple[float, float]) -> None:
    assert distance_km(a, b) == pytest.approx(distance_km(b, a), abs=1e-6)
    assert 0 <= distance_km(a, b) <= math.pi * EARTH_RADIUS_KM
    assert distance_km(a, a) == 0


@pytest.mark.parametrize(
    "text",
    [
        "TOR Exit Node",
        "tor",
        "Unknown VPN",
        "VPN",
        "Proxy Server",
        "open-proxy",
        "tor_exit_node",
        "(vpn)",
        "via VPN/NL",
    ],
)
def test_notes_of_anonymisers_are_recognised_in_any_case(text: str) -> None:
    assert is_anonymised(text)


@pytest.mark.parametrize(
    "text",
    ["Torrance, CA", "Toronto, ON", "Victor, NY", "Proxyville, TX", "Monitor, WA", "vpnish", "Étor", "", "Boise"],
)
def test_places_that_only_contain_the_letters_are_not_anonymisers(text: str) -> None:
    assert not is_anonymised(text)
