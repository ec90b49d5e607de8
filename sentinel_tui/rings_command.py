"""The command that lists merchants at which cards seem to be taken, without the app."""

from contextlib import closing
from datetime import datetime
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.rings import MOST_RINGS, NO_RING, WHAT_TO_DO, Ring, Rings, read_rings
from sentinel_tui.command_options import DatabaseOption, JsonOption, SetOption, existing_store, flags
from sentinel_tui.plain_text import printable
from sentinel_tui.settings import load_settings


def rings(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Merchants at most.")] = MOST_RINGS,
    as_json_object: JsonOption = False,
    database: DatabaseOption = None,
    overrides: SetOption = None,
) -> None:
    """List merchants where cards seem to be taken, and the cards that were there and have had no fraud yet."""
    store = existing_store(load_settings(flags(overrides)).values, database)
    with closing(store.reader()) as reader:
        found = read_rings(reader, limit)
    if as_json_object:
        print(rings_as_json(found))
    else:
        print_rings(found, Console())


def rings_as_json(found: Rings) -> str:
    """All of it as one JSON object; ``missing`` says why there is nothing, where there is nothing to rank."""
    value = {
        "as_of": None if found.as_of is None else found.as_of.isoformat(),
        "missing": None if found.missing is None else found.missing.value,
        "fraud_cards": found.fraud_cards,
        "rings": [_as_json(ring) for ring in found.rings],
    }
    return orjson.dumps(value).decode()


def print_rings(found: Rings, console: Console) -> None:
    """The merchants in a table, the likeliest first."""
    if found.missing is not None:
        console.print("\n".join(WHAT_TO_DO[found.missing]))
        return
    console.print(f"as of {_moment(found.as_of)}, the latest checkpoint: {found.fraud_cards:,} cards with known fraud")
    if not found.rings:
        console.print("\n".join(NO_RING))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("merchant", overflow="fold")
    for column in ("probability", "cards", "fraud", "expected", "no fraud yet", "exposed from", "until"):
        table.add_column(column, justify="right")
    for ring in found.rings:
        table.add_row(
            Text(printable(ring.merchant)),
            f"{ring.posterior:.2f}",
            f"{ring.cards:,}",
            f"{ring.fraud_cards:,}",
            f"{ring.expected:,.1f}",
            f"{ring.exposed_cards:,}",
            _moment(ring.first_visit),
            _moment(ring.last_visit),
        )
    console.print(table)


def _as_json(ring: Ring) -> dict[str, object]:
    return {
        "merchant": ring.merchant,
        "posterior": ring.posterior,
        "lift": ring.lift,
        "cards": ring.cards,
        "fraud_cards": ring.fraud_cards,
        "expected": ring.expected,
        "exposed_from": ring.first_visit.isoformat(),
        "exposed_until": ring.last_visit.isoformat(),
        "defrauded_here": ring.defrauded_here,
        "exposed_cards": ring.exposed_cards,
        "exposed": [card._asdict() for card in ring.exposed],
    }


def _moment(when: datetime | None) -> str:
    return "–" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"
