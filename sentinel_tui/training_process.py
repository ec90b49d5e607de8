"""A training in a process of its own, so that it does not fight the engine for the interpreter: both ends of it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from data.errors import SentinelError
from screens.figures import measure

NICENESS: Final = 10
_FAILURE: Final = "sentinel-tui: "
_CHARACTERS_OF_A_FAILURE: Final = 300


class TrainingFailedError(SentinelError):
    """The process that trained did not come to a model; says why."""


@dataclass(frozen=True, slots=True)
class NewChallenger:
    """What a training came to; the average precisions are its trial's, None where there was none."""

    version: str
    average_precision: float | None
    decided_then: float | None

    @property
    def words(self) -> str:
        """The model and its trial, as one clause."""
        if self.average_precision is None:
            return f"{self.version}, without a trial"
        return (
            f"{self.version}, average precision {measure(self.average_precision)} on its trial's days, "
            f"where {measure(self.decided_then)} was reached then"
        )


class TrainingProcess:
    """One training, which ends when ``stop`` is called or this process does, however that ends.

    ``environment`` overrides settings; it is handed on unseen by other users, as arguments would not be.
    """

    def __init__(self, database: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this program itself, and the path is one argument
            [
                sys.executable, "-m", "sentinel_tui", "model", "train", "--json", "--supervised",
                "--database", str(database),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **environment},
            start_new_session=True,
        )  # fmt: skip

    def stop(self) -> None:
        """End it at once; safe from any thread. A model is entered in one transaction, or not at all."""
        self._process.kill()

    def wait(self, report: Callable[[float], None]) -> NewChallenger:
        """Wait for its end; ``report`` is told the share done.

        Raises:
            TrainingFailedError: it came to no model; says why in one line.
        """
        complaint = ""
        with self._process as process:
            if process.stderr is None or process.stdout is None:
                raise RuntimeError("the training was started without pipes")
            for line in process.stderr:
                try:
                    report(float(line))
                except ValueError:
                    complaint = line.strip() or complaint
            printed = process.stdout.read()
        if process.returncode:
            reason = complaint or f"it was ended by signal {-process.returncode}"
            raise TrainingFailedError(reason.removeprefix(_FAILURE)[:_CHARACTERS_OF_A_FAILURE])
        return _challenger(printed)


def _challenger(printed: str) -> NewChallenger:
    trained = orjson.loads(printed)
    trial = trained["trial"] or {"challenger": {}, "champion": {}}
    return NewChallenger(
        trained["version"], *(trial[side].get("average_precision") for side in ("challenger", "champion"))
    )


def serve_supervisor() -> None:
    """Give way to everything else on this machine, and end with the process that started this one.

    The supervisor keeps standard input open as long as it lives, so that even its sudden death ends this process.
    """
    os.nice(NICENESS)

    def end_with_it() -> None:
        # Not by sys.stdin, whose lock the interpreter could then not have when it shuts down.
        while os.read(0, 4_096):
            pass
        os._exit(1)

    threading.Thread(target=end_with_it, name="supervisor", daemon=True).start()


def tell_supervisor(share: float) -> None:
    """Tell the share done."""
    print(f"{share:.3f}", file=sys.stderr, flush=True)
