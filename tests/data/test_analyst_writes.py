from datetime import timedelta

from data.analyst_writes import AnalystWriter
from data.models import Role
from data.store import Store

from .builders import NOON


def test_an_analyst_is_registered_once(store: Store) -> None:
    first = AnalystWriter(store, "ada").sign_in(NOON)
    again = AnalystWriter(store, "ada").sign_in(NOON + timedelta(days=1))
    other = AnalystWriter(store, "grace").sign_in(NOON)
    assert first == again
    assert (first.name, first.role, first.created_at) == ("ada", Role.ANALYST, NOON)
    assert other.id != first.id


def test_a_theme_is_remembered_for_the_analyst_who_chose_it(store: Store) -> None:
    ada, grace = AnalystWriter(store, "ada"), AnalystWriter(store, "grace")
    assert ada.chosen_theme() is None
    ada.choose_theme("sentinel-light", NOON)
    ada.choose_theme("sentinel-dark", NOON)
    grace.choose_theme("sentinel-light", NOON)
    assert (ada.chosen_theme(), grace.chosen_theme()) == ("sentinel-dark", "sentinel-light")
