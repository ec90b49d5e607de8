"""The pipeline: batches from a source, decoded, scored and committed, until the source ends or a stop is asked for."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from data.batches import BatchResult, Commit, DeadLetter, KnownTransaction
from data.engine_writes import EngineWriter, PositionConflictError
from data.errors import StoreError
from data.models import DeadLetterReason, RiskLevel
from data.queries import recovery
from data.timestamps import from_microseconds, to_microseconds
from engine import checkpoint, memory
from engine.decode import Decoded, Decoder, Rejection
from engine.drift import DriftAlarm
from engine.following import Follower
from engine.label_intake import LabelIntake
from engine.latency import LatencyRecorder
from engine.messages import EngineSnapshot, EngineState, SnapshotQueue
from engine.records import Batch, Source
from engine.review_sample import review_sample
from engine.scorer import ScoredBatch, Scorer
from engine.sealed import CheckpointError

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = 50_000
SNAPSHOT_INTERVAL_S = 0.25
STOP_POLL_S = 0.25
RATE_WINDOW_S = 5.0
LONGEST_RETRY_S = 10.0
RECOVERY_CHUNK = 1_000
FUTURE_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The wall clock (aware, UTC) and the monotonic clock (seconds); injected, so that tests stand still."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What one run did; ``seconds`` is from its first batch's arrival to its last commit."""

    records: int
    transactions: int
    seconds: float
    latency_ms: tuple[float | None, float | None, float | None]
    places_unreliable: bool


@dataclass(slots=True)
class _Progress:
    records: int = 0
    transactions: int = 0
    alerts: int = 0
    critical_alerts: int = 0
    cases_opened: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    late: int = 0
    first_arrival: float | None = None
    last_commit: float = 0.0


class Pipeline:
    """Runs one source through the scorer into the store. Belongs to one thread and one event loop.

    ``refuse_future`` sets records aside that are dated more than five minutes after the wall clock; a simulation that
    has an event time of its own turns it off. Where there is a ``follower``, what analysts decide meanwhile is taken in
    between two batches. Of the transactions without an alert, a ``review_share`` (0 to 1) is drawn for review.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        scorer: Scorer,
        writer: EngineWriter,
        clocks: Clocks,
        snapshots: SnapshotQueue,
        *,
        follower: Follower | None = None,
        refuse_future: bool = True,
        review_share: float = 0.0,
        checkpoint_every: int = CHECKPOINT_EVERY,
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._scorer = scorer
        self._writer = writer
        self._clocks = clocks
        self._snapshots = snapshots
        self._follower = follower
        self._refuse_future = refuse_future
        self._review_share = review_share
        self._checkpoint_every = checkpoint_every
        self._since_checkpoint = 0
        self._stop = threading.Event()
        self._progress = _Progress()
        self._latency = LatencyRecorder()
        self._recent: list[tuple[float, int]] = []
        self._last_snapshot = 0.0
        self._trouble: str | None = None
        self._ahead = False
        """Whether the memory holds something that is not stored yet."""
        self._drift = DriftAlarm(writer.connection)

    def stop(self) -> None:
        """Ask the run to end after the batch at hand; safe from any thread."""
        self._stop.set()

    async def run(self) -> RunTotals:
        """Score until the source ends or a stop is asked for, then save a checkpoint.

        Raises:
            SourceError: the source cannot be read on; what came before is stored.
            StoreError: the database refused for good; what came before is stored.
        """
        card = self._scorer.model.card
        self._writer.serve_model(card.version, card.model_dump_json(), self._clocks.now())
        self._drift.look()
        start = recovery.next_offset(self._writer.connection, self._source.name, self._source.partition)
        self._publish(EngineState.RUNNING, force=True)
        try:
            async with aclosing(self._source.batches(start)) as batches:
                while (batch := await self._next_batch(batches)) is not None:
                    await self._process(batch)
                    self._publish(EngineState.RUNNING)
        finally:
            self._save_checkpoint()
        self._drift.look()
        self._publish(EngineState.FINISHED, force=True)
        return self._totals()

    async def _next_batch(self, batches: AsyncGenerator[Batch]) -> Batch | None:
        """The next batch, or None at the end of the source or soon after a stop was asked for."""
        arriving = asyncio.ensure_future(anext(batches, None))
        while not self._stop.is_set():
            await asyncio.wait({arriving}, timeout=STOP_POLL_S)
            if arriving.done():
                return arriving.result()
            self._publish(EngineState.RUNNING)
        arriving.cancel()
        with suppress(asyncio.CancelledError):
            await arriving
        return None

    async def _process(self, batch: Batch) -> None:
        if self._progress.first_arrival is None:
            self._progress.first_arrival = batch.received_at
        accepted, dead_letters, duplicates = self._admit(batch)
        self._ahead = True
        taken_in = self._follower.follow() if accepted and self._follower is not None else None
        scored = self._scorer.score(accepted)
        self._since_checkpoint += len(accepted)
        due = self._since_checkpoint >= self._checkpoint_every
        result = BatchResult(
            source=self._source.name,
            partition=self._source.partition,
            first_offset=batch.first_offset,
            next_offset=batch.next_offset,
            watermark=self._scorer.state.watermark or None,
            transactions=scored.transactions,
            alerts=scored.alerts,
            dead_letters=dead_letters,
            duplicates=duplicates,
            rule_hits=scored.rule_hits,
            drift=scored.drift,
            latency_us=round((self._clocks.monotonic() - batch.received_at) * 1_000_000),
            checkpoint=self._dump() if due else None,
            taken_in=taken_in,
            review_sample=review_sample(scored.transactions, self._review_share),
        )
        commit = await self._commit(result)
        self._ahead = False
        if due:
            self._since_checkpoint = 0
        self._drift.follow(result.drift)
        self._count(batch, result, scored, commit)

    def _admit(self, batch: Batch) -> tuple[list[Decoded], list[DeadLetter], int]:
        """Tell records to score from dead letters and from repetitions of what is stored or came before."""
        decoded: list[tuple[int, bytes, Decoded]] = []
        dead_letters: list[DeadLetter] = []
        latest = to_microseconds(self._clocks.now() + FUTURE_TOLERANCE) if self._refuse_future else None
        for offset, raw in enumerate(batch.records, start=batch.first_offset):
            outcome = self._decoder.decode(raw)
            if isinstance(outcome, Rejection):
                dead_letters.append(DeadLetter(offset, outcome.reason, outcome.detail, raw))
            elif latest is not None and outcome.transaction.event_time > latest:
                dead_letters.append(self._future_dated(offset, raw, outcome))
            else:
                decoded.append((offset, raw, outcome))

        known = self._writer.known_transactions([each.transaction.transaction_id for _, _, each in decoded])
        accepted: list[Decoded] = []
        duplicates = 0
        for offset, raw, each in decoded:
            transaction = each.transaction
            fields = KnownTransaction(
                transaction.card_id, transaction.amount_minor, transaction.event_time, transaction.merchant_id
            )
            stored = known.setdefault(transaction.transaction_id, fields)
            if stored is fields:
                accepted.append(each)
            elif stored == fields:
                duplicates += 1
            else:
                detail = f"transaction_id {transaction.transaction_id[:64]!r} is already stored with other values"
                dead_letters.append(DeadLetter(offset, DeadLetterReason.ID_CONFLICT, detail, raw))
        return accepted, dead_letters, duplicates

    def _future_dated(self, offset: int, raw: bytes, outcome: Decoded) -> DeadLetter:
        detail = (
            f"timestamp {outcome.transaction.timestamp.isoformat()} is more than 5 minutes after "
            f"this machine's clock, {self._clocks.now().isoformat(timespec='seconds')}"
        )
        return DeadLetter(offset, DeadLetterReason.FUTURE_DATED, detail, raw)

    async def _commit(self, result: BatchResult) -> Commit:
        """Commit, trying again for as long as the disk or another writer stands in the way and no stop is asked for."""
        delay = 0.25
        while True:
            try:
                commit = self._writer.commit(result, self._clocks.now())
            except PositionConflictError:
                raise
            except StoreError as error:
                if self._stop.is_set():
                    raise
                self._trouble = f"{error}; trying again every few seconds"
                self._publish(EngineState.RUNNING, force=True)
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_RETRY_S)
            else:
                self._trouble = None
                return commit

    def _count(self, batch: Batch, result: BatchResult, scored: ScoredBatch, commit: Commit) -> None:
        progress = self._progress
        progress.records += len(batch.records)
        progress.transactions += len(result.transactions)
        progress.alerts += len(scored.alerts)
        progress.critical_alerts += sum(alert.level is RiskLevel.CRITICAL for alert in scored.alerts)
        progress.cases_opened += commit.cases_opened
        progress.dead_letters += len(result.dead_letters)
        progress.duplicates += result.duplicates
        progress.late += sum(row.late for row in result.transactions)
        progress.last_commit = self._clocks.monotonic()
        self._latency.add((progress.last_commit - batch.received_at) * 1000.0, len(result.transactions))
        self._recent.append((progress.last_commit, len(batch.records)))

    def _dump(self) -> bytes:
        return memory.dump(self._scorer.state, self._scorer.learning)

    def _save_checkpoint(self) -> None:
        """Save the state if every batch it has seen is stored; otherwise recovery replays what is stored."""
        if self._since_checkpoint and not self._ahead:
            seq = recovery.last_seq(self._writer.connection)
            self._writer.save_checkpoint(seq, self._dump(), self._clocks.now())

    def _publish(self, state: EngineState, *, force: bool = False) -> None:
        now = self._clocks.monotonic()
        if not force and now - self._last_snapshot < SNAPSHOT_INTERVAL_S:
            return
        self._last_snapshot = now
        progress = self._progress
        p50, p95, p99 = self._latency.recent(0.50, 0.95, 0.99)
        watermark = self._scorer.state.watermark
        self._snapshots.put(
            EngineSnapshot(
                state=state,
                source=self._source.name,
                watermark=from_microseconds(watermark) if watermark else None,
                records=progress.records,
                transactions=progress.transactions,
                alerts=progress.alerts,
                critical_alerts=progress.critical_alerts,
                cases_opened=progress.cases_opened,
                dead_letters=progress.dead_letters,
                duplicates=progress.duplicates,
                rate=self._rate(now),
                latency_p50=p50,
                latency_p95=p95,
                latency_p99=p99,
                fraction_done=self._source.fraction_read,
                notice=self._trouble or self._notice(),
            )
        )

    def _rate(self, now: float) -> float:
        """Records per second over the last few seconds."""
        horizon = now - RATE_WINDOW_S
        self._recent = [each for each in self._recent if each[0] > horizon]
        first = self._progress.first_arrival
        if first is None or not self._recent:
            return 0.0
        return sum(count for _, count in self._recent) / max(min(RATE_WINDOW_S, now - first), 0.001)

    def _notice(self) -> str | None:
        if self._scorer.state.places_unreliable:
            share = self._scorer.state.impossible_share
            return (
                f"{share:.0%} of journeys are impossible: the places of this source are not where the cards are, "
                "so travel and distance are left out of scoring"
            )
        if self._progress.late > self._progress.transactions / 2:
            return (
                "most transactions are older than what this database has seen, and enter no window: "
                "score another period into a database of its own (--database)"
            )
        return self._scorer.learning.problem or self._drift.notice

    def _totals(self) -> RunTotals:
        progress = self._progress
        started = progress.last_commit if progress.first_arrival is None else progress.first_arrival
        p50, p95, p99 = self._latency.whole(0.50, 0.95, 0.99)
        return RunTotals(
            records=progress.records,
            transactions=progress.transactions,
            seconds=progress.last_commit - started,
            latency_ms=(p50, p95, p99),
            places_unreliable=self._scorer.state.places_unreliable,
        )


def recover(scorer: Scorer, writer: EngineWriter, progress: Callable[[float], None] = lambda _: None) -> int:
    """Bring an empty scorer's state to what it was after the last stored transaction.

    ``progress`` is told the share done, from 0 to 1.

    Returns:
        How many stored transactions were read again, on top of the checkpoint.
    """
    seq = _restore(scorer, writer)
    expected = max(recovery.last_seq(writer.connection) - seq, 1)
    replayed = 0
    intake = LabelIntake(writer.connection, scorer.learning, scorer.reader)
    for chunk in intake.interleaved(seq, RECOVERY_CHUNK):
        scorer.learn(chunk)
        replayed += len(chunk)
        progress(replayed / expected)
    return replayed


def _restore(scorer: Scorer, writer: EngineWriter) -> int:
    """Load the checkpoint, or else what the engine knew before the first transaction; the last one it contains."""
    saved = recovery.checkpoint(writer.connection)
    if saved is not None:
        try:
            memory.load(saved[1], scorer.state, scorer.learning)
        except CheckpointError as error:
            log.warning("%s: the memory is rebuilt from stored transactions", error)
        else:
            return saved[0]
    origin = recovery.origin(writer.connection)
    if origin is not None:
        try:
            checkpoint.load(origin, scorer.state)
        except CheckpointError as error:
            log.warning("%s: the history before the first transaction is lost", error)
    return 0
