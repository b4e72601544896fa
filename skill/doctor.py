"""What this computer and this home hold, check by check: the value, whether it is well, why, and what to do.

Nothing here imports torch or another heavy package: versions come from the packages' metadata. Nothing is changed,
made or sent; the only connection is to the Ollama that the settings name, and with `online` one to the Hub.
"""

import os
import platform
import sqlite3
import stat
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from strop.detect import bf16_in_hardware, installed_version, ollama_version, open_to_others, version_numbers
from strop.errors import StropError
from strop.files import free_bytes
from strop.home import Home

if TYPE_CHECKING:
    from strop.config import Config

GIB = 1 << 30
LEAST_FREE_BYTES = 1 * GIB
WANTED_FREE_BYTES = 5 * GIB
WANTED_MEMORY_BYTES = 4 * GIB
OLD_RUN = timedelta(days=3)
# torch < 2.10: a crafted checkpoint runs code in spite of weights_only (CVE-2026-24747).
TORCH_LEAST = (2, 10)
_OLLAMA_HOST = "http://127.0.0.1:11434"  # looked at where the settings cannot be read
NO_ANSWER = "no answer"
_TRAIN_PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "gguf")
_GET_ALL = "pip install 'strop[all]'"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `ok` is True for well, False for broken, None for optional, unknown or worth a look.

    `fix` is the command or step that makes it well, "" where nothing is to be done.
    """

    name: str
    value: str
    ok: bool | None
    reason: str
    fix: str = ""


def check(home: Home, env: Mapping[str, str] = os.environ, *, online: bool = False) -> list[Check]:
    """Every finding, in the order in which a person would look. Never raises for what it finds.

    `online` asks the Hub what its token may do, where there is one.
    """
    settings, config = _settings(home)
    return [
        _python(),
        _strop(),
        _home(home),
        _free_space(home),
        _sqlite(),
        _ledger(home),
        settings,
        _time_zone(config),
        _last_run(home),
        _night_lock(home),
        _processor(),
        _memory(),
        *(_package(name) for name in _TRAIN_PACKAGES),
        _llama_server(config),
        _serving(home, config),
        check_ollama(config),
        _hf_token(env, config, online),
    ]


def _python() -> Check:
    return Check("python", platform.python_version(), True, f"{sys.executable}, at least 3.11 is needed")


def _strop() -> Check:
    return Check("strop", installed_version("strop") or "unknown", True, f"runs from {Path(__file__).parent}")


def _home(home: Home) -> Check:
    path = home.path
    if not path.exists():
        return Check("home", str(path), None, "not made yet", "strop init")
    if not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        return Check("home", str(path), False, "not a folder that you may write to", "set STROP_HOME to one that is")
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        return Check("home", str(path), None, f"mode {mode:04o}: others on this computer may look", f"chmod 700 {path}")
    return Check("home", str(path), True, "yours alone")


def _free_space(home: Home) -> Check:
    free = free_bytes(home.path)
    value = f"{free / GIB:.1f} GiB"
    if free < LEAST_FREE_BYTES:
        return Check("free space", value, False, "a night needs at least 1 GiB", f"free space beside {home.path}")
    if free < WANTED_FREE_BYTES:
        return Check("free space", value, None, "enough for a small model only", f"free space beside {home.path}")
    return Check("free space", value, True, "where the home lies")


def _sqlite() -> Check:
    from strop.journal_db import WAL_SAFE

    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < WAL_SAFE:
        reason = "below 3.51.3 (WAL-reset bug), so the databases use a rollback journal: safe, a little slower"
        return Check("sqlite", found, True, reason)
    return Check("sqlite", found, True, "the databases use WAL")


def _ledger(home: Home) -> Check:
    if not home.ledger_db.exists():
        fix = "strop feedback add --prompt ... --answer ... --rating up"
        return Check("ledger", "none", None, "no feedback yet", fix)
    try:
        with closing(sqlite3.connect(f"{home.ledger_db.as_uri()}?mode=ro", uri=True)) as db:
            schema = db.execute("PRAGMA user_version").fetchone()[0]
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        found, schema = str(error), "unknown"
    if found != "ok":
        return Check("ledger", f"schema {schema}", False, found, f"restore {home.ledger_db} from a backup")
    return Check("ledger", f"schema {schema}", True, "whole")


def _settings(home: Home) -> tuple[Check, "Config | None"]:
    from strop.config import load

    try:
        config = load(home)
    except StropError as error:
        return Check("settings", str(home.config_file), False, str(error), error.hint), None
    value = str(home.config_file) if home.config_file.exists() else "defaults"
    if fault := config.gate.unreachable():
        return Check("settings", value, False, fault, f"correct [gate] in {home.config_file}"), config
    return Check("settings", value, True, f"model {config.model}, target {config.target}"), config


def _time_zone(config: "Config | None") -> Check:
    from strop.schedule import next_opening, zone

    name = config.night.timezone if config else ""
    hour, minute = (config.night.hour, config.night.minute) if config else (3, 0)
    try:
        tz = zone(name)
        following = next_opening(datetime.now(UTC), hour, minute, tz)
    except (LookupError, ValueError, OSError) as error:
        fix = 'set timezone = "Europe/Berlin" (your own) under [night] in strop.toml'
        return Check("time zone", name or "unknown", None, f"this computer's zone is unclear: {error}", fix)
    return Check("time zone", str(tz), True, f"the next night opens on {following:%d %B at %H:%M}")


def _last_run(home: Home) -> Check:
    from strop.schedule import last_night

    if not home.state_db.exists():
        return Check("last night", "none", None, "no night has run yet", "strop night")
    try:
        run = last_night(home)
    except (StropError, OSError) as error:
        return Check("last night", str(home.state_db), False, str(error), f"restore {home.state_db} from a backup")
    if run is None:
        return Check("last night", "none", None, "no night has run yet", "strop night")
    age = datetime.now(UTC) - run.started
    reason = f"{run.state}, {_age(age)} ago" + (f": {run.reason}" if run.reason else "")
    well = run.state not in ("failed", "interrupted") and age < OLD_RUN
    return Check("last night", run.id, True if well else None, reason, "" if well else "strop night")


def _night_lock(home: Home) -> Check:
    from strop.schedule import night_running

    try:
        running = night_running(home)
    except OSError as error:
        return Check("night lock", str(home.night_lock), False, f"cannot be opened: {error.strerror}", "strop init")
    return Check("night lock", "held" if running else "free", True, "a night runs now" if running else "no night runs")


def _processor() -> Check:
    cores = os.cpu_count() or 1
    value = f"{platform.machine()}, {cores} cores"
    native = bf16_in_hardware()
    if native is None:
        return Check("processor", value, True, "whether it computes in bf16 is found out by a trial before training")
    words = "computes in bf16" if native else "no bf16 in hardware: training uses fp32, which is slower"
    return Check("processor", value, True, words)


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    value = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    if memory.available < WANTED_MEMORY_BYTES:
        return Check("memory", value, None, "little: training the default model takes about 4 GiB", "close programs")
    return Check("memory", value, True, "enough for the default model")


def _package(name: str) -> Check:
    found = installed_version(name)
    if found is None:
        return Check(name, "not installed", None, "needed for training only", _GET_ALL)
    if name == "torch" and version_numbers(found) < TORCH_LEAST:
        return Check(name, found, False, "below 2.10 a crafted file can run code (CVE-2026-24747)", _GET_ALL)
    return Check(name, found, True, "installed")


def _llama_server(config: "Config | None") -> Check:
    found = installed_version("xllamacpp")
    if found:
        return Check("xllamacpp", found, True, "serves the model")
    what = "to certify a build" if config and config.target == "ollama" else "to serve and to certify a build"
    return Check("xllamacpp", "not installed", None, f"needed {what}", _GET_ALL)


def _serving(home: Home, config: "Config | None") -> Check:
    from strop.server.room import outlook

    return Check("serving", *outlook(home, config))


def check_ollama(config: "Config | None") -> Check:
    """Reachable, not too old, and reachable by this computer alone. Red only where Ollama is the chosen target."""
    from strop.deploy.targets.ollama_api import SAFE_VERSION

    host, wanted, allowed = _OLLAMA_HOST, False, False
    if config is not None:
        host, wanted, allowed = config.ollama.host, config.target == "ollama", config.ollama.allow_vulnerable
    found = ollama_version(host)
    if found is None:
        if not wanted:
            return Check("ollama", NO_ANSWER, None, "not needed: the target is llamacpp")
        return Check("ollama", NO_ANSWER, False, f"nothing answers at {host}", "ollama serve")
    bad = False if wanted else None
    if version_numbers(found) < SAFE_VERSION and not allowed:
        fix = "update Ollama, or set allow_vulnerable = true under [ollama]"
        return Check("ollama", found, bad, f"{host} is below 0.17.1: its memory can be read (CVE-2026-7482)", fix)
    if open_to_others(host):
        return Check("ollama", found, None, f"{host} answers other computers too", "unset OLLAMA_HOST, restart Ollama")
    return Check("ollama", found, True, f"answers at {host}")


def _hf_token(env: Mapping[str, str], config: "Config | None", online: bool) -> Check:
    name = "hugging face token"
    folder = Path(env["HF_HOME"]) if env.get("HF_HOME") else Path.home() / ".cache" / "huggingface"
    stored = Path(env["HF_TOKEN_PATH"]) if env.get("HF_TOKEN_PATH") else folder / "token"
    pushes = config is not None and config.hub.push_on_promote
    if not (env.get("HF_TOKEN") or stored.exists()):
        if not pushes:
            return Check(name, "no", True, "needed for gated models and strop hub push only")
        return Check(name, "no", None, "push_on_promote is set, and nothing can be pushed", "export HF_TOKEN=...")
    if not online:
        reason = "found; its value is never shown or stored; --online asks what it may do"
        return Check(name, "yes", True, reason, "strop doctor --online" if pushes else "")
    return _hub_access(name, config.hub.repo if config else "")


def _hub_access(name: str, repo: str) -> Check:
    """What the Hub says of the token: whose it is, and whether it may write where pushes go."""
    from strop.deploy.hub import LOG_IN, access

    try:
        found = access()
    except StropError as error:
        return Check(name, "yes", None, str(error), error.hint)
    owner = repo.partition("/")[0]
    who = f"{found.user}'s, role {found.role}"
    if not found.writes or (owner and owner not in found.writes):
        return Check(name, "yes", None, f"{who}: it may not write{f' to {owner}' if owner else ''}", LOG_IN)
    return Check(name, "yes", True, f"{who}: it may write to {owner or ', '.join(found.writes)}")


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours" if hours else "less than an hour"
