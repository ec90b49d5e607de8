"""Settings: flags over environment over the settings file over defaults; unknown keys are refused by name."""

import difflib
import os
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_config_path, user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from data.errors import SettingError

APP = "sentinel-tui"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Settings(BaseModel):
    """Every setting, under the name it has in the environment and in the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    KAFKA_BOOTSTRAP_SERVERS: str | None = Field(
        None, description="Kafka brokers, host:port separated by commas; none: the built-in generator is the source"
    )
    KAFKA_GROUP_ID: str = Field("fraud-detection-group", description="Kafka consumer group", min_length=1)
    KAFKA_TRANSACTIONS_TOPIC: str = Field("transactions", description="Topic that transactions come from", min_length=1)
    KAFKA_ALERTS_TOPIC: str = Field("fraud_alerts", description="Topic that alerts go to", min_length=1)
    KAFKA_DLQ_TOPIC: str = Field("dead_letter_queue", description="Topic that bad records go to", min_length=1)
    DATABASE_URL: str | None = Field(
        None, description="sqlite:///relative/path or sqlite:////absolute/path; none: sentinel.db in the data folder"
    )
    FRAUD_SCORE_THRESHOLD: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Score from which a transaction is a LOW alert, above 0 and up to 1"
    )
    VELOCITY_THRESHOLD: Annotated[int, Field(ge=2)] = Field(
        3, description="Transactions of a card in the window from which they are a LOW alert, 2 or more"
    )
    VELOCITY_WINDOW_SECONDS: Annotated[int, Field(ge=1, le=86_400)] = Field(
        60, description="Length of the velocity window, 1 to 86,400 seconds of event time"
    )
    MODEL_PATH: Path | None = Field(None, description="Model file; none: model.npz beside the database")
    TRANSACTIONS_PER_SECOND: Annotated[float, Field(gt=0, le=100_000)] = Field(
        50.0, description="Rate of the generator in the app, above 0 and up to 100,000"
    )
    FRAUD_PROBABILITY: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.01, description="Share of generated transactions that are fraud other than bursts, 0 to 0.5"
    )
    VELOCITY_ATTACK_PROBABILITY: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.005, description="Share of generated transactions that belong to velocity bursts, 0 to 0.5"
    )
    REVIEW_SAMPLE_SHARE: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.001, description="Share of the transactions without an alert that is drawn for review, 0 (none) to 0.1"
    )
    TRAIN_AUTOMATICALLY: bool = Field(
        True, description="Train a model beside the engine whenever enough labels have come: true or false"
    )
    LOG_LEVEL: LogLevel = Field(
        LogLevel.WARNING, description="What goes to sentinel.log in the data folder: DEBUG, INFO, WARNING or ERROR"
    )

    @field_validator("DATABASE_URL")
    @classmethod
    def _is_sqlite(cls, url: str | None) -> str | None:
        if url is None or (url.startswith("sqlite:///") and len(url) > len("sqlite:///")):
            return url
        scheme = url.split(":", 1)[0]
        if scheme != "sqlite":
            raise ValueError(f"{scheme!r} databases are not supported: give sqlite:///PATH")
        raise ValueError("give sqlite:///relative/path or sqlite:////absolute/path")

    @field_validator("LOG_LEVEL", mode="before")
    @classmethod
    def _upper_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def database_path(self) -> Path | None:
        """The file that DATABASE_URL names, None when it is not set."""
        return None if self.DATABASE_URL is None else Path(self.DATABASE_URL.removeprefix("sqlite:///")).expanduser()


class Origin(StrEnum):
    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and where each value came from; ``flags`` are those of the command line, as they were given."""

    values: Settings
    origins: dict[str, Origin]
    file: Path
    flags: dict[str, str]


def data_folder() -> Path:
    """Where databases, models and the log are kept: the XDG data folder (or the platform's own)."""
    return user_data_path(APP)


def settings_file() -> Path:
    """The settings file: settings.toml in the XDG configuration folder (or the platform's own)."""
    return user_config_path(APP) / "settings.toml"


def load_settings(flags: dict[str, str], file: Path | None = None) -> LoadedSettings:
    """Merge flags, the environment, the settings file and the defaults.

    Raises:
        SettingError: an unknown key or a bad value; says which, where it came from, and what is allowed.
    """
    file = file or settings_file()
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, Origin.DEFAULT)
    environment = {name: os.environ[name] for name in Settings.model_fields if os.environ.get(name)}
    for origin, values in (
        (Origin.FILE, _read_file(file)),
        (Origin.ENVIRONMENT, environment),
        (Origin.FLAG, flags),
    ):
        for name, value in values.items():
            if name not in Settings.model_fields:
                raise SettingError(_unknown(name, origin, file))
            merged[name] = value
            origins[name] = origin
    try:
        return LoadedSettings(Settings.model_validate(merged), origins, file, flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = f"{file}" if origins[name] is Origin.FILE else f"the {origins[name]}"
        problem = first["msg"].removeprefix("Value error, ")
        raise SettingError(
            f"{name} from {where} is {str(merged[name])[:80]!r}: {problem}. "
            f"It is: {Settings.model_fields[name].description}"
        ) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{file} cannot be read as TOML ({error}): correct it or move it away") from None


def _unknown(name: str, origin: Origin, file: Path) -> str:
    where = str(file) if origin is Origin.FILE else f"the {origin}"
    close = difflib.get_close_matches(name.upper(), Settings.model_fields, n=1)
    hint = f"did you mean {close[0]}?" if close else "`sentinel-tui config` lists the settings"
    return f"unknown setting {name[:80]!r} in {where}: {hint}"
