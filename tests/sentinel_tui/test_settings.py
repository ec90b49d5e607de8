from pathlib import Path

import pytest

from data.errors import SettingError
from sentinel_tui.settings import Origin, load_settings


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_go_over_environment_over_file_over_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(
        tmp_path / "settings.toml",
        "VELOCITY_THRESHOLD = 4\nVELOCITY_WINDOW_SECONDS = 30\nFRAUD_SCORE_THRESHOLD = 0.6\n",
    )
    monkeypatch.setenv("VELOCITY_THRESHOLD", "5")
    monkeypatch.setenv("VELOCITY_WINDOW_SECONDS", "45")
    loaded = load_settings({"VELOCITY_THRESHOLD": "6"}, file)
    assert (loaded.values.VELOCITY_THRESHOLD, loaded.origins["VELOCITY_THRESHOLD"]) == (6, Origin.FLAG)
    assert (loaded.values.VELOCITY_WINDOW_SECONDS, loaded.origins["VELOCITY_WINDOW_SECONDS"]) == (
        45,
        Origin.ENVIRONMENT,
    )
    assert (loaded.values.FRAUD_SCORE_THRESHOLD, loaded.origins["FRAUD_SCORE_THRESHOLD"]) == (0.6, Origin.FILE)
    assert (loaded.values.TRANSACTIONS_PER_SECOND, loaded.origins["TRANSACTIONS_PER_SECOND"]) == (50.0, Origin.DEFAULT)


def test_an_unknown_key_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    file = write(tmp_path / "settings.toml", "VELOCITY_TRESHOLD = 4\n")
    with pytest.raises(SettingError, match=r"VELOCITY_TRESHOLD.*settings\.toml.*did you mean VELOCITY_THRESHOLD\?"):
        load_settings({}, file)


def test_a_bad_value_names_the_setting_its_origin_and_what_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_SCORE_THRESHOLD", "high")
    with pytest.raises(SettingError, match=r"FRAUD_SCORE_THRESHOLD from the environment is 'high'.*above 0"):
        load_settings({}, tmp_path / "none.toml")


@pytest.mark.parametrize("url", ["postgresql://localhost/fraud", "mysql://x/y"])
def test_a_database_of_another_scheme_is_refused_by_name(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=url.split(":", maxsplit=1)[0]):
        load_settings({"DATABASE_URL": url}, tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:///a/b.db", Path("a/b.db")), ("sqlite:////srv/fraud.db", Path("/srv/fraud.db"))]
)
def test_a_sqlite_url_names_a_file(url: str, path: Path, tmp_path: Path) -> None:
    assert load_settings({"DATABASE_URL": url}, tmp_path / "none.toml").values.database_path == path


def test_a_damaged_settings_file_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "settings.toml", "VELOCITY_THRESHOLD = = 4\n")
    with pytest.raises(SettingError, match=r"settings\.toml cannot be read as TOML"):
        load_settings({}, file)


def test_an_empty_variable_counts_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert load_settings({}, tmp_path / "none.toml").origins["DATABASE_URL"] is Origin.DEFAULT
