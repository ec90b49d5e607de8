"""The README keeps up with the program."""

import re
from pathlib import Path

import pytest

from engine.features import FEATURES
from screens import actions
from sentinel_tui.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    default = "–" if field.default is None else str(field.default)
    assert f"| `{name}` | {default} | {field.description} |" in README


def test_every_feature_is_named() -> None:
    text = " ".join(README.split())
    for feature in FEATURES:
        assert feature.title in text


def test_every_picture_is_there() -> None:
    pictures = re.findall(r"!\[[^]]+]\(([^)]+)\)", README)
    assert len(pictures) >= len(actions.MODES)
    for picture in pictures:
        assert (Path(__file__).parents[2] / picture).read_text(encoding="utf-8").startswith("<svg")
