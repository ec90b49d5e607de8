"""A bar for each of the last days."""

from collections.abc import Sequence
from math import ceil

from textual.app import RenderResult
from textual.color import Color
from textual.content import Content
from textual_plotext import PlotextPlot

from screens.figures import integer

AXIS_CELLS = 8
CELLS_PER_LABEL = 4


class DayBars(PlotextPlot):
    """Bars over days, plotted only when their values change. ``colour`` is the name of a theme variable."""

    def __init__(self, colour: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._colour = colour
        self._bars: tuple[tuple[str, float], ...] = ()

    def show(self, labels: Sequence[str], values: Sequence[float]) -> None:
        """Show other values, one for each label."""
        bars = tuple(zip(labels, values, strict=True))
        if bars != self._bars:
            self._bars = bars
            self._plot_bars()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self._plot_bars())

    def on_resize(self) -> None:
        self._plot_bars()

    def render(self) -> RenderResult:
        """The plot, or nothing while there is none."""
        return super().render() if self._bars else Content("")

    def _label_step(self) -> int:
        """Every how many days one is named. Where names would touch, plotext leaves out some at random."""
        return ceil(CELLS_PER_LABEL / self._cells_per_day())

    def _cells_per_day(self) -> float:
        return max(1, self.size.width - AXIS_CELLS) / len(self._bars)

    def _plot_bars(self) -> None:
        if not self._bars:
            return
        positions = list(range(len(self._bars)))
        highest = max(1.0, *(value for _, value in self._bars))
        self.plt.clear_data()
        self.plt.bar(
            positions,
            [value for _, value in self._bars],
            color=Color.parse(self.app.theme_variables[self._colour]).rgb,
            width=0.5 if self._cells_per_day() > CELLS_PER_LABEL - 1 else 0.1,
        )
        named = positions[:: -self._label_step()]
        self.plt.xticks([float(position) for position in named], [self._bars[position][0] for position in named])
        self.plt.xaxes(True, False)
        self.plt.yaxes(True, False)
        self.plt.ylim(0, highest)
        self.plt.yticks([0.0, highest / 2, highest], [integer(round(part * highest)) for part in (0.0, 0.5, 1.0)])
        self.refresh()
