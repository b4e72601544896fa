"""What the person has chosen: strop.toml in the home, overruled by STROP_ variables, checked once at the edge.

Each stage owns the class of its own section; this file only composes them and turns what is wrong into a sentence.
A key that nobody knows is an error that names the nearest known one: a setting that is silently ignored is worse
than none.
"""

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from strop.deploy.settings import HubSettings, OllamaSettings
from strop.errors import ConfigError
from strop.evaluation.settings import GateSettings
from strop.feedback.settings import FeedbackSettings
from strop.files import canonical_json, write_bytes
from strop.home import Home
from strop.server.settings import ServeSettings
from strop.trainer.settings import TrainerSettings

PREFIX = "STROP_"
NOT_SETTINGS = frozenset({"STROP_HOME"})
_HEADER = "# Strop's settings. `strop doctor` checks them; a STROP_ variable (STROP_NIGHT__HOUR=4) overrules a line.\n"


def _known_zone(name: str) -> str:
    if name:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError('should be empty (this computer\'s zone) or a zone such as "Europe/Berlin"') from error
    return name


class NightSettings(BaseModel):
    """When a night is due, and how little feedback is too little for one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hour: int = Field(default=3, ge=0, le=23)
    minute: int = Field(default=0, ge=0, le=59)
    timezone: Annotated[str, AfterValidator(_known_zone)] = ""  # empty: the computer's own zone
    min_rows: int = Field(default=20, ge=1)  # training rows of all methods together
    hours: float = Field(default=6.0, gt=0)  # for training alone; rows beyond that wait for another night


class RetentionSettings(BaseModel):
    """How long feedback is kept. Each night begins with forgetting what is older, and the models made of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int | None = Field(default=None, ge=1)  # none: for ever


class Config(BaseSettings):
    """All settings of one home, frozen. Made by `load`, then passed down."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    model: str = Field(default="smollm2", min_length=1)
    target: Literal["llamacpp", "ollama"] = "llamacpp"
    quant: Literal["Q4_K_M", "Q6_K", "Q8_0", "F16", "auto"] = "Q8_0"
    quant_max_kl: float = Field(default=0.03, gt=0, le=1)  # auto: the most nats a token from the model's own F16
    seed: int = Field(default=17, ge=0, lt=2**32)
    night: NightSettings = NightSettings()
    retention: RetentionSettings = RetentionSettings()
    feedback: FeedbackSettings = FeedbackSettings.model_validate({})
    trainer: TrainerSettings = TrainerSettings.model_validate({})
    gate: GateSettings = GateSettings.model_validate({})
    ollama: OllamaSettings = OllamaSettings.model_validate({})
    hub: HubSettings = HubSettings.model_validate({})
    serve: ServeSettings = ServeSettings.model_validate({})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then what the file said (passed in by `load`); no .env file, no secrets folder."""
        return env_settings, init_settings

    def digest(self) -> str:
        """The SHA-256 of every setting: two nights with the same digest were run with the same settings."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()


def load(home: Home) -> Config:
    """Read the home's strop.toml (absent is fine) and the STROP_ variables.

    Raises ConfigError for a file that is not TOML, an unknown key or an impossible value; it names the place.
    """
    return _checked(_read(home.config_file), home.config_file)


def save(home: Home, updates: Mapping[str, Any]) -> Config:
    """Write settings into strop.toml, keeping what else it says and its comments; returns what now holds.

    `updates` maps dotted keys to values: {"model": "smollm2", "ollama.host": "http://127.0.0.1:11434"}.
    Nothing is written when the result would not load: raises ConfigError as `load` does.
    """
    import tomlkit

    _refuse_unknown(updates, "the settings to save", str)
    path = home.config_file
    _checked(_read(path), path)  # what is wrong with the present file is said before anything is added
    document = tomlkit.parse(path.read_text(encoding="utf-8-sig") if path.exists() else _HEADER)
    for key, value in updates.items():
        *tables, last = key.split(".")
        table: Any = document
        for name in tables:
            table = table.setdefault(name, tomlkit.table())
        table[last] = value
    config = _checked(document.unwrap(), path)
    write_bytes(path, tomlkit.dumps(document).encode())
    return config


def known_keys(model: type[BaseModel] = Config, above: str = "") -> Iterator[str]:
    """Every dotted key that may be set: "model", "night", "night.hour", ... A section comes before its keys."""
    for name, field in model.model_fields.items():
        yield above + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{above}{name}.")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint=f"Correct {path}, then: strop doctor") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="strop doctor") from error


def _dotted(data: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The keys of nested tables; below a key that is a plain value to us, nothing."""
    sections = _sections()
    for name, value in data.items():
        key = above + name
        yield key
        if isinstance(value, Mapping) and key in sections:
            yield from _dotted(value, f"{key}.")


def _sections() -> set[str]:
    return {key.rpartition(".")[0] for key in known_keys()} - {""}


def _env_keys(env: Mapping[str, str]) -> Iterator[str]:
    for name in env:
        if name.upper().startswith(PREFIX) and name.upper() not in NOT_SETTINGS:
            yield name[len(PREFIX) :].lower().replace("__", ".")


def _env_name(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def _refuse_unknown(keys: Iterable[str], place: str, spell: Callable[[str], str]) -> None:
    """Raise for the first key that nobody knows. `spell` writes a key as the place would."""
    known = list(known_keys())
    for key in keys:
        if key in known or _inside_a_value(key, known):
            continue
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"unknown setting {spell(key)} in {place}; the nearest known one is {spell(near)}",
            hint=f"Rename or remove {spell(key)} in {place}, then: strop doctor",
        )


def _inside_a_value(key: str, known: list[str]) -> bool:
    """Whether `key` lies inside a setting that is itself a free table (Ollama's options, say)."""
    parent = key.rpartition(".")[0]
    while parent:
        if parent in known:
            return parent not in _sections()
        parent = parent.rpartition(".")[0]
    return False


def _checked(data: dict[str, Any], path: Path) -> Config:
    _refuse_unknown(_dotted(data), str(path), str)
    _refuse_unknown(_env_keys(os.environ), "the environment", _env_name)
    try:
        return Config(**data)
    except ValidationError as error:
        raise _bad_value(error, path) from error
    except SettingsError as error:
        raise ConfigError(f"a STROP_ variable cannot be read: {error}", hint="strop doctor") from error


def _bad_value(error: ValidationError, path: Path) -> ConfigError:
    first = error.errors(include_url=False)[0]
    key = _setting(first["loc"])
    from_env = any(name == key or key.startswith(f"{name}.") for name in _env_keys(os.environ))
    named, place = (_env_name(key), "the environment") if from_env else (key, str(path))
    expected = re.sub(r"^(Value error, )?(\w+ (?=should))?", "", first["msg"])
    expected = f"it {expected}" if expected.startswith("should") else f"expected: {expected}"
    return ConfigError(
        f"{named} = {first['input']!r} in {place}: {expected}",
        hint=f"Correct {named} in {place}, then: strop doctor",
    )


def _setting(location: tuple[int | str, ...]) -> str:
    """The key that pydantic's `location` lies in; below it there may be a branch of a type or a place in a list."""
    keys = [".".join(str(part) for part in location[:end]) for end in range(len(location), 0, -1)]
    known = set(known_keys())
    return next((key for key in keys if key in known), keys[0])
