"""Between two batches, the engine takes in what was decided meanwhile: labels, and the models in the two roles."""

import logging
from collections.abc import Callable

from data.batches import TakenIn
from data.engine_writes import EngineWriter
from data.errors import ModelError
from data.model_registry import RegisteredModel, RoleHolders, holders, holders_at, latest_role_id
from data.queries import recovery
from engine.features import EventReader
from engine.label_intake import UNKNOWN_RATIO, LabelIntake
from engine.learning import Learning, Rankers
from engine.ranker import Ranker
from engine.sealed import CheckpointError

log = logging.getLogger(__name__)

LoadRanker = Callable[[RegisteredModel], Ranker]
"""Reads the file of a model; raises ``ModelError`` where it cannot serve."""


class Follower:
    """Belongs to the engine's thread; reads on the writer's own connection, so that it sees each commit once."""

    def __init__(self, writer: EngineWriter, learning: Learning, reader: EventReader, load_ranker: LoadRanker) -> None:
        self._writer = writer
        self._learning = learning
        self._reader = reader
        self._load_ranker = load_ranker
        self._intake = LabelIntake(writer.connection, learning, reader)
        self._seen_version: int | None = None
        self._held = RoleHolders(None, None)

    def resume(self) -> None:
        """After a restart: let those models serve that served at the last stored transaction."""
        connection = self._writer.connection
        self._serve(holders_at(connection, recovery.last_seq(connection) + 1))

    def follow(self) -> TakenIn | None:
        """Take in everything that is new; None where nothing was written by anybody else since the last time.

        A transaction must be scored and stored before the next time, because it is by transactions that the store
        says when something was taken in.
        """
        version = self._writer.data_version()
        if version == self._seen_version:
            return None
        self._seen_version = version
        connection = self._writer.connection
        label_id = self._intake.take(recovery.labels_to_apply(connection), recovery.last_seq(connection))
        role_id = latest_role_id(connection)
        self._serve(holders(connection))
        return TakenIn(label_id, role_id)

    def _serve(self, held: RoleHolders) -> None:
        if held == self._held:
            return
        self._held = held
        self._learning.problem = None
        rankers = Rankers(*(None if model is None else self._loaded(model) for model in held))
        if rankers != Rankers() and self._learning.history is None:
            self._remember_cards()
        self._learning.rankers = rankers
        log.info("models that serve: %s", [None if model is None else model.version for model in held])

    def _loaded(self, model: RegisteredModel) -> Ranker | None:
        try:
            return self._load_ranker(model)
        except (ModelError, FileNotFoundError) as error:
            self._learning.problem = (
                f"model {model.version} does not serve ({error}): the anomaly model decides in its place; "
                "train another with `sentinel-tui model train`, or roll back"
            )
            log.error("%s", self._learning.problem)
            return None

    def _remember_cards(self) -> None:
        """Begin the history of cards with what the training had read, and read what has been stored since."""
        connection = self._writer.connection
        seq, dumped = recovery.ranker_memory(connection) or (0, None)
        try:
            self._learning.begin_history(dumped)
        except CheckpointError as error:
            log.warning("%s: the history of cards is rebuilt from stored transactions", error)
            self._learning.begin_history(None)
            seq = 0
        for stored in recovery.events_after(connection, seq):
            if not stored.late:
                event = self._reader.of_stored(stored)
                self._learning.catch_up(event, stored.amount_ratio or UNKNOWN_RATIO)
