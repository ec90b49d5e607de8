"""The comparison's plot; the same figures give the same bytes."""

from pathlib import Path
from statistics import mean
from typing import Any, Final

import matplotlib as mpl
from detection_comparison import Comparison
from detection_systems import System
from matplotlib.figure import Figure

SIZE_INCHES: Final = (9.0, 6.4)
LOOKS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "detection",
    "font.family": "sans-serif",
    "font.size": 9,
}
"""Text stays text, so that the file is small and its changes can be read."""
INK: Final = "#3b6ea5"
PALE: Final = "#9aa5b1"


def draw(found: Comparison, file: Path) -> None:
    """Average precision of each system, in each run and in the mean; and day by day after the first label."""
    with mpl.rc_context(LOOKS):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=(3, 2))
        shown = [system for system in reversed(System) if system is not System.PERFECT]
        for place, system in enumerate(shown):
            values = [figures[system].average_precision for figures in found.figures]
            centre = mean(values)
            low, high = found.sampled.interval(system)
            above.plot(values, [place] * len(values), "o", color=PALE, markersize=4, zorder=2)
            above.plot([low, high], [place, place], "-", color=INK, linewidth=2, zorder=3)
            above.plot([centre], [place], "D", color=INK, markersize=6, zorder=4)
            rightmost = max(high, *values)
            above.annotate(f"{centre:.3f}", (rightmost, place), (8, 0), textcoords="offset points", va="center")
        above.set_yticks(range(len(shown)), [system.value for system in shown])
        above.set_xlim(0, 1)
        above.set_xlabel("average precision: each test week, their mean, and its 95 % interval by card")
        days = [f"{each.day:%d}" for each in found.prior]
        cold, prior = [each.cold or 0.0 for each in found.prior], [each.with_prior or 0.0 for each in found.prior]
        below.plot(days, cold, "o-", color=PALE, label="cold score")
        below.plot(days, prior, "o-", color=INK, label="with known frauds")
        below.set_ylim(bottom=0)
        below.set_xlabel("day of the month, from the first known fraud on")
        below.set_ylabel("average precision")
        below.legend(frameon=False)
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="x" if axes is above else "y", alpha=0.3)
        figure.savefig(file, metadata={"Date": None})
