"""Rings as a user lists them: a real process on a database."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from data.label_writes import GivenLabel, LabelWriter
from data.models import LabelSource
from data.store import Store
from data.timestamps import to_microseconds

from ..data.builders import NOON, World, scored
from ..ring_world import breached_graph, save_checkpoint

HOSTILE = "\x1b]52;c;aGFja2Vk\x07[/red]\u202e"


def rings(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sentinel_tui", "rings", *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": "", "COLUMNS": "200", "XDG_DATA_HOME": "/nowhere", "PYTHONPATH": ":".join(sys.path)},
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "sentinel.db")
    with closing(World(store)) as world:
        world.add(scored("t-1"))
    return store


def know_fraud(store: Store) -> None:
    given = GivenLabel(1, "t-1", True, to_microseconds(NOON))
    list(LabelWriter(store, "bank").add([given], LabelSource.CHARGEBACK, NOON))
    save_checkpoint(store, breached_graph(("M-000123", HOSTILE)))


def test_merchants_are_listed_with_their_cards_for_people_and_for_programs(store: Store) -> None:
    know_fraud(store)
    found = json.loads(rings("--database", store.path, "--json").stdout)
    assert found["missing"] is None
    assert found["as_of"].startswith("2026-03-14T")
    assert [ring["merchant"] for ring in found["rings"]] == ["M-000123", HOSTILE]
    first = found["rings"][0]
    assert first["cards"] == first["fraud_cards"] + first["exposed_cards"]
    assert first["exposed"][0].keys() == {"card_id", "first_there", "last_there"}
    shown = rings("--database", store.path).stdout
    assert "as of 2026-03-14 11:57 UTC, the latest checkpoint: 24 cards with known fraud" in shown
    assert "M-000123" in shown
    assert "[/red]" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    one = json.loads(rings("--database", store.path, "--json", "--limit", "1").stdout)
    assert [ring["merchant"] for ring in one["rings"]] == ["M-000123"]


def test_where_nothing_is_known_it_says_what_to_do(store: Store) -> None:
    done = rings("--database", store.path)
    assert done.returncode == 0
    assert "Import chargebacks with `sentinel-tui label FILE" in done.stdout
    found = json.loads(rings("--database", store.path, "--json").stdout)
    assert found == {"as_of": None, "missing": "no_known_fraud", "fraud_cards": 0, "rings": []}


def test_a_database_that_is_not_there_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = rings("--database", tmp_path / "none.db")
    assert done.returncode == 2
    assert "there is no database" in done.stderr
    assert done.stderr.count("\n") == 1
