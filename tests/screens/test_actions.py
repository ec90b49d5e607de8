from itertools import chain

from textual.binding import Binding

from screens import actions
from screens.actions import Action
from screens.alert_detail import AlertDetailScreen
from screens.alerts import AlertsScreen
from screens.analytics import AnalyticsScreen
from screens.case_detail import CaseDetailScreen
from screens.cases import CasesScreen
from screens.comparison import ComparisonScreen
from screens.confirm import ConfirmScreen
from screens.customers import CustomersScreen
from screens.dashboard import DashboardScreen
from screens.help import HelpScreen
from screens.model import ModelScreen
from screens.models import ModelsScreen
from screens.profile import ProfileScreen
from screens.review import ReviewScreen
from screens.rings import RingsScreen
from screens.widgets.record_list import RecordList
from sentinel_tui.app import SentinelApp

SCREENS = (
    AlertDetailScreen,
    AlertsScreen,
    AnalyticsScreen,
    CaseDetailScreen,
    CasesScreen,
    ComparisonScreen,
    ConfirmScreen,
    CustomersScreen,
    DashboardScreen,
    HelpScreen,
    ModelScreen,
    ModelsScreen,
    ProfileScreen,
    ReviewScreen,
    RingsScreen,
)
REGISTRY: tuple[Action, ...] = tuple(
    action
    for value in vars(actions).values()
    for action in (value if isinstance(value, tuple) else (value,))
    if isinstance(action, Action)
)


def test_ids_are_unique() -> None:
    ids = {id(action): action.id for action in REGISTRY}
    assert len(set(ids.values())) == len(ids)


def test_keys_that_terminal_multiplexers_take_are_not_used() -> None:
    keys = set(chain.from_iterable(action.keys.split(",") for action in REGISTRY))
    assert not keys & {"ctrl+s", "ctrl+j", "ctrl+o", "ctrl+b", "ctrl+a"}


def test_every_binding_of_ours_comes_from_the_registry() -> None:
    ids = {action.id for action in REGISTRY}
    for owner in (*SCREENS, RecordList, SentinelApp):
        for binding in vars(owner).get("BINDINGS", ()):
            assert isinstance(binding, Binding)
            assert binding.id in ids


def test_every_action_says_what_it_does() -> None:
    assert all(action.label and action.help and action.help[0].isupper() for action in REGISTRY)


def test_no_screen_gives_one_key_two_meanings() -> None:
    for group in (
        actions.ALERTS,
        actions.CASES,
        actions.CASE_DETAIL,
        actions.CUSTOMERS,
        actions.PROFILE,
        actions.REVIEW,
        actions.RINGS,
        actions.MODEL,
        actions.MODELS,
        actions.COMPARISON,
    ):
        keys = [key for action in (*group, *actions.LIST, *actions.GLOBAL) for key in action.keys.split(",")]
        assert len(keys) == len(set(keys))
