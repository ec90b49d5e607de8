"""What an alert's contributions look like: the lines add up as they are shown, and nothing is hidden."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from data.models import Contribution
from screens.contribution_lines import STRONGEST, Total, contribution_lines
from screens.tones import Tone


def contribution(feature: str, share: float) -> Contribution:
    return Contribution(feature=feature, value=2.5, usual=1.0, share=share)


@given(st.lists(st.floats(-0.3, 0.3), min_size=STRONGEST + 1, max_size=40), st.floats(0, 1))
def test_the_lines_shown_add_up_to_the_anomaly_shown(shares: list[float], base: float) -> None:
    contributions = [contribution(f"feature {n}", share) for n, share in enumerate(shares)]
    *parts, total = contribution_lines(contributions, Total(base, base + sum(shares), "the sum"))
    assert sum(Decimal(part.share) for part in parts) == Decimal(total.share)
    assert abs(float(total.share) - base - sum(shares)) <= 0.0005 + 1e-9
    assert [part.title for part in parts[STRONGEST:]] == [
        f"all {len(shares) - STRONGEST} others",
        "base, before any feature",
    ]


def test_a_feature_that_speaks_for_the_ordinary_has_a_minus_and_a_bar_of_another_tone() -> None:
    up, down, *_ = contribution_lines(
        [contribution("amount_over_mean", 0.2), contribution("new_merchant", -0.1)], Total(0.4, 0.5, "the sum")
    )
    assert (up.title, up.share, up.value, up.part, up.bar_tone) == (
        "amount over the card's mean",
        "+0.200",
        "2.50 ×",
        1.0,
        Tone.BAR,
    )
    assert (down.share, down.part, down.bar_tone) == ("-0.100", 0.5, Tone.MUTED)


def test_contributions_of_earlier_versions_stand_alone() -> None:
    (only,) = contribution_lines([contribution("retired_feature", 0.11)], None)
    assert (only.title, only.share) == ("retired_feature", "0.110")
    assert contribution_lines([], None) == ()


def test_contributions_that_are_all_nothing_have_no_bars() -> None:
    lines = contribution_lines([contribution("amount", 0.0)] * 7, Total(0.5, 0.5, "the sum"))
    assert {line.part for line in lines} == {0.0}
