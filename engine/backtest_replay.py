"""The replay of a backtest: a source in event time through the scorer that serves, once for all plans."""

from collections.abc import Callable, Sequence
from contextlib import aclosing

from data.batches import ScoredTransaction
from data.errors import SettingError
from data.models import DeadLetterReason
from engine.backtest_rows import ReplayedRows
from engine.card_history import HistoryState
from engine.decode import Decoded, Decoder, Rejection
from engine.features import EventReader
from engine.records import Batch, Source
from engine.rules import RuleHit
from engine.scorer import Scorer


class Replay:
    """Reads a source through a scorer. Belongs to one thread and one event loop.

    ``scorer`` must be fresh, and is used up. ``label`` is the name of the column of ground truth, for messages.
    ``report`` is told, after each batch, the share of the source read where it has an end, and the records read; what
    it raises ends the run.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        scorer: Scorer,
        reader: EventReader,
        label: str,
        report: Callable[[float | None, int], None],
        *,
        for_ranker: bool,
    ) -> None:
        """``for_ranker`` keeps the features that a ranker is trained on; a cold plan needs none."""
        self._source = source
        self._decoder = decoder
        self._scorer = scorer
        self._reader = reader
        self._report = report
        self._history = HistoryState() if for_ranker else None
        self._seen: set[str] = set()
        self._rows = ReplayedRows(label)

    async def run(self, until: int | None = None) -> ReplayedRows:
        """Replay the source to its end, or until the watermark is at ``until``, in microseconds since the epoch.

        Raises:
            SourceError: the source cannot be read to its end.
            SettingError: the label column holds something else than 0 and 1.
        """
        async with aclosing(self._source.batches(0)) as batches:
            async for batch in batches:
                self._replay(batch)
                self._report(self._source.fraction_read, self._rows.counts.records)
                if until is not None and self._scorer.state.watermark >= until:
                    break
        return self._rows

    def _replay(self, batch: Batch) -> None:
        accepted = self._admit(batch)
        scored = self._scorer.score(accepted)
        features: list[list[float]] = scored.features.tolist()
        for decoded, row, own, hits in zip(accepted, scored.transactions, features, scored.hits, strict=True):
            self._record(decoded, row, own, hits)

    def _admit(self, batch: Batch) -> list[Decoded]:
        """The transactions to score: each id once, as where they are stored."""
        counts = self._rows.counts
        accepted: list[Decoded] = []
        counts.records += len(batch.records)
        for raw in batch.records:
            outcome = self._decoder.decode(raw)
            if isinstance(outcome, Rejection):
                self._refuse_other_labels(outcome)
                counts.dead_letters += 1
            elif outcome.transaction.transaction_id in self._seen:
                counts.duplicates += 1
            else:
                self._seen.add(outcome.transaction.transaction_id)
                accepted.append(outcome)
        return accepted

    def _refuse_other_labels(self, rejection: Rejection) -> None:
        label = self._rows.label_column
        if rejection.reason is DeadLetterReason.INVALID_FIELD and rejection.detail.startswith(f"{label} "):
            raise SettingError(f"--label {rejection.detail}: name the column of ground truth")

    def _record(
        self, decoded: Decoded, row: ScoredTransaction, own: Sequence[float], hits: tuple[RuleHit, ...]
    ) -> None:
        if row.late:
            self._rows.counts.late += 1
            return
        if decoded.is_fraud is None:
            self._rows.counts.unlabelled += 1
        event = self._reader.of_transaction(decoded.transaction)
        features = () if self._history is None else (*own, *self._history.observe(event, own))
        self._rows.add(
            event, decoded.is_fraud, decoded.scenario, (row.score, row.model_score), row.velocity, features, hits
        )
