"""What a colour means. Every theme brings its own colours for these; a word and a glyph always say the same."""

from enum import StrEnum

from data.models import AlertStatus, CasePriority, CaseStatus, ModelRole, RiskLevel
from engine.psi import DriftLevel


class Tone(StrEnum):
    """A meaning, and the style that shows it."""

    PLAIN = ""
    STRONG = "bold"
    MUTED = "$foreground 65%"
    TITLE = "bold $text-secondary"
    GOOD = "$text-success"
    LOW = "$text-primary"
    MEDIUM = "$text-warning"
    HIGH = "$text-accent"
    CRITICAL = "bold $text-error"
    BAR = "$primary"


LEVEL_TONES = {
    RiskLevel.LOW: Tone.LOW,
    RiskLevel.MEDIUM: Tone.MEDIUM,
    RiskLevel.HIGH: Tone.HIGH,
    RiskLevel.CRITICAL: Tone.CRITICAL,
}

LEVEL_GLYPHS = {RiskLevel.LOW: "▂", RiskLevel.MEDIUM: "▄", RiskLevel.HIGH: "▆", RiskLevel.CRITICAL: "█"}

PRIORITY_LEVELS = dict(zip(CasePriority, RiskLevel, strict=True))

ALERT_STATUS_TONES = {
    AlertStatus.NEW: Tone.STRONG,
    AlertStatus.REVIEWING: Tone.PLAIN,
    AlertStatus.ESCALATED: Tone.HIGH,
    AlertStatus.RESOLVED: Tone.MUTED,
    AlertStatus.FALSE_POSITIVE: Tone.MUTED,
}

CASE_STATUS_TONES = {
    CaseStatus.OPEN: Tone.STRONG,
    CaseStatus.INVESTIGATING: Tone.PLAIN,
    CaseStatus.PENDING_INFO: Tone.PLAIN,
    CaseStatus.ESCALATED: Tone.HIGH,
    CaseStatus.RESOLVED: Tone.MUTED,
    CaseStatus.CLOSED: Tone.MUTED,
}


DRIFT_TONES = {
    DriftLevel.UNKNOWN: Tone.MUTED,
    DriftLevel.STABLE: Tone.GOOD,
    DriftLevel.SHIFTING: Tone.MEDIUM,
    DriftLevel.DRIFTED: Tone.CRITICAL,
}

DRIFT_GLYPHS = {
    DriftLevel.UNKNOWN: "·",
    DriftLevel.STABLE: "○",
    DriftLevel.SHIFTING: "◐",
    DriftLevel.DRIFTED: "●",
}


ROLE_TONES = {ModelRole.CHAMPION: Tone.GOOD, ModelRole.CHALLENGER: Tone.MEDIUM, None: Tone.MUTED}

ROLE_GLYPHS = {ModelRole.CHAMPION: "●", ModelRole.CHALLENGER: "◐", None: "○"}


def role_label(role: ModelRole | None) -> str:
    """Glyph and word of a model's role; the fuller the glyph, the more it decides."""
    return f"{ROLE_GLYPHS[role]} {'no role' if role is None else role.value}"


def level_label(level: RiskLevel | None) -> str:
    """Glyph and word of a level; the glyph's height alone tells the order."""
    return "–" if level is None else f"{LEVEL_GLYPHS[level]} {level.value}"


def level_tone(level: RiskLevel | None) -> Tone:
    """The tone of a level; muted for no alert."""
    return Tone.MUTED if level is None else LEVEL_TONES[level]


def drift_label(level: DriftLevel) -> str:
    """Glyph and word of a level of drift; the glyph fills as it grows."""
    return f"{DRIFT_GLYPHS[level]} {level.value}"


def words(value: StrEnum) -> str:
    """A value of a closed set in words: ``pending_info`` reads "pending info"."""
    return value.value.replace("_", " ")
