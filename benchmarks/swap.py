"""The front door under load: many clients, many swaps, and what it adds to an answer's time.

Run `.venv/bin/python benchmarks/swap.py` (a table) or with --json; ends with 1 where a target is missed.

A home with three versions of the tiny model is made, and `strop serve` runs on it as a program of its own. Clients ask
a fixed set of questions, each in turn whole and streamed, through the door and, in between, of a server of the same
model without it: the difference of the two distributions is what the door adds. Another process (this one) releases and
rolls back meanwhile; most swaps start a server, every third finds the one before still warm. What every version answers
to every question is known beforehand (greedy), so an answer that is not its own version's counts as mixed.

`--rate` is what all clients together ask through the door, a second: beyond what two cores can do, every server's time
is the queue in front of it, and says nothing about the door. `--rate 0` asks as fast as it can.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from plain_http import Client

from strop.config import Config, load, save
from strop.deploy.base import base_gguf
from strop.deploy.build import build
from strop.deploy.release import release, rollback
from strop.deploy.versions import Versions
from strop.home import Home
from strop.server import running
from strop.server.backend import Backend, backends
from strop.target import open_target
from strop.trainer.models import resolve

QUESTIONS = [f"What does number {n} have to do with a strop?" for n in range(12)]
TOKENS = 8
TESTS = Path(__file__).resolve().parent.parent / "tests"


@dataclass
class Seen:
    """What the clients saw. Times in seconds."""

    door: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    acknowledged: int = 0
    swaps: list[float] = field(default_factory=list)
    rollbacks: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


def request(number: int, model: str) -> tuple[bytes, bool]:
    """The body of request `number`, and whether it is streamed."""
    streamed = number // len(QUESTIONS) % 2 == 1
    question = {"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}
    body = {"model": model, "messages": [question], "max_tokens": TOKENS, "temperature": 0, "seed": 1}
    return json.dumps({**body, "stream": streamed}).encode(), streamed


def read(answer: bytes, streamed: bool) -> tuple[str, dict[str, Any]]:
    """(text, what the door says of it) of an answer."""
    if not streamed:
        data = json.loads(answer)
        return data["choices"][0]["message"]["content"] or "", data.get("strop", {})
    text, said, ended = "", {}, False
    for line in answer.decode().splitlines():
        if line.startswith("data: {"):
            data = json.loads(line[6:])
            for choice in data.get("choices", []):
                text += choice["delta"].get("content") or ""
                ended = ended or choice.get("finish_reason") is not None
            said = data.get("strop", said)
    if not ended:
        raise ValueError("a stream without an end")
    return text, said


def key_of(number: int) -> int:
    """Requests with the same key are the same."""
    return number % (2 * len(QUESTIONS))


async def expected(config: Config, home: Home) -> dict[str, dict[int, str]]:
    """What every version answers to every question, by a server of its own."""
    answers: dict[str, dict[int, str]] = {}
    made = backends(config, open_target(home, config))
    for version in Versions(home.state_db).list():
        backend = await made.start(version)
        answers[version.tag] = {}
        # Streamed and cut by its limit, llama-server leaves a last half of a character out.
        for number in range(2 * len(QUESTIONS)):
            body, streamed = request(number, backend.model)
            data = await backend.client.post("/v1/chat/completions", content=body)
            answers[version.tag][key_of(number)] = read(data.content, streamed)[0]
        await backend.close()
    return answers


async def one_client(
    number: int, options: argparse.Namespace, door: str, token: str, alone: Backend, known: Any, seen: Seen
) -> None:
    """A client's share of all requests, each through the door and alone, in turn which comes first."""
    through = Client(door, token)
    key = alone.child.headers["Authorization"].removeprefix("Bearer ") if alone.child else ""
    direct = Client(str(alone.client.base_url).rstrip("/"), key)
    every_s = options.clients / options.rate if options.rate else 0.0
    due = time.perf_counter() + every_s * number / options.clients
    for at in range(number, options.requests, options.clients):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due += every_s
        for which in ("door", "alone") if at // options.clients % 2 else ("alone", "door"):
            if which == "door":
                await through_door(through, at, known, seen)
            elif at < options.requests - options.unpaired:
                body, _ = request(at, alone.model)
                status, _, seconds = await direct.ask("/v1/chat/completions", body)
                if status == 200:
                    seen.alone.append(seconds)
    through.close()
    direct.close()


async def through_door(client: Client, at: int, known: dict[str, dict[int, str]], seen: Seen) -> None:
    """One request through the door, and whether its answer is its version's own."""
    body, streamed = request(at, "strop")
    try:
        status, answer, seconds = await client.ask("/v1/chat/completions", body)
        if status != 200:
            raise ValueError(f"HTTP {status}: {answer[:200]!r}")
        text, said = read(answer, streamed)
    except (OSError, ValueError, KeyError, asyncio.IncompleteReadError) as error:
        seen.failed.append(f"{type(error).__name__}: {error}")
        client.close()
        return
    version = said["version"]
    seen.door.append(seconds)
    # Where this random model says nothing, or a NUL, there is no answer that could be rated.
    seen.acknowledged += said["interaction"] is not None
    seen.versions[version] += 1
    if known.get(version, {}).get(key_of(at)) != text:
        seen.mixed.append(f"{version}, streamed {streamed}: {text!r} is not {known.get(version, {}).get(key_of(at))!r}")


def move(home: Home, config: Config, step: int) -> tuple[str, bool]:
    """The next swap: two releases (or returns) to another version, then a rollback to the one before."""
    versions, target = Versions(home.state_db), open_target(home, config)
    live = versions.live()
    assert live is not None  # noqa: S101 (a benchmark's own state)
    if step % 3 == 2:
        others = [one for one in versions.list() if one.tag == LAST[-1]]
        back = True
    else:
        others = [one for one in versions.list() if one.number == (live.number + 1) % 3]
        back = False
    to = others[0]
    LAST.append(live.tag)
    if to.state == "gated":
        return release(versions, target, to.tag, home.release_lock)[1], back
    return rollback(versions, target, home.release_lock, to=to.tag)[1], back


LAST: list[str] = []


async def swapping(home: Home, config: Config, options: argparse.Namespace, door: str, token: str, seen: Seen) -> None:
    """Move the live version `--swaps` times over the run, and see how soon the door answers with it."""
    client, total_s = Client(door, token), options.requests / options.rate if options.rate else 0.0
    for step in range(options.swaps):
        started = time.perf_counter()
        tag, back = await asyncio.to_thread(move, home, config, step)
        moved = time.perf_counter()
        while json.loads((await client.ask("/healthz", b""))[1])["version"] != tag:
            await asyncio.sleep(0.005)
        now = time.perf_counter()
        seen.swaps.append(now - moved)
        if back:
            seen.rollbacks.append(now - started)
        await asyncio.sleep(max(0.05, total_s / options.swaps - (now - started)))
    client.close()


def cpu_s(process: psutil.Process) -> float:
    """What a process used of the processor so far, in seconds; its children not counted."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(home: Home, config: Config, options: argparse.Namespace, door: str, process: psutil.Process) -> Seen:
    """The whole run against a door that is up."""
    seen, token = Seen(), running.token(home)
    known = await expected(config, home)
    live = Versions(home.state_db).get(0)
    alone = await backends(config, open_target(home, config)).start(live)
    before_s = cpu_s(process)
    try:
        clients = [one_client(n, options, door, token, alone, known, seen) for n in range(options.clients)]
        await asyncio.gather(swapping(home, config, options, door, token, seen), *clients)
    finally:
        await alone.close()
    seen.cpu_s = cpu_s(process) - before_s
    return seen


@contextlib.contextmanager
def program(home: Home) -> Iterator[tuple[str, psutil.Process]]:
    """`strop serve` on a home, as its own process; yields its address and the process."""
    command = [sys.executable, "-m", "strop", "--home", str(home.path), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None  # noqa: S101
            line = child.stdout.readline()
            if " answers at " not in line:
                raise SystemExit("strop serve did not start")
            yield line.rpartition(" answers at ")[2].strip().removesuffix("/v1"), psutil.Process(child.pid)
        finally:
            child.terminate()
            child.wait(60)


def make_home(folder: Path, options: argparse.Namespace) -> Home:
    """A home with the tiny base and two adapters on it, the base live."""
    spec = importlib.util.spec_from_file_location("tiny_model", TESTS / "tiny_model.py")
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    home = Home(folder / "home").ensure()
    model = tiny.make_base(folder / "base")
    settings: dict[str, Any] = {
        "model": str(model),
        "target": options.target,
        "quant": "F16",
        "serve.slots": 8,
        "serve.threads": 1,
    }
    if options.target == "ollama":
        # The benchmark's own server, on loopback: an old one will do.
        settings |= {"ollama.num_ctx": 512, "ollama.num_thread": 1, "ollama.allow_vulnerable": True}
        settings |= {"ollama.host": options.ollama} if options.ollama else {}
    save(home, {**settings, "serve.context_tokens": 512})
    base = resolve(str(model), home.models)
    f16, versions = base_gguf(base, home.builds), Versions(home.state_db)
    for number, alpha in enumerate((None, 8, 24)):
        adapter = tiny.make_adapter(model, home.adapters / f"alpha-{alpha}", lora_alpha=alpha) if alpha else None
        built = build(base, f16, adapter, home.builds / f"build-{number}", "F16")
        facts = {"gguf": built.gguf, "sha256": built.sha256, "folder": built.folder, "base_ref": base.ref}
        made = versions.add(**facts, adapter_sha=None, quant="F16", state="certified", number=None if number else 0)
        if number:
            versions.set_state(made.tag, "gated")
        else:
            release(versions, open_target(home, load(home)), made.tag, home.release_lock)
    return home


def rows(seen: Seen, recorded: int, options: argparse.Namespace) -> list[tuple[str, float, str, float | None]]:
    """(what, measured, unit, most that is allowed)."""

    def quantile(values: list[float], share: float) -> float:
        return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0

    added = [1000 * (quantile(seen.door, q) - quantile(seen.alone, q)) for q in (0.5, 0.99)]
    return [
        ("requests answered", len(seen.door), "", None),
        ("failed", len(seen.failed), "", 0),
        ("answers that mix versions", len(seen.mixed), "", 0),
        ("acknowledged as recorded", seen.acknowledged, "", None),
        ("acknowledged and not in the ledger", seen.acknowledged - recorded, "", 0),
        ("versions that answered", len(seen.versions), "", None),
        ("alone: p50", 1000 * quantile(seen.alone, 0.5), "ms", None),
        ("alone: p99", 1000 * quantile(seen.alone, 0.99), "ms", None),
        ("added: p50", added[0], "ms", 3.0),
        ("added: p99", added[1], "ms", 15.0),
        ("door: CPU a request, swaps included", 1000 * seen.cpu_s / max(1, len(seen.door)), "ms", None),
        ("swaps", len(seen.swaps), "", None),
        ("swap visible: median", statistics.median(seen.swaps), "s", None),
        ("swap visible: longest", max(seen.swaps), "s", 1.0),
        ("rollback, command to answer: longest", max(seen.rollbacks, default=0.0), "s", 1.0),
    ]


def recorded_in(home: Home) -> int:
    """How many answers the ledger holds."""
    from strop.feedback import Ledger

    with Ledger.open(home.ledger_db) as ledger:
        return int(ledger.counts()["interactions"])


def main() -> int:
    parser = argparse.ArgumentParser(description="The front door under load.")
    parser.add_argument("--target", choices=("llamacpp", "ollama"), default="llamacpp")
    parser.add_argument("--ollama", metavar="URL", help="where Ollama answers, with --target ollama")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second, all clients together; 0: no limit")
    parser.add_argument("--unpaired", type=int, default=0, help="so many of the last requests go through the door only")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        home = make_home(Path(folder), options)
        with program(home) as (door, process):
            seen = asyncio.run(measure(home, load(home), options, door, process))
        table = rows(seen, recorded_in(home), options)
    missed = [what for what, value, _, most in table if most is not None and value > most]
    facts = {what: round(value, 3) for what, value, _, _ in table}
    if options.json:
        print(json.dumps({"options": vars(options), "measured": facts, "missed": missed}, indent=2))  # noqa: T201
    else:
        for what, value, unit, most in table:
            target = "" if most is None else f"<= {most:g} {unit}: {'MISSED' if what in missed else 'met'}"
            print(f"| {what} | {value:,.3f} {unit} | {target} |".replace(".000 ", " "))  # noqa: T201
        print(f"{time.perf_counter() - started:.0f} s in all", file=sys.stderr)  # noqa: T201
    for text in [*seen.failed[:5], *seen.mixed[:5]]:
        print(text, file=sys.stderr)  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
