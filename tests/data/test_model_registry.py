from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import audit
from data.batches import TakenIn
from data.model_registry import (
    UNSUPERVISED,
    ModelChoiceError,
    ModelRegistry,
    holders,
    holders_at,
    latest_role_id,
    models,
    predecessor,
    role_changes,
)
from data.store import Store

from .builders import NOON, World, copy_of, scored


def register(store: Store, version: str, seq: int = 1) -> None:
    ModelRegistry(store, "ana").register(version, f"{version}.npz", "{}", "{}", (seq, version.encode()), NOON)


def roles(store: Store) -> tuple[str | None, str | None]:
    with closing(store.reader()) as reader:
        champion, challenger = holders(reader)
        return champion and champion.version, challenger and challenger.version


def test_a_trained_model_competes_and_its_promotion_empties_the_challengers_place(store: Store) -> None:
    register(store, "m-1")
    assert roles(store) == (None, "m-1")
    registry = ModelRegistry(store, "bob")
    assert registry.promote(None, NOON) == "m-1"
    assert roles(store) == ("m-1", None)
    register(store, "m-2")
    assert roles(store) == ("m-1", "m-2")
    with closing(store.reader()) as reader:
        assert [model.version for model in models(reader)] == ["m-2", "m-1"]
        acts = [entry.act for entry in audit.latest_entries(reader, 9)]
        assert audit.Act("bob", "model.promote", "champion", UNSUPERVISED, "m-1") in acts
        assert audit.first_broken(reader) is None


def test_what_cannot_be_promoted_or_rolled_back_is_said(store: Store) -> None:
    registry = ModelRegistry(store, "ana")
    with pytest.raises(ModelChoiceError, match="no challenger"):
        registry.promote(None, NOON)
    with pytest.raises(ModelChoiceError, match="no model 'm-9'"):
        registry.promote("m-9", NOON)
    with pytest.raises(ModelChoiceError, match="no champion to go back from"):
        registry.rollback(NOON)
    register(store, "m-1")
    registry.promote(None, NOON)
    with pytest.raises(ModelChoiceError, match="champion already"):
        registry.promote("m-1", NOON)


@pytest.mark.parametrize("decide", ["promote", "rollback"])
def test_two_analysts_never_undo_each_others_decision_unseen(store: Store, decide: str) -> None:
    for version in ("m-1", "m-2"):
        register(store, version)
        ModelRegistry(store, "ana").promote(version, NOON)
    with closing(store.reader()) as reader:
        seen = latest_role_id(reader)
    bob = ModelRegistry(store, "bob")

    def act() -> str:
        return bob.promote("m-1", NOON, seen) if decide == "promote" else bob.rollback(NOON, seen)

    ModelRegistry(store, "ana").rollback(NOON, seen)
    before = roles(store)
    with pytest.raises(ModelChoiceError, match="somebody else has given the roles"):
        act()
    assert roles(store) == before == ("m-1", None)


def test_who_decides_after_a_rollback_is_known_before_it(store: Store) -> None:
    registry = ModelRegistry(store, "ana")
    with closing(store.reader()) as reader:
        assert predecessor(reader) is None
        for version in ("m-1", "m-2"):
            register(store, version)
            registry.promote(None, NOON)
        expected = predecessor(reader)
        assert expected is not None
        assert expected.version == registry.rollback(NOON)
        assert predecessor(reader) is None


def test_training_the_same_again_changes_no_role(store: Store) -> None:
    register(store, "m-1")
    register(store, "m-1")
    ModelRegistry(store, "ana").promote(None, NOON)
    register(store, "m-1")
    assert roles(store) == ("m-1", None)
    with closing(store.reader()) as reader:
        assert len(role_changes(reader)) == 3


def test_the_latest_memory_is_kept(store: Store) -> None:
    for version, seq in (("m-1", 5), ("m-2", 9), ("m-3", 7)):
        register(store, version, seq)
    with closing(store.reader()) as reader:
        assert reader.execute("SELECT seq, state FROM ranker_memory").fetchall() == [(9, b"m-2")]


def test_the_engine_follows_and_a_restart_knows_whom_it_followed_when(world: World) -> None:
    world.add(scored("t-1"), scored("t-2"))
    register(world.store, "m-1")
    assert holders_at(world.reader, 2) == (None, None)
    world.add(scored("t-3"), taken_in=TakenIn(0, latest_role_id(world.reader)))
    assert holders_at(world.reader, 2) == (None, None)
    followed = holders_at(world.reader, 3)
    assert followed.challenger is not None
    assert followed.challenger.version == "m-1"


@settings(max_examples=40, deadline=None)
@given(acts=st.lists(st.sampled_from(["m-1", "m-2", "m-3", "back"]), max_size=12))
def test_rollbacks_undo_promotions_in_reverse(template: Path, acts: list[str]) -> None:
    with copy_of(template) as world:
        for version in ("m-1", "m-2", "m-3"):
            register(world.store, version)
        registry = ModelRegistry(world.store, "ana")
        reigns: list[str] = []
        for act in acts:
            if act == "back":
                if not reigns:
                    continue
                reigns.pop()
                assert registry.rollback(NOON) == (reigns[-1] if reigns else UNSUPERVISED)
            elif not reigns or reigns[-1] != act:
                registry.promote(act, NOON)
                reigns.append(act)
            assert roles(world.store)[0] == (reigns[-1] if reigns else None)
