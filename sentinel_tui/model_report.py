"""Models for people and for programs: which there are, what a training found, how champion and challenger compare."""

from typing import Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.model_registry import UNSUPERVISED, RegisteredModel, RoleHolders
from data.timestamps import from_microseconds
from engine.comparison import FIGURE_TITLES, Comparison, trial_of
from engine.ranker import RankerCard
from engine.shadow import ShadowComparison
from screens.figures import measure
from sentinel_tui.model_run import Trained
from sentinel_tui.plain_text import printable

ACTOR_CHARACTERS: Final = 13
"""Of the name of who trained a model; the table then fits into 80 columns."""


def models_as_json(models: tuple[RegisteredModel, ...], held: RoleHolders) -> str:
    """All models with their cards, figures and roles, as one JSON object."""
    value = {
        "champion": None if held.champion is None else held.champion.version,
        "challenger": None if held.challenger is None else held.challenger.version,
        "models": [
            {
                "version": model.version,
                "role": held.role_of(model),
                "trained_at": model.trained_at.isoformat(),
                "trained_by": model.trained_by,
                "file": model.file,
                "card": orjson.loads(model.card),
                "trial": orjson.loads(model.figures) or None,
            }
            for model in models
        ],
    }
    return orjson.dumps(value).decode()


def print_models(models: tuple[RegisteredModel, ...], held: RoleHolders, console: Console) -> None:
    """All models in a table, the newest first."""
    if not models:
        console.print(
            "No model has been trained on labels yet: the anomaly model decides alone.\n"
            "Settle alerts, or import chargebacks with `sentinel-tui label FILE`; then `sentinel-tui model train`."
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("version, role", "trained", "learnt from"):
        table.add_column(column, no_wrap=True)
    for column in ("AP", "AUC"):
        table.add_column(column, justify="right", no_wrap=True)
    for model in models:
        card = RankerCard.model_validate_json(model.card)
        trial = trial_of(model)
        table.add_row(
            f"{model.version}\n{held.role_of(model) or ''}",
            Text(f"{model.trained_at:%Y-%m-%d %H:%M}\nby {printable(model.trained_by)[:ACTOR_CHARACTERS]}"),
            f"{card.data_from:%Y-%m-%d}..{card.data_to:%Y-%m-%d}\n"
            f"{card.training_rows:,} rows, {card.training_frauds:,} frauds",
            measure(None if trial is None else trial.challenger.average_precision),
            measure(None if trial is None else trial.challenger.auc_roc),
        )
    console.print(table)
    if held.champion is None:
        console.print("The anomaly model decides; nothing has been promoted.")


def training_as_json(trained: Trained) -> str:
    """What a training came to, as one JSON object."""
    trial = trained.training.trial
    value = {
        "version": trained.version,
        "rows": trained.rows,
        "frauds": trained.frauds,
        "unknown": trained.unknown,
        "trial": None if trial is None else trial.model_dump(mode="json"),
        "untried": trained.training.untried,
    }
    return orjson.dumps(value).decode()


def print_training(trained: Trained, console: Console) -> None:
    """What a training came to, and what to do next."""
    console.print(
        f"{trained.version} learnt from {trained.rows:,} transactions, {trained.frauds:,} of them fraud; "
        f"the outcome of {trained.unknown:,} more is not known yet."
    )
    trial = trained.training.trial
    if trial is None:
        console.print(Text(f"There was no trial: {trained.training.untried}."))
    else:
        console.print("\nA trial on the latest days, by a model that did not see them, without rules and velocity:")
        print_comparison(trial, "decided then", trained.version, console)
    console.print(
        "\nIt competes as challenger from the engine's next batch on: `sentinel-tui model compare` shows how it does, "
        "`sentinel-tui model promote` lets it decide."
    )


def shadow_as_json(shadow: ShadowComparison) -> str:
    """How champion and challenger compare, as one JSON object."""
    value = {
        "champion": shadow.champion,
        "challenger": shadow.challenger,
        "scored": shadow.scored,
        "unknown": shadow.unknown,
        "comparison": None if shadow.comparison is None else shadow.comparison.model_dump(mode="json"),
    }
    return orjson.dumps(value).decode()


def print_shadow(shadow: ShadowComparison, console: Console) -> None:
    """How champion and challenger compare."""
    champion = shadow.champion or UNSUPERVISED
    console.print(
        f"{champion} decides, {shadow.challenger} competes: {shadow.scored:,} transactions were scored by both, "
        f"the outcome of {shadow.unknown:,} is not known yet."
    )
    if shadow.comparison is None:
        console.print("There is nothing to compare on yet: labels of what both have scored are needed.")
        return
    print_comparison(shadow.comparison, champion, shadow.challenger, console)


def print_comparison(comparison: Comparison, champion: str, challenger: str, console: Console) -> None:
    """Both sides in a table, and where they differ."""
    first, last = from_microseconds(comparison.first), from_microseconds(comparison.last)
    console.print(
        f"{first:%Y-%m-%d}..{last:%Y-%m-%d}, {comparison.days} days: {comparison.rows:,} transactions, "
        f"{comparison.frauds:,} frauds"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column(champion, justify="right")
    table.add_column(challenger, justify="right")
    for name, title in FIGURE_TITLES.items():
        table.add_row(title, *(measure(side.figure(name)) for side in (comparison.champion, comparison.challenger)))
    flips = comparison.flips
    table.add_row("alerted by it alone", f"{flips.champion_only:,}", f"{flips.challenger_only:,}")
    table.add_row("of these fraud", f"{flips.champion_only_frauds:,}", f"{flips.challenger_only_frauds:,}")
    console.print(table)
