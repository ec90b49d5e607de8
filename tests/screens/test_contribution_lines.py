"""What an alert's contributions look like: the lines add up as they are shown, and nothing is hidden."""

from contextlib import closing
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from data.models import Contribution
from data.queries import alerts
from data.store import Store
from engine.ranker_titles import RANKER_FEATURES
from screens import figures
from screens.contribution_lines import (
    RANKED_COLUMNS,
    STRONGEST,
    Total,
    alert_columns,
    alert_heading,
    alert_lines,
    contribution_lines,
)
from screens.tones import Tone
from screens.widgets.columns import fit

from .pilots import press, screen_text
from .worlds import app_on


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


def test_what_a_ranker_found_says_its_probability_and_adds_up_to_its_log_odds(ranked_store: Store) -> None:
    with closing(ranked_store.reader()) as reader:
        alert = alerts.alert(reader, 2)
    assert alert is not None
    assert alert_heading(alert) == "What the supervised model found, in log-odds: probability of fraud 0.95"
    assert alert_columns(alert) == RANKED_COLUMNS
    first, *_, absent, last, others, base, total = alert_lines(alert)
    assert (first.title, first.value, first.share) == ("known fraud at the merchant, 28 d", "34.38 %", "+4.222")
    assert (absent.value, last.title) == (figures.ABSENT, "fraud of usual amount at the merchant, 28 d")
    assert (others.title, base.share, total.title) == (
        f"all {len(RANKER_FEATURES) - STRONGEST} others",
        "-5.143",
        "log-odds, the sum",
    )
    assert Decimal(total.share) == sum(Decimal(line.share) for line in alert_lines(alert)[:-1])


async def test_turning_from_a_ranked_alert_to_another_turns_heading_and_columns(ranked_store: Store) -> None:
    app = app_on(ranked_store)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "2", "enter")
        assert "What the supervised model found" in screen_text(app)
        assert "Usual  " not in screen_text(app)
        await press(pilot, "j", "j")
        assert "What the model found" in screen_text(app)
        assert "Usual  " in screen_text(app)


def test_the_titles_of_a_rankers_features_are_told_apart_and_fit_80_cells() -> None:
    titles = [feature.title for feature in RANKER_FEATURES]
    assert len(set(titles)) == len(titles)
    fitted, _ = fit(RANKED_COLUMNS, 79)
    assert [each.column.title for each in fitted] == ["Feature", "Value", "Adds", ""]
    assert max(map(len, titles)) <= fitted[0].width
