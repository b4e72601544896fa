"""The settings: read once, overruled by the environment, and never ignored in silence."""

from pathlib import Path

import pytest

from strop.config import Config, known_keys, load, save
from strop.errors import ConfigError
from strop.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


def said(home: Home, text: str) -> Config:
    home.config_file.write_text(text, encoding="utf-8")
    return load(home)


def refusal(home: Home, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        said(home, text)
    assert caught.value.hint
    return str(caught.value)


def test_a_home_without_a_file_has_the_defaults(home: Home) -> None:
    config = load(home)
    assert (config.model, config.target, config.quant, config.seed) == ("smollm2", "llamacpp", "Q8_0", 17)
    night = config.night
    assert (night.hour, night.minute, night.timezone, night.min_rows) == (3, 0, "", 20)


def test_the_file_sets_what_it_names_and_leaves_the_rest(home: Home) -> None:
    config = said(home, 'model = "gguf:a.gguf"\n[night]\nhour = 5\ntimezone = "Europe/Helsinki"\n')
    assert (config.model, config.night.hour, config.night.minute) == ("gguf:a.gguf", 5, 0)
    assert config.night.timezone == "Europe/Helsinki"


def test_the_environment_overrules_one_line_of_the_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STROP_NIGHT__HOUR", "7")
    config = said(home, "[night]\nhour = 5\nminute = 30\n")
    assert (config.night.hour, config.night.minute) == (7, 30)


def test_strop_home_is_no_setting(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STROP_HOME", str(home.path))
    assert load(home).seed == 17


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ('modle = "x"', "modle", "model"),
        ("[night]\nhuor = 3", "night.huor", "night.hour"),
        ("[nigth]\nhour = 3", "nigth", "night"),
        ("[trainer]\nrnak = 4", "trainer.rnak", "trainer.rank"),
    ],
)
def test_an_unknown_key_is_refused_with_its_nearest_and_its_file(
    home: Home, text: str, unknown: str, nearest: str
) -> None:
    message = refusal(home, text)
    assert message.endswith(f"the nearest known one is {nearest}")
    assert f"unknown setting {unknown} in {home.config_file};" in message


def test_an_unknown_variable_is_refused_with_its_nearest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STROP_NIGHT__HUOR", "4")
    with pytest.raises(ConfigError, match=r"STROP_NIGHT__HUOR in the environment.*STROP_NIGHT__HOUR"):
        load(home)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[night]\nhour = 24", ("night.hour = 24", "less than or equal to 23")),
        ('[night]\ntimezone = "Mars/Olympus"', ("night.timezone = 'Mars/Olympus'", "Europe/Berlin")),
        ('target = "vllm"', ("target = 'vllm'", "'llamacpp' or 'ollama'")),
        ("seed = -1", ("seed = -1", "greater than or equal to 0")),
        ("night = 3", ("night = 3", "should be")),
        ("model = ''", ("model = ''", "at least 1 character")),
        ("[ollama]\nnum_ctx = 1", ("ollama.num_ctx = 1 ", "greater than or equal to 256")),
        ("[ollama]\nalias = 'A B'", ("ollama.alias = 'A B'", "expected: lower-case letters")),
    ],
)
def test_a_bad_value_is_refused_with_key_value_and_what_is_expected(
    home: Home, text: str, parts: tuple[str, ...]
) -> None:
    message = refusal(home, text)
    for part in (*parts, str(home.config_file)):
        assert part in message


def test_a_bad_variable_is_named_as_it_is_spelled(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STROP_NIGHT__HOUR", "three")
    with pytest.raises(ConfigError, match=r"STROP_NIGHT__HOUR = 'three' in the environment"):
        load(home)


def test_a_section_variable_that_is_no_json_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STROP_NIGHT", "late")
    with pytest.raises(ConfigError, match="night"):
        load(home)


def test_a_file_that_is_not_toml_is_refused(home: Home) -> None:
    assert "is not TOML" in refusal(home, "model = [")


def test_a_file_that_is_not_utf8_is_refused(home: Home) -> None:
    home.config_file.write_bytes(b'model = "\xff"')
    with pytest.raises(ConfigError, match="is not TOML"):
        load(home)


def test_save_keeps_comments_and_what_it_was_not_told(home: Home) -> None:
    home.config_file.write_text('# mine\nmodel = "a"  # the model\n\n[night]\n# late\nhour = 4\n', encoding="utf-8")
    config = save(home, {"model": "b", "night.minute": 15, "target": "ollama"})
    text = home.config_file.read_text(encoding="utf-8")
    assert (config.model, config.night.hour, config.night.minute, config.target) == ("b", 4, 15, "ollama")
    assert "# mine" in text
    assert "# the model" in text
    assert "# late" in text
    assert load(home) == config


def test_save_makes_a_file_that_loads(home: Home) -> None:
    save(home, {"night.hour": 1})
    assert load(home).night.hour == 1


@pytest.mark.parametrize("updates", [{"night.hour": 99}, {"modle": "x"}])
def test_save_writes_nothing_that_would_not_load(home: Home, updates: dict[str, object]) -> None:
    home.config_file.write_text("seed = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        save(home, updates)
    assert home.config_file.read_text(encoding="utf-8") == "seed = 3\n"


def test_the_digest_changes_with_a_setting_and_only_then(home: Home) -> None:
    first = said(home, "seed = 3").digest()
    assert said(home, "# a comment\nseed = 3").digest() == first
    assert said(home, "seed = 4").digest() != first


def test_every_section_belongs_to_the_stage_that_owns_it() -> None:
    keys = set(known_keys())
    assert {"night.hour", "trainer.rank", "gate.level", "feedback.owners", "ollama.host", "ollama.alias"} <= keys
    assert "ollama.allow_vulnerable" in keys
