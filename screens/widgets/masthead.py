"""The top of every screen: where the analyst is, and what is most pressing."""

from textual.content import Content
from textual.widgets import Static

from data.models import RiskLevel
from engine.messages import TrainingState
from screens import safe
from screens.actions import MODES
from screens.figures import integer
from screens.tones import LEVEL_GLYPHS
from screens.widgets.panel import Block
from screens.workbench import Workbench


class Masthead(Static):
    """The top-level screens with their keys, the one on show marked, and the count of unreviewed critical alerts."""

    def __init__(self, workbench: Workbench, mode: str) -> None:
        super().__init__()
        self._workbench = workbench
        self._mode = mode
        self._shown: tuple[int, int | None, int] | None = None

    def on_resize(self) -> None:
        self.refresh_badge()

    def refresh_badge(self) -> None:
        """Draw it again if the count, the training or the width has changed."""
        state = (self._workbench.critical_unreviewed, self._trained_percent(), self.size.width)
        if state == self._shown or not self.size.width:
            return
        self._shown = state
        badge = self._badge(state[0])
        tabs = self._tabs(" ")
        if tabs.cell_length + badge.cell_length >= self.size.width:
            tabs = self._tabs("")
        space = max(1, self.size.width - tabs.cell_length - badge.cell_length)
        training = self._training(state[1], space - 1)
        self.update(Content.assemble(tabs, " " * (space - training.cell_length), training, badge))

    def _tabs(self, margin: str) -> Content:
        """The screens side by side, each with a margin on both sides."""
        return Content(" ").join(
            [self._tab(f"{margin}{key} {title}{margin}", name) for key, (name, title, _) in enumerate(MODES, start=1)]
        )

    def _tab(self, label: str, name: str) -> Content:
        if name == self._mode:
            return Content.styled(label, "bold $background on $primary")
        return Content.from_markup(f"[@click=app.show_screen('{name}')]{label}[/]")

    def _trained_percent(self) -> int | None:
        training = self._workbench.training
        if training is None or training.state is not TrainingState.RUNNING:
            return None
        return int(100 * training.fraction_done)

    def _training(self, percent: int | None, room: int) -> Content:
        """How far a training in the background has come, in words where there is room, or not at all."""
        if percent is None:
            return Content()
        said = (safe.text(text, "$text-warning") for text in (f"◐ training {percent} %  ", f"◐ {percent}% "))
        return next((text for text in said if text.cell_length <= room), Content())

    def _badge(self, critical: int) -> Content:
        glyph = LEVEL_GLYPHS[RiskLevel.CRITICAL]
        style = "bold $text-error" if critical else "$foreground 65%"
        return safe.text(f"{glyph} {integer(critical)} critical ", style)


class Banner(Block):
    """One line that appears when something is wrong and says what to do; it takes no room otherwise."""

    def warn(self, warning: str | None) -> None:
        """Show a warning, or nothing."""
        self.set_class(warning is not None, "-shown")
        self.show(Content() if warning is None else safe.text(f"! {warning}"))
