import dataclasses
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.batches import MAX_DEAD_LETTER_BYTES, BatchResult, KnownTransaction, ScoredTransaction
from data.engine_writes import EngineWriter, PositionConflictError
from data.models import RiskLevel
from data.queries.recovery import checkpoint, events_after, last_seq, next_offset
from data.rollups import UNCATEGORISED, latency_bucket
from data.timestamps import to_microseconds

from .builders import DAY, HOUR, NOON, World, alert_on, batch_of, copy_of, dead_letter, scored

SOURCE = ("kafka:transactions", "0")
CODES = ("high_amount", "velocity", "velocity_burst", "model_score")

# Edges of minutes, hours and days, and times that come out of order.
times = st.builds(
    lambda edge, shift: edge + timedelta(microseconds=shift),
    st.sampled_from([NOON, NOON + timedelta(minutes=1), NOON + HOUR, NOON + DAY / 2, NOON - DAY, NOON + 40 * DAY]),
    st.sampled_from([-60_000_001, -1, 0, 1, 59_999_999]),
)
rows_without_id = st.builds(
    lambda card, at, rank, **fields: scored("", card, at, level=None, **fields | {"level_rank": rank}),
    card=st.sampled_from(["card-a", "card-b", "card-c"]),
    at=times,
    rank=st.integers(0, 4),
    amount_minor=st.integers(0, 10**14),
    score=st.floats(0, 1),
    location=st.sampled_from([None, "Austin, TX", "Oslo", "TOR Exit Node"]),
    customer_id=st.sampled_from([None, "cust-1", "cust-2"]),
    merchant_category=st.sampled_from([None, "grocery", "travel"]),
)
streams = st.lists(rows_without_id, max_size=14).map(
    lambda rows: [row._replace(transaction_id=f"t-{n}") for n, row in enumerate(rows)]
)
reason_codes = st.lists(st.sampled_from(CODES), min_size=1, max_size=3, unique=True).map(tuple)
cuts = st.lists(st.integers(0, 14), max_size=6).map(sorted)


def cut(rows: list[ScoredTransaction], places: list[int]) -> Iterator[list[ScoredTransaction]]:
    """The rows as consecutive batches, some of them empty."""
    return (rows[start:end] for start, end in pairwise([0, *places, len(rows)]))


def bucket_of(row: ScoredTransaction, seconds: int) -> int:
    return row.event_time // 1_000_000 // seconds * seconds


def test_a_batch_is_stored_whole(world: World) -> None:
    rows = [scored("t-1"), scored("t-2", card="card-2", level=RiskLevel.CRITICAL, amount_minor=999)]
    commit = world.add(
        *rows,
        dead_letters=[dead_letter(2)],
        duplicates=3,
        rule_hits={"high_amount": 2},
        checkpoint=b"state",
        next_offset=6,
    )
    assert (commit.last_seq, commit.cases_opened, len(commit.alert_ids)) == (2, 1, 1)
    (source_id,) = world.reader.execute("SELECT id FROM source_positions").fetchone()
    found = world.reader.execute("SELECT * FROM transactions ORDER BY seq")
    names = [name for name, *_ in found.description]
    stored = [dict(zip(names, row, strict=True)) for row in found]
    assert stored == [{"seq": n, "source_id": source_id, **row._asdict()} for n, row in enumerate(rows, start=1)]
    positions = "SELECT source, partition, next_offset, watermark, duplicates, updated_at FROM source_positions"
    assert world.reader.execute(positions).fetchall() == [(*SOURCE, 6, rows[0].event_time, 3, to_microseconds(NOON))]
    assert world.reader.execute("SELECT hits FROM rules WHERE id = 'high_amount'").fetchone() == (2,)
    assert checkpoint(world.reader) == (2, b"state")
    assert next_offset(world.reader, *SOURCE) == 6


def test_alerts_point_at_their_own_transactions(world: World) -> None:
    world.add(scored("t-1"), scored("t-2"))
    rows = [scored(f"u-{n}", card=f"card-{n}", amount_minor=n) for n in range(10)]
    raised = [7, 2, 9]
    for index in raised:
        rows[index] = rows[index]._replace(level_rank=2, score=0.6)
    commit = world.add(*rows, alerts=[alert_on(index, rows[index]) for index in raised])
    found = world.reader.execute(
        "SELECT a.id, a.alert_id, t.transaction_id, a.card_id = t.card_id, a.amount_minor = t.amount_minor, "
        "a.score = t.score, a.event_time = t.event_time "
        "FROM alerts a JOIN transactions t ON t.seq = a.transaction_seq ORDER BY a.id"
    ).fetchall()
    expected = zip(commit.alert_ids, raised, strict=True)
    assert found == [(alert_id, f"alert-u-{index}", f"u-{index}", 1, 1, 1, 1) for alert_id, index in expected]


BAD_ROWS = {
    "score is not a number": {"score": math.nan},
    "score above one": {"score": 2.0},
    "score below zero": {"score": -0.1},
    "model score is not a number": {"model_score": math.nan},
    "amount beyond 64 bits": {"amount_minor": 2**63},
    "negative amount": {"amount_minor": -1},
    "time beyond 64 bits": {"event_time": 2**63},
    "no card": {"card_id": None},
    "unknown status": {"status": "lost"},
    "late is no flag": {"late": 2},
    "lone surrogate": {"merchant_name": "\ud800"},
    "id stored before": {"transaction_id": "stored"},
    "id twice in the batch": {"transaction_id": "row-0"},
}
REFUSED = (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError, IndexError)


@pytest.mark.parametrize("place", [1, 3, 5], ids=["early", "middle", "last"])
@pytest.mark.parametrize("fault", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_at_any_place_leaves_nothing_of_its_batch(
    template: Path, fault: dict[str, object], place: int
) -> None:
    with copy_of(template) as world:
        world.add(scored("stored", level=RiskLevel.HIGH), rule_hits={"high_amount": 1}, checkpoint=b"before")
        before = world.dump()
        good = [scored(f"row-{n}", card=f"other-{n}", level=RiskLevel.CRITICAL) for n in range(6)]
        bad = [row._replace(**fault) if n == place else row for n, row in enumerate(good)]
        side_effects = {"duplicates": 5, "rule_hits": {"high_amount": 1}, "checkpoint": b"after"}
        with pytest.raises(REFUSED):
            world.add(*bad, dead_letters=[dead_letter(7)], **side_effects)
        assert world.dump() == before
        assert not world.writer.connection.in_transaction
        assert world.add(*good).cases_opened == 6


def broken_afterwards(batch: BatchResult) -> dict[str, BatchResult]:
    """Batches that go wrong only once their transactions are already in the open transaction."""
    alert = batch.alerts[0]
    return {
        "alert on no row": dataclasses.replace(batch, alerts=[dataclasses.replace(alert, index=99)]),
        "two alerts on one row": dataclasses.replace(
            batch, alerts=[alert, dataclasses.replace(alert, alert_id="another")]
        ),
        "alert id twice": dataclasses.replace(
            batch, alerts=[alert, dataclasses.replace(batch.alerts[1], alert_id=alert.alert_id)]
        ),
        "dead letter twice": dataclasses.replace(batch, dead_letters=[dead_letter(9), dead_letter(9)]),
        "dead letter that cannot be encoded": dataclasses.replace(
            batch, dead_letters=[dataclasses.replace(dead_letter(9), detail="\ud800")]
        ),
        "hits beyond 64 bits": dataclasses.replace(batch, rule_hits={"high_amount": 2**63}),
        "latency beyond 64 bits": dataclasses.replace(batch, latency_us=2**63),
    }


@pytest.mark.parametrize("fault", broken_afterwards(batch_of([scored("t", level=RiskLevel.HIGH)] * 2)))
def test_a_fault_after_the_rows_leaves_nothing_of_the_batch(world: World, fault: str) -> None:
    world.add(scored("stored"))
    before = world.dump()
    rows = [scored(f"row-{n}", card=f"card-{n}", level=RiskLevel.HIGH) for n in range(2)]
    good = batch_of(rows, first_offset=1)
    with pytest.raises(REFUSED):
        world.writer.commit(broken_afterwards(good)[fault], NOON)
    assert world.dump() == before
    assert world.writer.commit(good, NOON).last_seq == 3


@pytest.mark.parametrize("first_offset", [0, 1, 3, 100])
def test_a_batch_from_another_position_is_refused_whole(world: World, first_offset: int) -> None:
    world.add(scored("t-1"), scored("t-2"))
    before = world.dump()
    stale = batch_of([scored("t-3", level=RiskLevel.CRITICAL)], first_offset=first_offset, checkpoint=b"stale")
    with pytest.raises(PositionConflictError, match=f"stands at 2, not at {first_offset}"):
        world.writer.commit(stale, NOON)
    assert world.dump() == before


def test_of_two_engines_on_one_position_the_second_is_fenced(world: World) -> None:
    with closing(EngineWriter(world.store)) as other:
        other.commit(batch_of([scored("t-1")]), NOON)
        with pytest.raises(PositionConflictError):
            world.writer.commit(batch_of([scored("t-2")]), NOON)
        other.commit(batch_of([scored("t-3")], first_offset=1), NOON)
    assert world.reader.execute("SELECT transaction_id FROM transactions").fetchall() == [("t-1",), ("t-3",)]


def test_every_partition_has_a_position_of_its_own(world: World) -> None:
    world.add(scored("t-1"), partition="0")
    world.add(scored("t-2"), scored("t-3"), partition="1")
    world.add(scored("t-4"), partition="0", source="file:a.jsonl")
    assert next_offset(world.reader, *SOURCE) == 1
    assert next_offset(world.reader, SOURCE[0], "1") == 2
    assert next_offset(world.reader, "file:a.jsonl", "0") == 1
    assert next_offset(world.reader, "file:b.jsonl", "0") == 0


def test_a_source_may_begin_anywhere(world: World) -> None:
    world.writer.commit(batch_of([scored("t-1")], first_offset=5000), NOON)
    assert next_offset(world.reader, *SOURCE) == 5001


def test_the_watermark_never_goes_back_nor_is_forgotten(world: World) -> None:
    def stored() -> int | None:
        return world.reader.execute("SELECT watermark FROM source_positions").fetchone()[0]

    world.add(dead_letters=[dead_letter(0)])
    assert stored() is None
    world.add(scored("t-1"))
    world.add(scored("t-2", at=NOON - HOUR))
    assert stored() == to_microseconds(NOON)
    world.add(dead_letters=[dead_letter(3)])
    assert stored() == to_microseconds(NOON)
    world.add(scored("t-3", at=NOON + HOUR))
    assert stored() == to_microseconds(NOON + HOUR)


@settings(max_examples=40, deadline=None)
@given(streams, reason_codes, st.data())
def test_running_totals_equal_a_recount_of_the_transactions(
    template: Path, rows: list[ScoredTransaction], codes: tuple[str, ...], data: st.DataObject
) -> None:
    expected_latency: Counter[tuple[int, int]] = Counter()
    expected_hours: Counter[int] = Counter()
    hits = 0
    with copy_of(template) as world:
        for part in cut(rows, [place for place in data.draw(cuts) if place <= len(rows)]):
            latency_us = data.draw(st.integers(0, 10**9))
            world.add(*part, codes=codes, latency_us=latency_us, rule_hits={"high_amount": len(part)})
            hits += len(part)
            for row in part:
                expected_latency[bucket_of(row, 3600), latency_bucket(latency_us)] += 1
                expected_hours[bucket_of(row, 3600)] += latency_us
        velocity = any(code.startswith("velocity") for code in codes)
        execute = world.reader.execute
        stored = world.dump()
        for table, seconds in (("rollup_minute", 60), ("rollup_hour", 3600)):
            assert [row[:-1] for row in stored[table]] == recounted_rollup(rows, seconds, velocity)
        assert dict(execute("SELECT hour, latency_us FROM rollup_hour")) == dict(expected_hours)
        latencies = execute("SELECT * FROM rollup_latency").fetchall()
        assert {(hour, bucket): count for hour, bucket, count in latencies} == dict(expected_latency)
        assert execute("SELECT * FROM rollup_category").fetchall() == recounted_categories(rows)
        alerted = Counter(bucket_of(row, 86400) for row in rows if row.level_rank)
        assert execute("SELECT * FROM rollup_reason").fetchall() == [
            (day, code, count) for day, count in sorted(alerted.items()) for code in sorted(codes)
        ]
        assert execute("SELECT hits FROM rules WHERE id = 'high_amount'").fetchone() == (hits,)
        customers = execute(
            "SELECT card_id, transactions, spent_minor, alerts, highest_score, highest_level_rank, first_seen, "
            "last_seen, customer_id FROM customers ORDER BY card_id"
        ).fetchall()
        assert customers == recounted_customers(rows)


def recounted_rollup(rows: list[ScoredTransaction], seconds: int, velocity: bool) -> list[tuple[int, ...]]:
    result = []
    for bucket in sorted({bucket_of(row, seconds) for row in rows}):
        inside = [row for row in rows if bucket_of(row, seconds) == bucket]
        levels = Counter(row.level_rank for row in inside)
        alerted = [row.amount_minor for row in inside if row.level_rank]
        volume = sum(row.amount_minor for row in inside)
        ranks = [levels[rank] for rank in (1, 2, 3, 4)]
        result.append((bucket, len(inside), volume, *ranks, sum(alerted), len(alerted) * velocity))
    return result


def recounted_categories(rows: list[ScoredTransaction]) -> list[tuple[int, str, int, int, int]]:
    groups: dict[tuple[int, str], list[ScoredTransaction]] = {}
    for row in rows:
        groups.setdefault((bucket_of(row, 86400), row.merchant_category or UNCATEGORISED), []).append(row)
    return [
        (*key, len(inside), sum(row.amount_minor for row in inside), sum(row.level_rank > 0 for row in inside))
        for key, inside in sorted(groups.items())
    ]


def recounted_customers(rows: list[ScoredTransaction]) -> list[tuple[object, ...]]:
    result: list[tuple[object, ...]] = []
    for card in sorted({row.card_id for row in rows}):
        own = [row for row in rows if row.card_id == card]
        ids = [row.customer_id for row in own if row.customer_id is not None]
        result.append(
            (
                card,
                len(own),
                sum(row.amount_minor for row in own),
                sum(row.level_rank > 0 for row in own),
                max(row.score for row in own),
                max(row.level_rank for row in own),
                min(row.event_time for row in own),
                max(row.event_time for row in own),
                ids[-1] if ids else None,
            )
        )
    return result


@settings(max_examples=40, deadline=None)
@given(streams, cuts, reason_codes)
def test_what_is_stored_does_not_depend_on_how_the_records_are_cut_into_batches(
    template: Path, rows: list[ScoredTransaction], places: list[int], codes: tuple[str, ...]
) -> None:
    with copy_of(template) as whole, copy_of(template) as parts:
        whole.add(*rows, codes=codes)
        for part in cut(rows, [place for place in places if place <= len(rows)]):
            parts.add(*part, codes=codes)
        assert parts.dump() == whole.dump()


def test_the_last_location_is_that_of_the_latest_transaction_that_has_one(world: World) -> None:
    def last_location() -> str | None:
        return world.reader.execute("SELECT last_location FROM customers").fetchone()[0]

    world.add(scored("t-1", location=None))
    assert last_location() is None
    world.add(scored("t-2", at=NOON + HOUR, location="Oslo"))
    assert last_location() == "Oslo"
    world.add(scored("t-3", location="Austin, TX"), scored("t-4", at=NOON + 2 * HOUR, location=None))
    assert last_location() == "Oslo"


def test_dead_letters_are_kept_up_to_a_bound_with_their_true_size(world: World) -> None:
    sizes = [0, 1, MAX_DEAD_LETTER_BYTES - 1, MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTER_BYTES + 1, 1_000_000]
    raw = [bytes([n]) * size for n, size in enumerate(sizes)]
    world.add(dead_letters=[dead_letter(n, each) for n, each in enumerate(raw)])
    found = world.reader.execute('SELECT "offset", raw, raw_size FROM dead_letters ORDER BY "offset"').fetchall()
    assert found == [(n, each[:MAX_DEAD_LETTER_BYTES], len(each)) for n, each in enumerate(raw)]


@pytest.mark.parametrize("asked", [0, 1, 499, 500, 501, 1337])
def test_known_transactions_are_found_among_any_number_of_ids(world: World, asked: int) -> None:
    stored = [scored(f"t-{n}", amount_minor=n, merchant_id=None if n % 3 else f"m-{n}") for n in range(0, 1400, 2)]
    world.add(*stored)
    known = world.writer.known_transactions([f"t-{n}" for n in range(asked)])
    assert known == {
        row.transaction_id: KnownTransaction(row.card_id, row.amount_minor, row.event_time, row.merchant_id)
        for row in stored
        if int(row.transaction_id[2:]) < asked
    }


def test_an_id_asked_for_twice_is_found_once(world: World) -> None:
    world.add(scored("t-1"))
    assert list(world.writer.known_transactions(["t-1", "t-1", "t-2"])) == ["t-1"]


def test_a_checkpoint_replaces_the_one_before(world: World) -> None:
    assert checkpoint(world.reader) is None
    world.writer.save_checkpoint(0, b"", NOON)
    assert checkpoint(world.reader) == (0, b"")
    world.add(scored("t-1"), checkpoint=b"\x00one")
    world.add(scored("t-2"))
    assert checkpoint(world.reader) == (1, b"\x00one")
    world.writer.save_checkpoint(2, b"two", NOON + HOUR)
    assert checkpoint(world.reader) == (2, b"two")
    assert world.reader.execute("SELECT count(*) FROM engine_checkpoint").fetchone() == (1,)


def test_recovery_reads_what_came_after_the_checkpoint_in_the_order_of_scoring(world: World) -> None:
    assert last_seq(world.reader) == 0
    assert list(events_after(world.reader, 0)) == []
    world.add(scored("t-1", card="a"), scored("t-2", card="b", at=NOON - DAY), checkpoint=b"one")
    world.add(scored("t-3", card="c", at=NOON - HOUR, latitude=1.5, longitude=2.5, amount_minor=7))
    stored = checkpoint(world.reader)
    assert stored is not None
    (event,) = events_after(world.reader, stored[0])
    assert (event.card_id, event.amount_minor, event.event_time) == ("c", 7, to_microseconds(NOON - HOUR))
    assert (event.latitude, event.longitude) == (1.5, 2.5)
    assert [each.card_id for each in events_after(world.reader, 0)] == ["a", "b", "c"]
    assert last_seq(world.reader) == 3


def test_what_was_committed_is_there_after_closing(world: World) -> None:
    world.add(scored("t-1"))
    world.reader.close()
    world.writer.close()
    with closing(sqlite3.connect(f"file:{world.store.path}?mode=ro&immutable=1", uri=True)) as main_file_alone:
        assert main_file_alone.execute("SELECT transaction_id FROM transactions").fetchall() == [("t-1",)]


@given(st.integers(1, 10**12))
def test_a_latency_bucket_ends_at_most_a_fifth_above_its_values(latency_us: int) -> None:
    end = 2 ** ((latency_bucket(latency_us) + 1) / 4)
    assert latency_us * (1 - 1e-9) <= end <= latency_us * 1.19


def test_latency_buckets_never_go_down() -> None:
    buckets = [latency_bucket(latency) for latency in range(5000)]
    assert buckets == sorted(buckets)
    assert latency_bucket(0) == latency_bucket(1) == 0


def test_times_are_microseconds_of_the_given_clock(world: World) -> None:
    now = datetime.fromisoformat("2026-03-14T14:00:00.000001+02:00")
    world.add(scored("t-1", level=RiskLevel.HIGH), now=now, dead_letters=[dead_letter(1)], checkpoint=b"")
    moment = to_microseconds(NOON) + 1
    for query in (
        "SELECT updated_at FROM source_positions",
        "SELECT created_at FROM alerts",
        "SELECT opened_at FROM cases",
        "SELECT received_at FROM dead_letters",
        "SELECT taken_at FROM engine_checkpoint",
    ):
        assert world.reader.execute(query).fetchall() == [(moment,)]
