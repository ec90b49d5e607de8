"""Wiring of a backtest: the engine's own model, rules and thresholds around a file, and nothing stored."""

import asyncio
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from data.models import Rule
from data.queries import recovery
from data.store import Store
from engine.backtest import BacktestResult, judge, last_needed
from engine.backtest_plan import BacktestPlan
from engine.backtest_replay import Replay
from engine.decode import Decoder
from engine.features import EventReader
from engine.gazetteer import Gazetteer
from engine.messages import EngineSnapshot, EngineState, SnapshotQueue
from engine.pipeline import Clocks
from engine.records import Source
from sentinel_tui.runtime import StoppedError, load_or_train, new_scorer, thresholds_of
from sentinel_tui.settings import Settings, data_folder


@dataclass(frozen=True, slots=True)
class TimedResult:
    """A backtest's result, and the seconds from its start to its last figure."""

    result: BacktestResult
    seconds: float


class BacktestRun:
    """One backtest. ``run`` blocks its thread; ``stop`` may come from any other."""

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        label: str,
        plan: BacktestPlan,
        settings: Settings,
        clocks: Clocks,
        snapshots: SnapshotQueue,
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._label = label
        self._plan = plan
        self._settings = settings
        self._clocks = clocks
        self._snapshots = snapshots
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the run to end soon."""
        self._stopping.set()

    def run(self) -> TimedResult | None:
        """Prepare the model, replay and judge.

        Returns:
            The figures, or None when a stop came first.

        Raises:
            SentinelError: what went wrong and what to do.
        """
        started = self._clocks.monotonic()
        try:
            rows = asyncio.run(self._replay().run(last_needed(self._plan)))
            result = judge(
                rows,
                self._plan,
                thresholds_of(self._settings),
                self._clocks.now(),
                # How long the training takes is not known.
                lambda: self._report(EngineState.RUNNING, None, rows.counts.records),
            )
        except StoppedError:
            return None
        return TimedResult(result, self._clocks.monotonic() - started)

    def _replay(self) -> Replay:
        rules = default_rules()
        gazetteer = Gazetteer()
        path = self._settings.MODEL_PATH or data_folder() / "model.npz"
        model = load_or_train(
            path,
            self._settings,
            rules,
            gazetteer,
            self._clocks.now(),
            lambda share: self._report(EngineState.TRAINING, share, 0),
        )
        reader = EventReader(gazetteer)
        return Replay(
            self._source,
            self._decoder,
            new_scorer(self._settings, rules, reader, model),
            reader,
            self._label,
            lambda share, records: self._report(EngineState.RUNNING, share, records),
            for_ranker=not self._plan.cold,
        )

    def _report(self, state: EngineState, share: float | None, records: int) -> None:
        if self._stopping.is_set():
            raise StoppedError
        self._snapshots.put(EngineSnapshot(state, self._source.name, records=records, fraction_done=share))


def default_rules() -> tuple[Rule, ...]:
    """The rules that a new database starts with."""
    with TemporaryDirectory(prefix="sentinel-backtest-") as folder:
        store = Store.open(Path(folder) / "rules.db")
        with closing(store.reader()) as reader:
            return recovery.rules(reader)
