"""The simulated traffic: its determinism, its honest habits, its fraud, its pace."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from itertools import islice, pairwise
from statistics import median
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import SettingError
from data.models import DeadLetterReason, Transaction
from engine.columns import ColumnMap
from engine.decode import Decoded, JsonDecoder, Rejection
from engine.features import CARD_NOT_PRESENT, MAX_SPEED_KMH, EventReader, FeatureState
from engine.gazetteer import Gazetteer, distance_km, is_anonymised
from engine.generator import GeneratorConfig, GeneratorSource
from engine.generator.population import FAVOURITES, NIGHT_WORKERS, Population, build_population
from engine.generator.scenarios import BURST, OTHER_SCENARIOS
from engine.generator.traffic import Traffic
from engine.windows import SlidingWindow

START = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""
SMALL = GeneratorConfig(seed=1, start=START, cards=300, records=1_500, history_per_card=2)
SCENARIOS = {scenario.name for scenario in (BURST, *OTHER_SCENARIOS)}
DECODER = JsonDecoder(ColumnMap(label="is_fraud", scenario="scenario"))


class Clock:
    """Time that moves only when told to."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class LeapingClock:
    """Tells when it is at first, and ever after a time at which everything is due."""

    def __init__(self) -> None:
        self._moments = iter([START])

    def __call__(self) -> datetime:
        return next(self._moments, START + timedelta(days=365))


class Truth(NamedTuple):
    """A transaction and what it really is."""

    transaction: Transaction
    scenario: str | None


def decoded(raws: Iterable[bytes]) -> list[Truth]:
    """The well-formed records."""
    outcomes = (DECODER.decode(raw) for raw in raws)
    return [Truth(each.transaction, each.scenario) for each in outcomes if isinstance(each, Decoded)]


def drawn(config: GeneratorConfig) -> list[bytes]:
    return list(GeneratorSource(config).draw())


async def handed_over(source: GeneratorSource, offset: int = 0) -> list[bytes]:
    """All records of the batches from an offset on, whose places must join up."""
    records: list[bytes] = []
    async for batch in source.batches(offset):
        assert batch.partition == source.partition
        assert batch.first_offset == offset + len(records)
        records += batch.records
    return records


@cache
def mixed() -> list[Truth]:
    """A day of 10,000 cards with five times the usual fraud."""
    return decoded(
        GeneratorSource(
            GeneratorConfig(seed=5, start=START, cards=10_000, records=40_000, fraud_probability=0.05)
        ).draw()
    )


@cache
def honest_week() -> list[Truth]:
    return decoded(drawn(GeneratorConfig(seed=3, start=START, cards=1_500, records=42_000, honest_only=True)))


def test_the_same_simulation_gives_the_same_bytes() -> None:
    assert drawn(SMALL) == drawn(SMALL)
    assert list(GeneratorSource(SMALL).history()) == list(GeneratorSource(SMALL).history())


def test_the_same_instant_in_another_time_zone_is_the_same_simulation() -> None:
    eastern = replace(SMALL, start=START.astimezone(timezone(timedelta(hours=-5))))
    assert drawn(eastern) == drawn(SMALL)
    assert GeneratorSource(eastern).partition == GeneratorSource(SMALL).partition


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"start": START + timedelta(microseconds=1)}, {"start": START + timedelta(days=1)}],
    ids=["seed", "a microsecond", "a day"],
)
def test_another_seed_or_start_shares_no_transaction_id(change: dict[str, Any]) -> None:
    ids = {each.transaction.transaction_id for each in decoded(drawn(SMALL))}
    others = {each.transaction.transaction_id for each in decoded(drawn(replace(SMALL, **change)))}
    assert not ids & others
    assert GeneratorSource(SMALL).partition != GeneratorSource(replace(SMALL, **change)).partition


def test_history_and_records_share_no_transaction_id() -> None:
    source = GeneratorSource(SMALL)
    ids = [each.transaction.transaction_id for each in decoded([*source.history(), *source.draw()])]
    assert len(set(ids)) == len(ids)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1_500))
def test_batches_from_any_offset_go_on_as_the_whole_does(offset: int) -> None:
    assert asyncio.run(handed_over(GeneratorSource(SMALL), offset)) == drawn(SMALL)[offset:]


async def test_reading_history_first_changes_no_record() -> None:
    source = GeneratorSource(SMALL)
    for _ in source.history():
        pass
    assert await handed_over(source) == drawn(SMALL)


async def test_a_source_tells_how_much_of_it_has_been_read() -> None:
    source = GeneratorSource(SMALL)
    shares = [source.fraction_read async for _ in source.batches(500)]
    assert shares[-1] == 1.0
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert GeneratorSource(replace(SMALL, records=None)).fraction_read is None


def test_event_times_never_go_back() -> None:
    times = [each.transaction.timestamp for each in mixed()]
    assert times == sorted(times)
    assert times[0] >= START


def test_every_record_is_whole_and_labelled() -> None:
    for raw in drawn(replace(SMALL, malformed_probability=0.0, fraud_probability=0.2)):
        outcome = DECODER.decode(raw)
        assert isinstance(outcome, Decoded), outcome
        assert outcome.is_fraud is (outcome.scenario is not None)
        transaction = outcome.transaction
        assert transaction.amount > 0
        assert transaction.currency == "USD"
        assert transaction.merchant_id
        assert transaction.merchant_name
        assert transaction.customer_id
        # The bytes are put together by hand: they must be what a JSON library writes.
        assert orjson.dumps(orjson.loads(raw)) == raw


def test_places_come_in_every_form_and_agree(gazetteer: Gazetteer) -> None:
    forms: Counter[str] = Counter()
    for transaction, _ in honest_week():
        if transaction.location is None:
            forms["none"] += 1
        elif transaction.location[0].isdigit():
            forms["coordinates"] += 1
        elif is_anonymised(transaction.location):
            forms["anonymised"] += 1
        else:
            city = gazetteer.locate(transaction.location)
            assert city is not None, transaction.location
            forms["city"] += 1
            if transaction.latitude is not None and transaction.longitude is not None:
                forms["both"] += 1
                assert distance_km(city, (transaction.latitude, transaction.longitude)) < 25
    assert min(forms[form] for form in ("none", "coordinates", "city", "both")) > 500
    assert 0 < forms["anonymised"] < 0.003 * len(honest_week())


def test_malformed_records_come_at_their_rate_and_leave_the_others_intact() -> None:
    config = GeneratorConfig(seed=4, start=START, cards=500, records=10_000, malformed_probability=0.2)
    outcomes = [DECODER.decode(raw) for raw in drawn(config)]
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    assert len(rejected) == pytest.approx(2_000, rel=0.1)
    assert {each.reason for each in rejected} == {
        DeadLetterReason.EMPTY,
        DeadLetterReason.NOT_JSON,
        DeadLetterReason.NOT_AN_OBJECT,
        DeadLetterReason.NOT_UTF8,
        DeadLetterReason.DUPLICATE_KEY,
        DeadLetterReason.MISSING_FIELD,
        DeadLetterReason.INVALID_FIELD,
    }
    assert {each.detail.split()[0] for each in rejected if each.reason is DeadLetterReason.INVALID_FIELD} == {
        "amount",
        "timestamp",
    }
    whole = [outcome.transaction for outcome in outcomes if isinstance(outcome, Decoded)]
    clean = [each.transaction for each in decoded(drawn(replace(config, malformed_probability=0.0)))]
    plain = [(each.card_id, each.amount, each.timestamp, each.merchant_id) for each in clean]
    assert [(each.card_id, each.amount, each.timestamp, each.merchant_id) for each in whole] == plain[: len(whole)]


def velocity_share(truths: list[Truth]) -> float:
    """Share of transactions that are a card's third or later within 60 s."""
    window = SlidingWindow(60_000_000)
    events = [(each.transaction.card_id, each.transaction.event_time) for each in truths]
    return sum(window.add(card, time, time) >= 3 for card, time in events) / len(events)


def test_honest_cards_seldom_alert_by_velocity_as_fast_as_drawn() -> None:
    config = GeneratorConfig(seed=7, start=START + timedelta(hours=17), records=20_000, honest_only=True)
    assert velocity_share(decoded(drawn(config))) < 0.005


async def test_honest_cards_seldom_alert_by_velocity_at_a_constant_rate() -> None:
    config = GeneratorConfig(seed=7, start=START, cards=100_000, rate=50.0, records=20_000, honest_only=True)
    truths = decoded(await handed_over(GeneratorSource(config, LeapingClock())))
    assert len(truths) == 20_000
    assert velocity_share(truths) < 0.005


def test_honest_people_buy_twice_within_a_minute_now_and_then_mostly_at_one_merchant() -> None:
    config = GeneratorConfig(seed=7, start=START, records=20_000, honest_only=True)
    last: dict[str, Transaction] = {}
    doubles = []
    for transaction, _ in decoded(drawn(config)):
        before = last.get(transaction.card_id)
        if before is not None and transaction.timestamp - before.timestamp < timedelta(minutes=1):
            doubles.append(transaction.merchant_id == before.merchant_id)
        last[transaction.card_id] = transaction
    assert 0.007 < len(doubles) / config.records < 0.013
    assert 0.6 < sum(doubles) / len(doubles) < 0.85


def test_some_honest_purchases_on_line_are_as_small_as_card_tests() -> None:
    online = [each.transaction for each in honest_week() if each.transaction.merchant_category == "online"]
    tiny = sum(each.amount <= 2 for each in online)
    assert 0.015 < tiny / len(online) < 0.025


def test_honest_people_travel_but_never_faster_than_an_airliner(gazetteer: Gazetteer) -> None:
    reader, state = EventReader(gazetteer), FeatureState(60, 2.0, 600)
    observations = [state.observe(reader.of_transaction(each.transaction)) for each in honest_week()]
    assert sum(each.speed_kmh > MAX_SPEED_KMH for each in observations) == 0
    assert sum(each.travel_km > 500 for each in observations) >= 15


def test_noon_is_busier_than_the_small_hours_and_saturday_than_sunday() -> None:
    times = [each.transaction.timestamp for each in honest_week()]
    hours = Counter(time.hour for time in times)
    assert hours[12] > 3 * hours[4]
    days = Counter(time.date() for time in times)
    saturday = START.date() + timedelta(days=5)
    assert days[saturday] > 1.15 * days[saturday + timedelta(days=1)] > 0


def test_cards_buy_about_four_times_a_day() -> None:
    truths = honest_week()
    days = (truths[-1].transaction.timestamp - START) / timedelta(days=1)
    assert len(truths) / 1_500 / days == pytest.approx(4.0, rel=0.05)


def test_some_people_live_by_night() -> None:
    nightly: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for transaction, _ in honest_week():
        total[transaction.card_id] += 1
        nightly[transaction.card_id] += transaction.timestamp.hour < 5
    busy = [card for card, count in total.items() if count >= 15]
    night_workers = [card for card in busy if nightly[card] / total[card] > 0.2]
    assert 0.5 * NIGHT_WORKERS < len(night_workers) / len(busy) < 2 * NIGHT_WORKERS


@pytest.mark.parametrize("seed", range(40))
def test_the_smallest_population_has_people_of_the_day_and_of_the_night(seed: int) -> None:
    population = build_population(seed, 100)
    assert population.day_cards
    assert population.night_cards
    assert len(population.day_cards) + len(population.night_cards) == 100


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**64), st.integers(100, 400))
def test_any_seed_makes_a_population_of_which_traffic_can_be_drawn(seed: int, cards: int) -> None:
    config = replace(SMALL, seed=seed, cards=cards, records=50, malformed_probability=0.0)
    assert len(decoded(drawn(config))) == 50


def test_history_lies_before_the_start_and_is_honest_and_in_order() -> None:
    config = GeneratorConfig(seed=9, start=START, cards=1_000, history_per_card=6, records=10)
    truths = decoded(GeneratorSource(config).history())
    times = [each.transaction.timestamp for each in truths]
    assert START - timedelta(days=14) <= times[0] < START - timedelta(days=13)
    assert START - timedelta(days=1) < times[-1] < START
    assert times == sorted(times)
    assert {each.scenario for each in truths} == {None}
    assert len(truths) == pytest.approx(GeneratorSource(config).history_records, rel=0.05)


def test_there_is_no_history_where_none_is_asked_for() -> None:
    assert not list(GeneratorSource(replace(SMALL, history_per_card=0)).history())


def test_history_and_records_are_of_the_same_people() -> None:
    config = GeneratorConfig(seed=9, start=START, cards=1_000, records=8_000, honest_only=True)
    source = GeneratorSource(config)
    population = build_population(config.seed, config.cards)
    for truths in (decoded(source.history()), decoded(source.draw())):
        assert favourite_share(truths, population) > 0.8


def favourite_share(truths: list[Truth], population: Population) -> float:
    hits = 0
    for transaction, _ in truths:
        card = int(transaction.card_id.removeprefix("CARD-"))
        merchant = int((transaction.merchant_id or "").removeprefix("M-"))
        hits += merchant in population.favourites[card * FAVOURITES : (card + 1) * FAVOURITES]
    return hits / len(truths)


@pytest.mark.parametrize("seed", [1, 2, 7, 11])
def test_a_short_run_has_every_scenario(seed: int) -> None:
    counts = Counter(each.scenario for each in decoded(drawn(GeneratorConfig(seed=seed, start=START, records=20_000))))
    assert set(counts) == {None, *SCENARIOS}
    others = [counts[scenario.name] for scenario in OTHER_SCENARIOS]
    # Night fraud is neither scarce in the first night nor a flood.
    assert sum(others) / len(others) / 2 < counts["time_anomaly"] < 2.5 * sum(others) / len(others)


def test_fraud_comes_out_in_its_share() -> None:
    population = build_population(2, 5_000)
    traffic = Traffic(population, (2, 3), START.timestamp(), fraud_share=0.02, burst_share=0.01)
    counts = Counter(purchase.scenario for purchase in islice(traffic.purchases(), 200_000))
    bursts = counts["velocity_burst"] / 200_000
    others = sum(counts[scenario.name] for scenario in OTHER_SCENARIOS) / 200_000
    assert bursts == pytest.approx(0.01, rel=0.15)
    assert others == pytest.approx(0.02, rel=0.1)
    for scenario in OTHER_SCENARIOS:
        assert counts[scenario.name] / 200_000 == pytest.approx(0.02 / len(OTHER_SCENARIOS), rel=0.35), scenario.name


def test_high_shares_of_fraud_come_out_too_and_memory_stays_bounded() -> None:
    population = build_population(2, 1_000)
    traffic = Traffic(population, (2, 3), START.timestamp(), fraud_share=0.5, burst_share=0.2)
    purchases = traffic.purchases()
    counts: Counter[str | None] = Counter()
    planned = []
    for _ in range(5):
        counts.update(purchase.scenario for purchase in islice(purchases, 20_000))
        planned.append(traffic.planned)
    assert counts["velocity_burst"] / 100_000 == pytest.approx(0.2, abs=0.02)
    assert counts[None] / 100_000 == pytest.approx(0.3, abs=0.03)
    # A day has 13,000 purchases here: what waits is part of a day's fraud, however long the run.
    assert max(planned) < 6_000


def test_without_fraud_nothing_is_fraud() -> None:
    config = replace(SMALL, fraud_probability=0.0, velocity_attack_probability=0.0)
    assert {each.scenario for each in decoded(drawn(config))} == {None}
    assert {each.scenario for each in decoded(drawn(replace(SMALL, honest_only=True)))} == {None}


def test_either_kind_of_fraud_comes_alone() -> None:
    config = GeneratorConfig(seed=1, start=START, cards=2_000, records=10_000, fraud_probability=0.0)
    assert {each.scenario for each in decoded(drawn(config))} == {None, "velocity_burst"}
    config = replace(config, fraud_probability=0.05, velocity_attack_probability=0.0)
    assert {each.scenario for each in decoded(drawn(config))} == {None, *SCENARIOS} - {"velocity_burst"}


def episodes(scenario: str, longest_gap: timedelta) -> Iterator[list[Transaction]]:
    """The purchases of a scenario by card, apart where more than the longest gap of an episode lies between."""
    by_card: dict[str, list[Transaction]] = defaultdict(list)
    for transaction, label in mixed():
        if label == scenario:
            by_card[transaction.card_id].append(transaction)
    for transactions in by_card.values():
        episode = [transactions[0]]
        for before, after in pairwise(transactions):
            if after.timestamp - before.timestamp > longest_gap:
                yield episode
                episode = []
            episode.append(after)
        yield episode


def span(transactions: list[Transaction]) -> timedelta:
    return transactions[-1].timestamp - transactions[0].timestamp


def completed(found: list[list[Transaction]]) -> list[list[Transaction]]:
    """Episodes that the end of the run did not cut."""
    end = mixed()[-1].transaction.timestamp
    return [each for each in found if each[0].timestamp < end - timedelta(hours=6)]


def test_a_burst_is_3_to_12_purchases_of_a_card_within_a_minute() -> None:
    bursts = completed(list(episodes("velocity_burst", timedelta(minutes=1))))
    assert len(bursts) > 5
    for burst in bursts:
        assert 3 <= len(burst) <= 12
        assert span(burst) < timedelta(seconds=60)


def test_card_testing_is_3_tiny_amounts_or_more_within_ten_minutes() -> None:
    found = completed(list(episodes("card_testing", timedelta(minutes=15))))
    assert len(found) > 10
    for episode in found:
        tests = [each for each in episode if each.amount <= 2]
        assert len(tests) >= 3
        assert span(tests) <= timedelta(minutes=10)
        assert all(each.amount >= 200 for each in episode if each not in tests)


def test_impossible_travel_is_faster_than_an_airliner_from_the_owners_last_purchase(gazetteer: Gazetteer) -> None:
    reader, owners = EventReader(gazetteer), {}
    speeds = []
    for transaction, scenario in mixed():
        event = reader.of_transaction(transaction)
        if event.latitude is None or event.longitude is None or event.category in CARD_NOT_PRESENT:
            continue
        place = (event.latitude, event.longitude)
        if scenario is None:
            owners[event.card_id] = (place, transaction.timestamp)
        elif scenario == "impossible_travel":
            last, time = owners[event.card_id]
            hours = (transaction.timestamp - time) / timedelta(hours=1)
            speeds.append(distance_km(last, place) / hours)
    assert len(speeds) > 50
    assert min(speeds) > MAX_SPEED_KMH


def test_time_anomaly_is_in_the_small_hours_of_people_who_are_asleep() -> None:
    config = GeneratorConfig(seed=5, cards=10_000, start=START)
    night_workers = set(build_population(config.seed, config.cards).night_cards)
    found = [each.transaction for each in mixed() if each.scenario == "time_anomaly"]
    assert len(found) > 50
    assert all(2 <= each.timestamp.hour < 5 for each in found)
    assert not {int(each.card_id.removeprefix("CARD-")) for each in found} & night_workers


def test_high_value_is_far_above_what_the_card_spends() -> None:
    usual: dict[str, list[float]] = defaultdict(list)
    for transaction, scenario in mixed():
        if scenario is None:
            usual[transaction.card_id].append(float(transaction.amount))
    found = [each.transaction for each in mixed() if each.scenario == "high_value"]
    assert len(found) > 50
    for transaction in found:
        assert float(transaction.amount) > 8 * median(usual[transaction.card_id])
        assert transaction.amount >= 1_500


def test_location_anomaly_is_anonymised_or_far_from_home(gazetteer: Gazetteer) -> None:
    cities = build_population(5, 10_000)
    anonymised = 0
    found = [each.transaction for each in mixed() if each.scenario == "location_anomaly"]
    for transaction in found:
        if transaction.location and is_anonymised(transaction.location):
            anonymised += 1
            continue
        event = EventReader(gazetteer).of_transaction(transaction)
        assert event.latitude is not None
        assert event.longitude is not None
        home = cities.cities[cities.home[int(transaction.card_id.removeprefix("CARD-"))]].place
        assert distance_km(home, (event.latitude, event.longitude)) > 1_400
    assert 0.4 < anonymised / len(found) < 0.8


def test_account_takeover_is_4_to_8_purchases_over_hours_above_what_the_card_spends() -> None:
    found = completed(list(episodes("account_takeover", timedelta(hours=1))))
    assert len(found) > 5
    for episode in found:
        assert 4 <= len(episode) <= 8
        assert timedelta(hours=1) <= span(episode) <= timedelta(hours=7)
    usual = median(float(each.transaction.amount) for each in mixed() if each.scenario is None)
    assert median(float(transaction.amount) for episode in found for transaction in episode) > 2.5 * usual


def test_the_cards_of_a_compromised_merchant_were_its_customers_before() -> None:
    """Cards are grouped by nothing but their merchants: some merchant must have seen several of them before."""
    customers: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    struck: dict[str, datetime] = {}
    for transaction, scenario in mixed():
        if scenario is None:
            customers[transaction.merchant_id or ""].append((transaction.card_id, transaction.timestamp))
        elif scenario == "compromised_merchant":
            struck.setdefault(transaction.card_id, transaction.timestamp)
    shared = set()
    for visits in customers.values():
        leaked = {card for card, time in visits if card in struck and time < struck[card]}
        if len(leaked) >= 2:
            shared |= leaked
    assert len(struck) > 20
    assert len(shared) > 0.9 * len(struck)


REAL_TIME = GeneratorConfig(seed=3, start=START, cards=500, rate=50.0, malformed_probability=0.0)


async def test_in_real_time_a_batch_is_exactly_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
            clock.now += timedelta(seconds=seconds)

    monkeypatch.setattr("engine.generator.source.asyncio.sleep", sleep)
    batches = GeneratorSource(replace(REAL_TIME, records=500), clock, lambda: 17.0).batches(0)
    seen: list[bytes] = []
    async for batch in batches:
        assert batch.received_at == 17.0
        for transaction, _ in decoded(batch.records):
            assert clock.now - timedelta(milliseconds=2) <= transaction.timestamp <= clock.now
        seen += batch.records
    assert len(seen) == 500
    assert 0 < max(slept) <= 0.25
    assert (clock.now - START).total_seconds() == pytest.approx(500 / 50, rel=0.25)


async def test_what_is_late_is_handed_over_at_once_and_nothing_more() -> None:
    clock = Clock()
    batches = GeneratorSource(REAL_TIME, clock).batches(0)
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    clock.now += timedelta(seconds=20)
    records = list((await waiting).records)
    while len(records) < 900:
        records += (await anext(batches)).records
    waiting = asyncio.ensure_future(anext(batches))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    while done:
        records += waiting.result().records
        waiting = asyncio.ensure_future(anext(batches))
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
    waiting.cancel()
    assert len(records) == pytest.approx(20 * 50, rel=0.1)
    assert max(each.transaction.timestamp for each in decoded(records)) <= clock.now


async def test_what_passed_before_the_start_is_not_made_up_for() -> None:
    clock = Clock()
    source = GeneratorSource(replace(REAL_TIME, records=50), clock)
    for _ in source.history():
        pass
    clock.now += timedelta(minutes=10)
    batches = source.batches(0)
    waiting = asyncio.ensure_future(anext(batches))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    clock.now += timedelta(seconds=1)
    first = decoded((await waiting).records)[0]
    assert first.transaction.timestamp > START + timedelta(minutes=10)


async def test_a_resumed_stream_of_the_same_source_repeats_its_records_and_times() -> None:
    clock = LeapingClock()
    source = GeneratorSource(replace(REAL_TIME, records=600), clock)
    whole = await handed_over(source)
    assert await handed_over(source, 250) == whole[250:]


async def test_a_stream_resumed_in_real_time_goes_on_now() -> None:
    """Not after the time that the records before took."""
    clock = Clock()
    batches = GeneratorSource(REAL_TIME, clock).batches(3_000)
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    clock.now += timedelta(seconds=30)
    batch = await waiting
    assert batch.first_offset == 3_000
    await batches.aclose()


@pytest.mark.parametrize("rate", [None, 0.001, 1e9], ids=["as drawn", "idle", "faster than can be drawn"])
async def test_a_reader_can_be_stopped_at_any_time(rate: float | None) -> None:
    clock = Clock()
    source = GeneratorSource(replace(REAL_TIME, rate=rate), clock)

    async def read() -> None:
        async for _ in source.batches(0):
            clock.now += timedelta(seconds=1 if rate == 1e9 else 0)

    reading = asyncio.ensure_future(read())
    for _ in range(5):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(reading, 20)


async def test_a_reader_can_be_stopped_while_a_far_offset_is_looked_for() -> None:
    reading = asyncio.ensure_future(anext(GeneratorSource(replace(REAL_TIME, rate=None)).batches(10**12)))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(reading, 20)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": -1}, "seed"),
        ({"start": datetime(2026, 1, 5)}, "start"),  # noqa: DTZ001 - a naive time is what is refused
        ({"start": datetime(1970, 1, 5, tzinfo=UTC)}, "start"),
        ({"start": datetime(2199, 1, 5, tzinfo=UTC)}, "start"),
        ({"cards": 99}, "cards"),
        ({"rate": 0.0}, "rate"),
        ({"rate": -1.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"records": -1}, "records"),
        ({"records": 0}, "records"),
        ({"history_per_card": -1}, "history_per_card"),
        ({"fraud_probability": -0.1}, "FRAUD_PROBABILITY"),
        ({"fraud_probability": 0.51}, "FRAUD_PROBABILITY"),
        ({"velocity_attack_probability": float("nan")}, "VELOCITY_ATTACK_PROBABILITY"),
        ({"malformed_probability": 1.0}, "MALFORMED_PROBABILITY"),
        ({"fraud_probability": 0.5, "velocity_attack_probability": 0.5}, "FRAUD_PROBABILITY"),
    ],
)
def test_a_bad_number_is_refused_by_its_name(change: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=rf"^{name}\b"):
        replace(SMALL, **change)
