from contextlib import closing
from datetime import timedelta
from sqlite3 import Connection, IntegrityError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import audit
from data.store import Store

from .builders import NOON

ACTS = [audit.Act("ana", "alert.dispose", f"alert {n}", None, "confirmed_fraud") for n in range(5)]
DAMAGE = {
    "an edit": "UPDATE audit_log SET actor = 'bob' WHERE id = 3",
    "a deletion": "DELETE FROM audit_log WHERE id = 3",
    "a swap": "UPDATE audit_log SET id = CASE id WHEN 3 THEN -4 WHEN 4 THEN -3 END WHERE id IN (3, 4)",
    "a later time": "UPDATE audit_log SET at = at + 1 WHERE id = 3",
    "a value where there was none": "UPDATE audit_log SET before = '' WHERE id = 3",
}


def write(store: Store, acts: list[audit.Act]) -> None:
    with closing(store.analyst_writer()) as connection:
        for number, act in enumerate(acts):
            with store.transaction(connection):
                audit.record(connection, act, NOON + timedelta(seconds=number))


def test_entries_read_back_newest_first_and_the_chain_holds(store: Store) -> None:
    write(store, ACTS)
    with closing(store.reader()) as reader:
        assert [entry.act for entry in audit.latest_entries(reader, 3)] == ACTS[:1:-1]
        assert audit.latest_entries(reader, 1)[0].at == NOON + timedelta(seconds=4)
        assert audit.first_broken(reader) is None


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_the_first_bad_entry_is_named(store: Store, damage: str) -> None:
    write(store, ACTS)
    with closing(store.analyst_writer()) as connection, store.transaction(connection):
        connection.execute(damage)
        connection.execute("UPDATE audit_log SET id = -id WHERE id < 0")
    with closing(store.reader()) as reader:
        assert audit.first_broken(reader) == 3


def record_then_fail(store: Store, connection: Connection) -> None:
    with store.transaction(connection):
        audit.record(connection, ACTS[0], NOON)
        connection.execute("INSERT INTO audit_log (id) VALUES (NULL)")


def test_an_act_that_is_rolled_back_leaves_no_entry(store: Store) -> None:
    with closing(store.analyst_writer()) as connection:
        with pytest.raises(IntegrityError):
            record_then_fail(store, connection)
        assert audit.latest_entries(connection, 5) == ()


@given(st.lists(st.tuples(st.text(), st.text(), st.one_of(st.none(), st.text())), min_size=2, max_size=2, unique=True))
def test_two_different_acts_never_share_a_seal(fields: list[tuple[str, str, str | None]]) -> None:
    first, second = (audit._seal(1, 0, audit.Act("a", *each), "") for each in fields)
    assert first != second
