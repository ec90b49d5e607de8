"""What every screen looks like. After a change on purpose, look at the report, then run with --snapshot-update."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from data.store import Store
from engine.messages import EngineState
from screens.themes import LIGHT
from sentinel_tui.app import SentinelApp

from .worlds import HOSTILE, app_on, running

SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x60": (200, 60)}
FILLED = ["filled-80x24", "filled-120x40", "filled-200x60", "hostile-120x40", "light-120x40"]
EMPTY = ["empty-80x24", "empty-120x40"]

Look = Callable[[str, str], bool]
Gallery = dict[str, dict[str, str]]

WALK = (
    ("dashboard", ("1",)),
    ("alerts", ("2",)),
    ("help", ("question_mark",)),
    ("alert detail", ("escape", "down", "enter")),
    ("cases", ("3",)),
    ("case detail", ("enter",)),
    ("confirmation", ("f",)),
    ("analytics", ("n", "4")),
    ("customers", ("5",)),
    ("customer profile", ("enter",)),
    ("rings", ("escape", "o")),
    ("model", ("6",)),
    ("review", ("r",)),
)
"""The screens in the order in which they are visited, each with the keys that lead on to it."""

RANKED_WALK = (("alert detail", ("2", "enter", "pagedown")), ("following alert", ("j", "pagedown")))
"""Where a ranker decided, other screens look as everywhere."""


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    """Pictures by scenario and screen. One walk takes all of a scenario, because starting the app takes longest."""
    return {}


@pytest.fixture
def look(gallery: Gallery, snapshot: SnapshotAssertion, request: pytest.FixtureRequest) -> Look:
    """Compare a screen in a scenario, named ``store-size``, with its snapshot."""

    def compare(screen: str, scenario: str) -> bool:
        if scenario not in gallery:
            gallery[scenario] = asyncio.run(walk(request, scenario))
        return snapshot.use_extension(SVGImageExtension) == gallery[scenario][screen]

    return compare


async def walk(request: pytest.FixtureRequest, scenario: str) -> dict[str, str]:
    """Visit every screen of a scenario and take its picture."""
    kind, _, size = scenario.partition("-")
    engine: dict[str, Any] = {}
    if kind == "hostile":
        engine = {"source": HOSTILE[2], "notice": HOSTILE[1]}
    if kind == "failed":
        engine = {"state": EngineState.FAILED, "error": "the disk is full: free some space, then start again"}
    if kind == "empty":
        engine = {"state": EngineState.WARMING_UP, "fraction_done": 0.25, "watermark": None, "rate": 0.0}
        engine |= dict.fromkeys(("records", "transactions", "alerts", "dead_letters", "duplicates"), 0)
        engine |= dict.fromkeys(("latency_p50", "latency_p95", "latency_p99"))
    store: Store = request.getfixturevalue(f"{kind if kind in {'hostile', 'empty', 'ranked'} else 'filled'}_store")
    app = app_on(store, running(**engine), LIGHT.name if kind == "light" else None, analyst="ana")
    pictures = {}
    async with app.run_test(size=SIZES[size]) as pilot:
        for screen, keys in RANKED_WALK if kind == "ranked" else WALK:
            await pilot.press(*keys)
            pictures[screen] = await settled(app, pilot)
    return pictures


async def settled(app: SentinelApp, pilot: Pilot[None]) -> str:
    """The picture of a screen once it no longer changes: a scrollbar may come with the second layout."""
    picture = ""
    await app.workers.wait_for_complete()
    while True:
        await pilot.pause()
        following = app.export_screenshot()
        if following == picture:
            return picture
        picture = following


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_dashboard(look: Look, scenario: str) -> None:
    """Status line, eight figures, alerts by level with glyph and word, two sparklines, newest alerts, live feed."""
    assert look("dashboard", scenario)


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_alerts(look: Look, scenario: str) -> None:
    """Newest first, the cursor on the first line, "showing 200 of" the true total, more columns on wider terminals."""
    assert look("alerts", scenario)


@pytest.mark.parametrize("scenario", FILLED)
def test_alert_detail(look: Look, scenario: str) -> None:
    """What happened beside the card's baseline, every reason with value and threshold, features with bars."""
    assert look("alert detail", scenario)


@pytest.mark.parametrize("scenario", ["ranked-80x24", "ranked-120x40"])
@pytest.mark.parametrize("screen", [screen for screen, _ in RANKED_WALK])
def test_alert_detail_of_a_ranked_alert(look: Look, screen: str, scenario: str) -> None:
    """The heading says log-odds and the probability of fraud; no title or value is cut; what is missing is a dash."""
    assert look(screen, scenario)


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_cases(look: Look, scenario: str) -> None:
    """Totals, the statuses with their counts, the most overdue case first, breaches in words and colour."""
    assert look("cases", scenario)


@pytest.mark.parametrize("scenario", FILLED)
def test_case_detail(look: Look, scenario: str) -> None:
    """Status, money and SLA on top; the case's alerts; its timeline, oldest first."""
    assert look("case detail", scenario)


@pytest.mark.parametrize("scenario", FILLED)
def test_confirmation(look: Look, scenario: str) -> None:
    """The question, what becomes of how many alerts, and the two keys, over the dimmed case."""
    assert look("confirmation", scenario)


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_analytics(look: Look, scenario: str) -> None:
    """Today's figures, fourteen bars in each plot, categories, reasons, rules, dead letters; figures right-aligned."""
    assert look("analytics", scenario)


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_customers(look: Look, scenario: str) -> None:
    """The search field, the honest count, the riskiest card first."""
    assert look("customers", scenario)


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_model(look: Look, scenario: str) -> None:
    """How far traffic has moved in one sentence, figures, the model's card, features and scores by PSI."""
    assert look("model", scenario)


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_review(look: Look, scenario: str) -> None:
    """How many are open, why they are drawn, the newest first; without any, why it is empty and what to do."""
    assert look("review", scenario)


@pytest.mark.parametrize("scenario", FILLED)
def test_customer_profile(look: Look, scenario: str) -> None:
    """The card's totals, then its alerts, cases and transactions, the first list with the focus."""
    assert look("customer profile", scenario)


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_rings(look: Look, scenario: str) -> None:
    """As of when, the likeliest merchant first with cards and fraud, below it the cards to watch; or what to do."""
    assert look("rings", scenario)


@pytest.mark.parametrize("scenario", ["filled-80x24", "filled-120x40", "filled-200x60", "light-120x40"])
def test_help(look: Look, scenario: str) -> None:
    """The keys of the Alerts screen, its own first, each with a full sentence, over the dimmed screen."""
    assert look("help", scenario)


@pytest.mark.parametrize("scenario", ["failed-80x24"])
def test_engine_failure(look: Look, scenario: str) -> None:
    """A line under the masthead says that the engine has stopped, why, and what to do."""
    assert look("alerts", scenario)
