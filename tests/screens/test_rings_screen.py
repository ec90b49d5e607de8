"""The Rings screen says where cards seem to be taken and which cards to watch, or what to do to find out."""

import sqlite3

import pytest

from data.store import Store
from engine.rings import Rings
from screens.profile import ProfileScreen
from screens.rings import RingsScreen
from sentinel_tui import app as app_module

from ..ring_world import CARDS, breached_graph, save_checkpoint
from .pilots import piloted, press, records_of, screen_text, text_of, until
from .worlds import NOW, World, transaction


def forget_labels(world: World) -> None:
    world.execute("DELETE FROM labels")


async def test_the_likeliest_merchant_is_first_with_the_cards_to_watch(filled_store: Store) -> None:
    async with piloted(filled_store, "5", "o") as (app, pilot):
        await until(pilot, lambda: len(records_of(app, "#rings").records) == 2)
        first = records_of(app, "#rings").records[0]
        assert first.merchant == "M-000123"
        assert first.posterior > 0.9
        shown = screen_text(app)
        assert "As of 2026-03-14" in shown
        assert "24 cards with known fraud, 2 merchants" in shown
        assert f"showing {first.exposed_cards} of {first.exposed_cards} cards that were at M-000123" in shown
        await press(pilot, "down")
        second = records_of(app, "#rings").records[1]
        assert "cards that were at Corner Shop [north]" in screen_text(app)
        assert records_of(app, "#exposed-cards").records == second.exposed


async def test_enter_leads_from_a_merchant_to_its_cards_and_to_the_profile_of_one(world: World) -> None:
    rows = [transaction(90_000 + number, NOW, card_id=card) for number, card in enumerate(CARDS)]
    world.add(rows)
    async with piloted(world.store, "5", "o") as (app, pilot):
        await until(pilot, lambda: bool(records_of(app, "#exposed-cards").records))
        card = records_of(app, "#exposed-cards").records[0].card_id
        await press(pilot, "enter")
        assert app.focused is records_of(app, "#exposed-cards")
        await press(pilot, "enter")
        assert isinstance(app.screen, ProfileScreen)
        assert card in screen_text(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, RingsScreen)
        assert records_of(app, "#exposed-cards").cursor_key == card
        await press(pilot, "escape")
        assert app.current_mode == "customers"
        assert len(app.screen_stack) == 1


async def test_without_labels_it_says_how_to_bring_them(world: World) -> None:
    forget_labels(world)
    async with piloted(world.store, "5", "o", size=(80, 24)) as (app, pilot):
        await until(pilot, lambda: "No fraud is known yet." in screen_text(app))
        assert "Import chargebacks with `sentinel-tui label FILE --database DATABASE`." in screen_text(app)


@pytest.mark.parametrize("checkpoint", [None, "without a graph", "of another version"])
async def test_without_a_checkpoint_that_knows_of_fraud_it_says_when_there_is_one(
    world: World, checkpoint: str | None
) -> None:
    save_checkpoint(world.store, None)
    if checkpoint is None:
        world.execute("DELETE FROM engine_checkpoint")
    if checkpoint == "of another version":
        world.execute("UPDATE engine_checkpoint SET state = x'00'")
    async with piloted(world.store, "5", "o", size=(80, 24)) as (app, pilot):
        expected = "of another version" if checkpoint == "of another version" else "no checkpoint of the engine"
        await until(pilot, lambda: expected in text_of(records_of(app, "#rings")))


async def test_another_checkpoint_is_read_while_the_screen_is_open(world: World) -> None:
    world.execute("DELETE FROM engine_checkpoint")
    async with piloted(world.store, "5", "o") as (app, pilot):
        await until(pilot, lambda: "no checkpoint of the engine" in screen_text(app))
        save_checkpoint(world.store, breached_graph())
        await until(pilot, lambda: len(records_of(app, "#rings").records) == 2)


async def test_a_checkpoint_that_cannot_be_read_is_a_message_and_no_crash(
    filled_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Rings:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(app_module, "read_rings", broken)
    async with piloted(filled_store, "5", "o") as (app, pilot):
        await until(pilot, lambda: "The checkpoint could not be read" in screen_text(app))


async def test_an_alert_says_what_its_card_shares_with_known_fraud_in_words(filled_store: Store) -> None:
    async with piloted(filled_store, "2", "enter", size=(120, 60)) as (app, _):
        shown = screen_text(app)
        assert "Shared with known fraud" in shown
        assert "3 of 41 cards that were at M-000123 since 02-12 had fraud later; 0.4 expected" in shown
        assert "This card was last there 02-26 12:00:00 UTC; cards are taken there with probability 0.86" in shown
        assert "9 of 1,204 cards that were around 30.38, -97.62 since 02-12 had fraud later; 2.7 expected" in shown


async def test_an_alert_without_such_evidence_has_no_such_section(world: World) -> None:
    world.execute("UPDATE alerts SET evidence = json_remove(evidence, '$.shared')")
    async with piloted(world.store, "2", "enter", size=(120, 60)) as (app, _):
        assert "Shared with known fraud" not in screen_text(app)
