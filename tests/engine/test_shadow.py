from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from data.batches import TakenIn
from data.errors import ModelError
from data.label_writes import GivenLabel, LabelWriter
from data.model_registry import ModelRegistry, latest_role_id
from data.models import LabelSource, RiskLevel
from data.queries import shadow
from data.queries.shadow import shadow_rows
from data.store import Store
from engine.scoring import Thresholds
from engine.shadow import ShadowComparison, compare_in_shadow

from ..data.builders import DAY, NOON, World, scored

THRESHOLDS = Thresholds(0.5, 3, 60)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(Store.open(tmp_path / "sentinel.db"))
    yield world
    world.close()


def compete(world: World, version: str) -> None:
    ModelRegistry(world.store, "ana").register(version, f"{version}.npz", "{}", "{}", (1, b""), NOON)


def followed(world: World) -> TakenIn:
    """Word that the engine has followed everything that is decided."""
    return TakenIn(0, latest_role_id(world.reader))


def label(world: World, source: LabelSource = LabelSource.DISPOSITION, **fraud: bool) -> None:
    given = [GivenLabel(n, transaction, each, None) for n, (transaction, each) in enumerate(fraud.items())]
    list(LabelWriter(world.store, "ana").add(given, source, NOON + 90 * DAY))


def compared(world: World) -> ShadowComparison:
    return compare_in_shadow(world.store, THRESHOLDS)


def flips(shadow: ShadowComparison) -> list[tuple[str, bool, bool]]:
    """Transaction, whether it is an alert, whether it is fraud."""
    return [(each.transaction_id, each.alert_id is not None, each.fraud) for each in shadow.flips]


def test_what_one_of_the_two_alerts_alone_is_listed_frauds_first_and_then_the_newest(world: World) -> None:
    compete(world, "m-1")
    world.add(scored("before", challenger_score=0.99), taken_in=None)
    world.add(
        scored("t1", level=RiskLevel.HIGH, challenger_score=0.1),
        scored("t2", challenger_score=0.9),
        scored("t3", challenger_score=0.5),
        scored("t4", level=RiskLevel.LOW, challenger_score=0.8),
        scored("t5", velocity=3, level=RiskLevel.LOW, challenger_score=0.0),
        scored("t6", challenger_score=0.99),
        scored("t7", challenger_score=0.2),
        taken_in=followed(world),
    )
    label(world, t1=False, t2=True, t3=False, t4=True, t5=False, t7=False)
    shadow = compared(world)
    assert (shadow.champion, shadow.challenger) == (None, "m-1")
    assert (shadow.scored, shadow.unknown) == (7, 1)
    assert flips(shadow) == [("t2", False, True), ("t3", False, False), ("t1", True, False)]
    assert shadow.comparison is not None
    counts = shadow.comparison.flips
    assert (counts.champion_only, counts.champion_only_frauds) == (1, 0)
    assert (counts.challenger_only, counts.challenger_only_frauds) == (2, 1)


def test_what_another_champion_decided_says_nothing_of_the_present_one(world: World) -> None:
    compete(world, "m-1")
    world.add(scored("t1", challenger_score=0.9), taken_in=followed(world))
    ModelRegistry(world.store, "ana").promote(None, NOON)
    compete(world, "m-2")
    world.add(scored("t2", challenger_score=0.9), taken_in=followed(world))
    ModelRegistry(world.store, "ana").rollback(NOON)
    label(world, t1=True, t2=True)
    assert compared(world).scored == 0, "the engine has not followed the rollback yet"
    world.add(scored("t3", challenger_score=0.9), taken_in=followed(world))
    label(world, t3=True)
    assert flips(compared(world)) == [("t3", False, True)]


def test_old_transactions_without_a_label_are_honest_where_chargebacks_come(world: World) -> None:
    compete(world, "m-1")
    world.add(
        scored("old", challenger_score=0.9),
        scored("t1", challenger_score=0.9),
        scored("young", at=NOON + timedelta(days=8), challenger_score=0.9),
        taken_in=followed(world),
    )
    label(world, t1=True)
    assert compared(world).unknown == 2
    label(world, LabelSource.CHARGEBACK, young=False)
    world.add(scored("t4", at=NOON + timedelta(days=9), challenger_score=0.9))
    shadow = compared(world)
    assert shadow.unknown == 1
    assert flips(shadow) == [("t1", False, True), ("young", False, False), ("old", False, False)]


def test_it_is_compared_on_nothing_until_an_outcome_is_known(world: World) -> None:
    compete(world, "m-1")
    world.add(scored("t1", challenger_score=0.9), taken_in=followed(world))
    shadow = compared(world)
    assert (shadow.scored, shadow.unknown, shadow.comparison, shadow.flips) == (1, 1, None, ())


def test_without_a_challenger_there_is_nothing_to_compare(world: World) -> None:
    with pytest.raises(ModelError, match="no challenger to compare"):
        compared(world)


def test_a_comparison_knows_what_it_was_made_on(world: World) -> None:
    compete(world, "m-1")
    world.add(scored("t1", challenger_score=0.9), taken_in=followed(world))
    before = compared(world).as_of
    label(world, t1=True)
    after = compared(world).as_of
    assert after.label_id > before.label_id
    assert after.role_id == before.role_id


def test_portions_come_to_the_same_as_one_reading(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(*(scored(f"t{n}", challenger_score=None if n % 3 == 0 else n / 100) for n in range(20)))
    with closing(world.store.reader()) as reader:
        whole = [row for portion in shadow_rows(reader, 4) for row in portion]
        monkeypatch.setattr(shadow, "ROWS_AT_ONCE", 3)
        parts = list(shadow_rows(reader, 4))
    assert [row for portion in parts for row in portion] == whole
    assert max(map(len, parts)) == 3
    assert [row.seq for row in whole] == [n + 1 for n in range(4, 20) if n % 3]
