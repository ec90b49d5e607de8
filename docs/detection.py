"""Measures detection as the handbook's published tables do; writes detection.md and detection.svg.

Takes a file in the handbook's columns, and some minutes.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from detection_comparison import compare, targets
from detection_plot import draw
from detection_report import document

from data.errors import SentinelError
from engine.gazetteer import Gazetteer
from engine.model import AnomalyModel
from sentinel_tui.backtest_run import default_rules
from sentinel_tui.runtime import load_or_train
from sentinel_tui.settings import Settings

REVIEW_COST = 10.0
FAILURE = 2


def cold_model(path: Path | None, now: datetime) -> AnomalyModel:
    """The model of a file, or the one that a new installation trains."""
    with TemporaryDirectory(prefix="sentinel-detection-") as folder:
        trained = Path(folder) / "model.npz"
        return load_or_train(path or trained, Settings(), default_rules(), Gazetteer(), now, lambda share: None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", type=Path, help="an Isolation Forest of the engine; without it, one is trained")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    parser.add_argument("--review-cost", type=float, default=REVIEW_COST, help="of one review, in currency units")
    arguments = parser.parse_args()
    try:
        now = datetime.now(UTC)
        found = compare(arguments.file, cold_model(arguments.model, now), arguments.review_cost, now)
    except SentinelError as error:
        print(f"detection: {error}", file=sys.stderr)
        return FAILURE
    text = document(found)
    (arguments.folder / "detection.md").write_text(text, encoding="utf-8")
    draw(found, arguments.folder / "detection.svg")
    print(text, end="")
    return 0 if all(each.reached for each in targets(found)) else 1


if __name__ == "__main__":
    sys.exit(main())
