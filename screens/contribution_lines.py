"""What a model's score is made of, as lines that add up as they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.models import Alert, Contribution, RankedEvidence
from engine.ranker_titles import RANKER_FEATURES
from engine.scoring import RANKED_CODE
from screens import figures
from screens.tones import Tone
from screens.widgets.columns import Cell, Column

STRONGEST = 5
PLACES = 3
BAR_CELLS = 12
SHORT_BAR_CELLS = 5
NOTHING_UNUSUAL = "The model found nothing unusual; the rules above raised this alert."
_FEATURES = {feature.name: feature for feature in RANKER_FEATURES}


@dataclass(frozen=True, slots=True)
class Total:
    """What contributions add up to, and what that is called; ``base`` is there before any feature."""

    base: float
    score: float
    title: str


@dataclass(frozen=True, slots=True)
class ContributionLine:
    """One line: what it is, the figure to add, and its size as a part of the largest one."""

    title: str
    share: str
    value: str = ""
    usual: str = ""
    part: float = 0.0
    tone: Tone = Tone.PLAIN
    bar_tone: Tone = Tone.BAR


CONTRIBUTION_COLUMNS: tuple[Column[ContributionLine], ...] = (
    Column("Feature", 20, lambda each: Cell(each.title, each.tone), grow=1),
    Column("Value", 13, lambda each: Cell(each.value, Tone.STRONG), right=True),
    Column("Usual", 11, lambda each: Cell(each.usual, Tone.MUTED), right=True),
    Column("Adds", 6, lambda each: Cell(each.share, each.tone), right=True),
    Column("", BAR_CELLS, lambda each: Cell(figures.bar(each.part, BAR_CELLS), each.bar_tone), rank=1),
)
RANKED_COLUMNS: tuple[Column[ContributionLine], ...] = (
    Column("Feature", 48, lambda each: Cell(each.title, each.tone), grow=1),
    Column("Value", 14, lambda each: Cell(each.value, Tone.STRONG), right=True),
    Column("Adds", 7, lambda each: Cell(each.share, each.tone), right=True),
    Column("", SHORT_BAR_CELLS, lambda each: Cell(figures.bar(each.part, SHORT_BAR_CELLS), each.bar_tone), rank=1),
)
"""The supervised model compares with no usual value, so that all titles fit 80 cells."""


def _deciding(alert: Alert) -> RankedEvidence | None:
    """The supervised model's evidence, where it raised the alert; else the anomaly model or a rule did."""
    return alert.ranked if any(reason.code == RANKED_CODE for reason in alert.reasons) else None


def alert_heading(alert: Alert) -> str:
    """Which model speaks for an alert, and in what its contributions are."""
    ranked = _deciding(alert)
    if ranked is None:
        return "What the model found"
    probability = figures.score(ranked.probability)
    return f"What the supervised model found, in log-odds: probability of fraud {probability}"


def alert_columns(alert: Alert) -> tuple[Column[ContributionLine], ...]:
    """The columns for what that model made of it."""
    return CONTRIBUTION_COLUMNS if _deciding(alert) is None else RANKED_COLUMNS


def alert_lines(alert: Alert) -> tuple[ContributionLine, ...]:
    """What the model that speaks for an alert made of it."""
    ranked = _deciding(alert)
    if ranked is not None:
        return contribution_lines(ranked.contributions, Total(ranked.base, ranked.log_odds, "log-odds, the sum"))
    if alert.anomaly is None:
        return contribution_lines(alert.contributions, None)
    raw = Total(alert.anomaly.base, alert.anomaly.score, "raw anomaly, the sum")
    return contribution_lines(alert.contributions, raw)


def contribution_lines(contributions: Sequence[Contribution], total: Total | None) -> tuple[ContributionLine, ...]:
    """The strongest contributions, all others together, the base, and the score that these add up to.

    Without a total the contributions are no sum, and stand alone. A feature that this program does not know keeps its
    own name.
    """
    if total is None:
        return tuple(_line(each, f"{each.share:.{PLACES}f}", contributions) for each in contributions)
    strongest, others = contributions[:STRONGEST], contributions[STRONGEST:]
    shown = f"{total.score:.{PLACES}f}"
    parts = [*(each.share for each in strongest), sum(each.share for each in others), total.base]
    *shares, rest, base = figures.adding_up(parts, float(shown), PLACES)
    return (
        *(_line(each, _signed(share), contributions) for each, share in zip(strongest, shares, strict=True)),
        ContributionLine(f"all {len(others)} others", _signed(rest), tone=Tone.MUTED),
        ContributionLine("base, before any feature", f"{base:.{PLACES}f}", tone=Tone.MUTED),
        ContributionLine(total.title, shown, tone=Tone.STRONG),
    )


def _line(contribution: Contribution, share: str, among: Sequence[Contribution]) -> ContributionLine:
    feature = _FEATURES.get(contribution.feature)
    unit = "" if feature is None else feature.unit
    largest = max(abs(each.share) for each in among) or 1.0
    return ContributionLine(
        title=contribution.feature if feature is None else feature.title,
        share=share,
        value=_quantity(contribution.value, unit),
        usual=_quantity(contribution.usual, unit),
        part=abs(contribution.share) / largest,
        bar_tone=Tone.BAR if contribution.share >= 0.0 else Tone.MUTED,
    )


def _quantity(value: float | None, unit: str) -> str:
    return figures.ABSENT if value is None else figures.quantity(value, unit)


def _signed(share: float) -> str:
    return f"{share:+.{PLACES}f}"
