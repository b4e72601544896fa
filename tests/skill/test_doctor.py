"""The doctor: says what is there, why it matters and what to do; changes nothing and loads nothing heavy."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import filelock
import psutil
import pytest

from strop import detect, doctor
from strop.config import Config, load, save
from strop.detect import version_numbers
from strop.doctor import Check, check, check_ollama
from strop.feedback import FeedbackCollector
from strop.home import Home
from strop.journal import Journal

CLOSED = "http://127.0.0.1:9"  # the discard port: nothing answers there


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home").ensure()
    save(home, {"ollama.host": CLOSED})
    return home


def found(home: Home, name: str, env: dict[str, str] | None = None) -> Check:
    return next(one for one in check(home, env or {}) if one.name == name)


@contextmanager
def ollama(answer: bytes) -> Iterator[str]:
    """The address of a server that answers every GET with `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """This computer has no address that others could reach."""
    monkeypatch.setattr(psutil, "net_if_addrs", dict)


def configured(host: str, target: str = "ollama", *, allow: bool = False) -> Config:
    settings = {"host": host, "allow_vulnerable": allow}
    return Config.model_validate({"target": target, "ollama": settings})


def test_a_healthy_home_has_nothing_red(home: Home) -> None:
    assert [one for one in check(home, {}) if one.ok is False] == []


def test_every_finding_is_named_once_and_says_why(home: Home) -> None:
    every = check(home, {})
    assert len({one.name for one in every}) == len(every)
    assert all(one.value and one.reason for one in every)
    assert all(one.fix for one in every if one.ok is False)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert found(Home(tmp_path / "none"), "home").ok is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX thing")
def test_a_home_that_others_may_read_is_pointed_out(home: Home) -> None:
    home.path.chmod(0o755)
    one = found(home, "home")
    assert one.ok is None
    assert one.fix == f"chmod 700 {home.path}"


def test_a_home_that_is_a_file_is_red(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert found(Home(tmp_path / "home"), "home").ok is False


def test_little_space_is_red(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_bytes", lambda path: doctor.LEAST_FREE_BYTES - 1)
    assert found(home, "free space").ok is False


def test_a_whole_ledger_is_well_and_a_damaged_one_is_red(home: Home) -> None:
    with FeedbackCollector(home.ledger_db) as collector:
        for number in range(200):
            collector.record(prompt=f"question {number}", answer="answer " * 50)
    assert found(home, "ledger").ok is True
    data = bytearray(home.ledger_db.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    home.ledger_db.write_bytes(data)
    assert found(home, "ledger").ok is False


def test_settings_that_do_not_load_are_red_and_the_rest_is_still_checked(home: Home) -> None:
    home.config_file.write_text("modle = 1")
    every = {one.name: one for one in check(home, {})}
    assert every["settings"].ok is False
    assert "nearest known one is model" in every["settings"].reason
    assert "torch" in every


def test_the_last_night_is_told_with_its_age(home: Home) -> None:
    assert found(home, "last night").ok is None
    with Journal(home.state_db) as journal:
        journal.finish_run(journal.start_run("manual", ""), "kept", "11 won, 12 lost")
        one = found(home, "last night")
        assert one.ok is True
        assert "kept, less than an hour ago: 11 won, 12 lost" in one.reason
        started = (datetime.now(UTC) - timedelta(days=9)).isoformat(timespec="microseconds")
        journal._db.execute("UPDATE runs SET started = ?", (started,))
    one = found(home, "last night")
    assert one.ok is None
    assert "9 days ago" in one.reason


def test_a_held_night_lock_is_told(home: Home) -> None:
    assert found(home, "night lock").value == "free"
    with filelock.FileLock(home.night_lock):
        assert found(home, "night lock").value == "held"


def test_a_base_install_is_well_and_says_how_to_get_the_rest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: "0.1.0" if name == "strop" else None)
    every = {one.name: one for one in check(home, {})}
    for name in ("torch", "transformers", "trl", "peft", "xllamacpp"):
        assert every[name].ok is None
        assert every[name].fix == "pip install 'strop[all]'"
    assert not any(one.ok is False for one in every.values())


@pytest.mark.parametrize(("version", "ok"), [("2.9.1", False), ("2.10.0", True), ("2.13.0+cpu", True)])
def test_a_torch_that_runs_code_from_files_is_red(
    home: Home, monkeypatch: pytest.MonkeyPatch, version: str, ok: bool
) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: version)
    assert found(home, "torch").ok is ok


def test_an_absent_ollama_is_red_only_where_it_is_the_target(home: Home) -> None:
    assert check_ollama(configured(CLOSED, "llamacpp")).ok is None
    one = check_ollama(configured(CLOSED))
    assert one.ok is False
    assert one.fix == "ollama serve"


@pytest.mark.parametrize(
    ("version", "target", "allow", "ok"),
    [
        ("0.9.3", "ollama", False, False),
        ("0.9.3", "ollama", True, True),
        ("0.9.3", "llamacpp", False, None),
        ("0.17.0", "ollama", False, False),
        ("0.17.1", "ollama", False, True),
        ("0.34.1-rc2", "ollama", False, True),
    ],
)
def test_an_ollama_with_the_memory_leak_is_refused_unless_allowed(
    version: str, target: str, allow: bool, ok: bool | None
) -> None:
    with ollama(json.dumps({"version": version}).encode()) as host:
        one = check_ollama(configured(host, target, allow=allow))
    assert (one.value, one.ok) == (version, ok)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"version": 3}'])
def test_a_server_that_is_no_ollama_counts_as_none(answer: bytes) -> None:
    with ollama(answer) as host:
        assert check_ollama(configured(host)).value == "no answer"


@pytest.mark.parametrize("answers", [True, False])
def test_an_ollama_that_answers_on_the_network_is_pointed_out(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    asked: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        if not answers:
            raise ConnectionRefusedError
        return socket.socket()

    address = SimpleNamespace(family=socket.AF_INET, address="192.0.2.7")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": [address]})
    monkeypatch.setattr(socket, "create_connection", connect)
    assert detect.open_to_others("http://127.0.0.1:11434") is answers
    assert asked == [("192.0.2.7", 11434)]


def test_an_ollama_elsewhere_is_said_to_be_open_to_others() -> None:
    assert detect.open_to_others("http://192.0.2.7:11434")


def test_a_token_is_found_and_never_shown(home: Home) -> None:
    every = check(home, {"HF_TOKEN": "hf_secret", "HF_HOME": str(home.path)})
    assert next(one for one in every if one.name == "hugging face token").value == "yes"
    assert "hf_secret" not in repr(every)
    assert found(home, "hugging face token", {"HF_HOME": str(home.path)}).value == "no"


@pytest.mark.parametrize(
    ("text", "parsed"), [("2.13.0+cpu", (2, 13, 0)), ("v0.17", (0, 17)), ("0.17.1-rc2", (0, 17, 1)), ("nightly", ())]
)
def test_the_numbers_of_a_version_are_read(text: str, parsed: tuple[int, ...]) -> None:
    assert version_numbers(text) == parsed


def test_the_doctor_loads_nothing_heavy(home: Home) -> None:
    code = (
        "import sys; from pathlib import Path; from strop.home import Home; from strop.doctor import check; "
        f"check(Home(Path({str(home.path)!r}))); "
        "print(sorted({'torch', 'transformers', 'trl', 'peft', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"


def test_the_settings_of_the_tests_are_valid(home: Home) -> None:
    assert load(home).ollama.host == CLOSED
