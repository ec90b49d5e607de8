"""What the screens about models look like. After a change on purpose, look at the report, then --snapshot-update."""

import asyncio
from collections.abc import Callable

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from data.store import Store
from engine.messages import TrainingSnapshot, TrainingState
from screens.confirm import ConfirmScreen
from screens.themes import LIGHT

from .models_world import Trainer, app_with_models, desk
from .pilots import screen_text, until
from .test_snapshots import SIZES, settled
from .worlds import HOSTILE, World

FILLED = ["filled-80x24", "filled-120x40", "filled-200x60", "hostile-120x40", "light-120x40"]
EMPTY = ["empty-80x24", "empty-120x40"]

Look = Callable[[str, str], bool]
Gallery = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    """Pictures by scenario and screen; one walk takes all of a scenario."""
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
    """Visit the screens about models, and take the picture of each."""
    kind, _, size = scenario.partition("-")
    store: Store = request.getfixturevalue("empty_store" if kind == "empty" else "models_store")
    trainer = Trainer()
    if kind == "hostile":
        world: World = request.getfixturevalue("models_world")
        world.execute("UPDATE models SET trained_by = ?", (HOSTILE[1] + HOSTILE[2],))
        world.execute("UPDATE model_roles SET actor = ?", (HOSTILE[4],))
        store = world.store
        trainer.latest = TrainingSnapshot(TrainingState.FAILED, HOSTILE[2] + HOSTILE[1])
    if kind == "light":
        trainer.latest = TrainingSnapshot(TrainingState.RUNNING, "It has begun", 0.42)
    app = app_with_models(store, desk(store, trainer))
    if kind == "light":
        app.theme = LIGHT.name
    pictures = {}
    async with app.run_test(size=SIZES[size]) as pilot:
        await pilot.press("6", "m")
        await until(pilot, lambda: app._workbench.training is trainer.latest)
        pictures["models"] = await settled(app, pilot)
        if kind == "empty":
            return pictures
        await pilot.press("c")
        await until(pilot, lambda: "scored by both" in screen_text(app))
        pictures["comparison"] = await settled(app, pilot)
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        pictures["promotion"] = await settled(app, pilot)
    return pictures


@pytest.mark.parametrize("scenario", FILLED + EMPTY)
def test_models(look: Look, scenario: str) -> None:
    """Who decides and competes, the labels, when a training is due; the models, and the one under the cursor."""
    assert look("models", scenario)


@pytest.mark.parametrize("scenario", FILLED)
def test_comparison(look: Look, scenario: str) -> None:
    """What each is worth, the better figure strong; calibration by tenths; what one alone alerts, frauds first."""
    assert look("comparison", scenario)


@pytest.mark.parametrize("scenario", ["filled-80x24", "filled-120x40"])
def test_promotion(look: Look, scenario: str) -> None:
    """A question over the dimmed screen, with who replaces whom and how both did in shadow."""
    assert look("promotion", scenario)
