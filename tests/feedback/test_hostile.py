"""Strings that somebody sends to break Strop: stored as they are, or refused with the reason; never run, never a role.

The strings are those of hostile.py. They go through the collector, the command line and every importer.
"""

import csv
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.cli.app import run
from strop.errors import BadRecord, UsageError
from strop.feedback import FeedbackCollector, Ledger, Message, Signal, standing_data
from strop.feedback.export import exported
from strop.feedback.importers import FORMATS, base, importer
from strop.feedback.jsonl import import_file
from strop.feedback.pairs import build
from strop.feedback.records import ROLES
from strop.feedback.reviews import decide
from strop.feedback.rows import Rows
from strop.feedback.scrub import Scrubber
from strop.feedback.settings import FeedbackSettings
from strop.feedback.verify import problems

HOME = Path(__file__)
# All that could steer a terminal: control characters but tab and newline, and Unicode's Bidi_Control.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Each string is a conversation of its own, so none may be capped for another.
NO_CAPS = FeedbackSettings(cap_conversation=10_000, cap_cluster=10_000)


def _beside(name: str) -> ModuleType:
    # In importlib mode the tests are no package and their folder is not on the path.
    spec = importlib.util.spec_from_file_location(f"strop_tests_{name}", HOME.with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hostile = _beside("hostile")
TEXTS: tuple[str, ...] = tuple(one.text for one in hostile.STORED)
REFUSED: tuple[tuple[str, str], ...] = tuple(
    (hostile.REASONS[kind], text) for kind, texts in hostile.REFUSED.items() for text in texts
)
OF: Mapping[str, list[str]] = {
    category: [one.text for one in hostile.STORED if one.category == category] for category in hostile.CATEGORIES
}


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every string that is executed makes a file in the working folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield
    assert list(here.iterdir()) == []
    assert list(tmp_path.rglob(hostile.CANARY)) == []


@pytest.fixture
def feedback(tmp_path: Path) -> Iterator[FeedbackCollector]:
    """A collector whose ledger is whole afterwards, with all its tables and all its triggers."""
    with FeedbackCollector(tmp_path / "ledger.db") as opened:
        before = schema(opened.ledger)
        yield opened
        assert problems(opened.ledger) == ()
        assert schema(opened.ledger) == before
        roles = {one.role for interaction, _ in opened.ledger.iterate() for one in interaction.messages}
        assert roles <= set(ROLES)


def schema(ledger: Ledger) -> set[str]:
    return {row["sql"] for row in ledger.query("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}


def squeezed(text: str) -> str:
    """`text` without what formats may change at its ends and between its words."""
    return re.sub(r"[\s\x1c-\x1f\x85\u200b\ufeff]+", "", text)


def test_there_are_enough_of_them() -> None:
    texts = [*TEXTS, *(text for _, text in REFUSED)]
    assert len(set(texts)) == len(texts) >= 200
    assert all(len(found) >= 15 for found in OF.values())


# The collector


@pytest.mark.parametrize("category", hostile.CATEGORIES)
def test_the_collector_stores_them_as_they_are_but_for_what_is_scrubbed(
    category: str, feedback: FeedbackCollector
) -> None:
    scrubber = Scrubber()
    for text in OF[category]:
        with feedback.ledger.transaction():  # one fsync in place of fourteen
            said = [
                feedback.record(prompt=text, answer=text, system=text),
                feedback.record(messages=[{"role": "user", "content": text}], answer=text, session="s"),
            ]
            for found in said:
                feedback.rate(found, "down", note=text)
                feedback.correct(found, text)
                feedback.note(found, text)
                feedback.react(found, text)
                feedback.tool_outcome(found, ok=False, text=text)
                feedback.observe_next(found, text)
        for found in said:
            stored = feedback.ledger.interaction(found)
            whole = [*(one.content for one in stored.messages), stored.answer]
            assert whole == list(scrubber.scrub([text] * len(whole)).texts)
            assert stored.messages[-1].role == "user"
            assert {one.role for one in stored.messages} <= {"system", "user"}
            one = scrubber.scrub([text]).texts[0]
            assert {signal.text for signal in feedback.ledger.signals(found)} == {one}


@pytest.mark.parametrize(("reason", "text"), REFUSED)
def test_the_collector_refuses_what_cannot_be_stored_and_says_why(
    reason: str, text: str, feedback: FeedbackCollector
) -> None:
    fine = feedback.record(prompt="What is a strop?", answer="A strip of leather.")
    for call in (
        lambda: feedback.record(prompt=text, answer="a"),
        lambda: feedback.record(prompt="p", answer=text),
        lambda: feedback.correct(fine, text),
        lambda: feedback.note(fine, text),
    ):
        with pytest.raises(BadRecord, match=reason) as caught:
            call()
        assert re.match("(prompt|answer|correction|note|messages: content): ", str(caught.value))
        assert caught.value.hint
        assert not STEERING.search(str(caught.value))
    assert feedback.ledger.counts()["interactions"] == 1
    assert feedback.ledger.signals(fine) == ()


@pytest.mark.parametrize("field", ["model", "version", "domain", "channel", "user", "session"])
def test_names_are_stored_as_they_are_or_refused(field: str, feedback: FeedbackCollector) -> None:
    names = [*TEXTS, *(text for _, text in REFUSED)]
    with feedback.ledger.transaction():
        for number, name in enumerate(names):
            fields: Any = {field: name}
            if len(name) > 1024 or "\0" in name or re.search("[\ud800-\udfff]", name):
                with pytest.raises(BadRecord, match=f"^{field}: "):
                    feedback.record(prompt=f"{number}?", answer="a", **fields)
                continue
            found = feedback.record(prompt=f"{number}?", answer="a", **fields)
            assert getattr(feedback.ledger.interaction(found), field) == name


def test_whoever_reacts_is_the_owner_by_that_name_alone(feedback: FeedbackCollector) -> None:
    found = feedback.record(prompt="p", answer="a")
    with feedback.ledger.transaction():
        for name in (text for text in TEXTS if len(text) <= 1024):
            signal = feedback.rate(found, "up", user=name, source=name, source_key=name)
            assert feedback.rate(found, "down", user=name, source=name, source_key=name) == signal
    owners = [signal.user for signal in feedback.ledger.signals(found) if signal.trust == "owner"]
    assert owners == ["owner"]


def test_no_string_becomes_a_role_a_kind_a_rating_or_an_id(feedback: FeedbackCollector) -> None:
    fine = feedback.record(prompt="p", answer="a")
    for text in (*TEXTS, *(text for _, text in REFUSED)):
        for call in (
            lambda text=text: Message(text, "x"),
            lambda text=text: Signal(fine, text, 1.0),
            lambda text=text: Signal(fine, "thumb", text),
            lambda text=text: feedback.record(messages=[{"role": text, "content": "x"}], answer="a"),
        ):
            with pytest.raises(BadRecord) as caught:
                call()
            assert len(str(caught.value)) < 25_000
        if text.strip() not in ("1", "2", "3", "4", "5"):
            with pytest.raises(BadRecord, match="is not a rating"):
                feedback.rate(fine, text)
        if text not in ("owner", ""):
            with pytest.raises(BadRecord, match="trust"):
                feedback.rate(fine, "up", trust=text)  # type: ignore[arg-type]


# What trains


def texts_of(rows: Rows) -> Iterator[tuple[str, str]]:
    """(role, text) of everything that would train or judge."""
    for row in (*rows.sft, *rows.dpo, *rows.kto, *rows.hindsight):
        for turns in (row[name] for name in ("prompt", "completion", "chosen", "rejected", "feedback") if name in row):
            yield from ((turn["role"], turn["content"]) for turn in turns)
    for judged in rows.gate:
        yield from ((turn["role"], turn["content"]) for turn in judged.messages)
        yield from (("assistant", text) for text in (judged.chosen, judged.rejected))


def tell(feedback: FeedbackCollector, texts: Sequence[str]) -> None:
    """Each of `texts` in each place from which a row takes its words."""
    with feedback.ledger.transaction():
        for number, text in enumerate(texts):
            _tell(feedback, number, text)


def _tell(feedback: FeedbackCollector, number: int, text: str) -> None:
    feedback.correct(feedback.record(prompt=f"wanted {number}", answer=f"no {number}"), f"{number} {text}")
    feedback.rate(feedback.record(prompt=f"praised {number}", answer=f"{number} {text}"), "up")
    feedback.rate(feedback.record(prompt=f"refused {number}", answer=f"{number} {text}"), "down")
    feedback.correct(feedback.record(prompt=f"asked {number} {text}", answer=f"no {number}"), f"yes {number}")
    feedback.correct(feedback.record(prompt=f"bad {number}", answer=f"{number} {text}"), f"better {number}")
    feedback.correct(feedback.record(prompt="p", answer=f"no {number}", system=f"{number} {text}"), f"so {number}")
    complained = feedback.record(prompt=f"complained {number}", answer=f"because {number}")
    feedback.ledger.add_signal(Signal(complained, "complaint", -0.4, f"{number} {text}"))
    guest = feedback.correct(feedback.record(prompt=f"guest {number}", answer="no"), f"g {number}", user="guest")
    decide(feedback.ledger, guest, "edit", "owner", f"{number} {text}")


def test_what_holds_a_control_token_never_trains_wherever_it_stands(feedback: FeedbackCollector) -> None:
    tell(feedback, OF["template"])
    rows = build(feedback.ledger, NO_CAPS)
    said = [text for _, text in texts_of(rows)]
    assert [text for text in said if any(token in text for token in hostile.TEMPLATE_TOKENS)] == []
    assert rows.excluded["template_tokens"] >= 5 * len(OF["template"])
    assert any(text.startswith("better ") for text in said), "the good text beside a bad one still teaches"


@pytest.mark.parametrize("token", hostile.RARER_TOKENS)
def test_what_holds_a_rarer_control_token_never_trains(token: str, feedback: FeedbackCollector) -> None:
    feedback.correct(feedback.record(prompt="How?", answer="So."), f"Use {token} for it.")
    rows = build(feedback.ledger, NO_CAPS)
    assert [text for _, text in texts_of(rows) if token in text] == []
    assert rows.excluded["template_tokens"] == 1


def test_what_one_base_makes_control_tokens_of_does_not_train_that_base(feedback: FeedbackCollector) -> None:
    tell(feedback, hostile.TOKENS_OF_SMOLLM2)
    feedback.correct(feedback.record(prompt="How?", answer="So."), "Like this.")
    every = build(feedback.ledger, NO_CAPS)
    assert any("<filename>" in text for _, text in texts_of(every)), "for another base these are words"
    rows = every.without(hostile.TOKENS_OF_SMOLLM2)
    assert not any(token in text for _, text in texts_of(rows) for token in hostile.TOKENS_OF_SMOLLM2)
    assert "Like this." in [text for _, text in texts_of(rows)]
    names = ("sft", "dpo", "kto", "hindsight", "gate", "held")
    gone = sum(len(getattr(every, name)) - len(getattr(rows, name)) for name in names)
    assert rows.excluded["template_tokens"] == gone > 10
    assert every.without(("<|nowhere|>", 'prompt"')) is every


def test_the_others_train_as_the_text_that_they_are(feedback: FeedbackCollector) -> None:
    texts = [one.text for one in hostile.STORED if one.category != "template"]
    tell(feedback, texts)
    found = list(texts_of(build(feedback.ledger, NO_CAPS)))
    assert {role for role, _ in found} == {"system", "user", "assistant"}
    stored = {one.content for interaction, _ in feedback.ledger.iterate() for one in interaction.messages}
    stored |= {interaction.answer.strip() for interaction, _ in feedback.ledger.iterate()}
    stored |= {(signal.text or "").strip() for _, signals in feedback.ledger.iterate() for signal in signals}
    stored |= {row["text"].strip() for row in feedback.ledger.query("SELECT text FROM reviews")}
    assert {text for _, text in found} <= stored, "a text was changed, or made up, on its way into a row"
    assert not any(hostile.WITNESS in text for _, text in found)
    taught = {text.partition(" ")[2] for role, text in found if role == "assistant"}
    assert len(taught & {text.strip() for text in texts}) > len(texts) / 2


def test_standing_data_takes_no_control_token(feedback: FeedbackCollector, tmp_path: Path) -> None:
    file = tmp_path / "standing.jsonl"
    for text in OF["template"]:
        for field, row in (
            ("prompt", {"prompt": text, "completion": "a"}),
            ("prompt[0].content", {"prompt": [{"role": "user", "content": text}], "completion": "a"}),
            ("completion", {"prompt": "p", "completion": text}),
            ("chosen", {"prompt": "p", "chosen": text, "rejected": "a"}),
            ("rejected", {"prompt": "p", "chosen": "a", "rejected": text}),
            ("rejected", {"prompt": "p", "chosen": "a", "rejected": [{"role": "assistant", "content": text}]}),
            (
                "messages[1].content",
                {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": text}]},
            ),
        ):
            file.write_text(f"\n{json.dumps(row)}", encoding="utf-8")
            said = re.escape(f"line 2: {field}: it holds a chat template's control tokens")
            with pytest.raises(BadRecord, match=f"^{said}"):
                standing_data.add(feedback.ledger, file, "house")
    assert standing_data.sets(feedback.ledger) == ()
    others = [one.text for one in hostile.STORED if one.category not in ("template", "shape")]
    file.write_text("".join(json.dumps({"prompt": text, "completion": text}) + "\n" for text in others), "utf-8")
    assert standing_data.add(feedback.ledger, file, "house").rows == len(others)


# The importers. Each of these writes `texts` in one format; `key` of the answer made of text n is f"h{n}".


def as_csv(folder: Path, texts: Sequence[str]) -> Path:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(("prompt", "answer", "correction", "note", "rating", "session"))
    writer.writerows((text, text, f"Better: {text}", text, "down", f"h{n}") for n, text in enumerate(texts))
    path = folder / "rows.csv"
    path.write_bytes(out.getvalue().encode("utf-8", "surrogatepass"))
    return path


def as_openai(folder: Path, texts: Sequence[str]) -> Path:
    path = folder / "rows.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for n, text in enumerate(texts):
            said = [{"role": role, "content": text} for role in ("user", "assistant")]
            row = {
                "messages": said,
                "session": f"h{n}",
                "correction": f"Better: {text}",
                "note": text,
                "rating": "down",
            }
            out.write(json.dumps(row) + "\n")
    return path


def as_openwebui(folder: Path, texts: Sequence[str]) -> Path:
    entries = []
    for n, text in enumerate(texts):
        messages = {
            "q": {"id": "q", "parentId": None, "role": "user", "content": text},
            "a": {"id": "a", "parentId": "q", "role": "assistant", "content": text},
        }
        entries.append(
            {
                "id": f"f{n}",
                "user_id": "owner",
                "type": "rating",
                "data": {"rating": -1, "model_id": "m", "comment": text, "reason": text},
                "meta": {"message_id": "a", "chat_id": f"h{n}"},
                "snapshot": {"chat": {"chat": {"history": {"messages": messages}}}},
            }
        )
    path = folder / "feedback.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def as_claudecode(folder: Path, texts: Sequence[str]) -> Path:
    folder = folder / "projects" / "-home-ann"
    folder.mkdir(parents=True, exist_ok=True)
    for n, text in enumerate(texts):
        records = [
            {"uuid": "u", "parentUuid": None, "type": "user", "message": {"role": "user", "content": text}},
            {
                "uuid": "a",
                "parentUuid": "u",
                "type": "assistant",
                "message": {
                    "id": "m",
                    "role": "assistant",
                    "model": "m",
                    "stop_reason": "end_turn",
                    "content": [{"type": "text", "text": text}],
                },
            },
            {"uuid": "v", "parentUuid": "a", "type": "user", "message": {"role": "user", "content": text}},
        ]
        lines = [json.dumps({**one, "sessionId": f"h{n}", "timestamp": "2026-07-01T10:00:00Z"}) for one in records]
        (folder / f"{n}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder.parent


def as_openclaw(folder: Path, texts: Sequence[str]) -> Path:
    folder = folder / "agents" / "main" / "sessions"
    folder.mkdir(parents=True, exist_ok=True)
    done = {"provider": "ollama", "model": "m", "stopReason": "stop"}
    for n, text in enumerate(texts):
        records = [
            {"type": "session", "version": 3, "id": f"s{n}"},
            {"type": "message", "id": f"h{n}", "parentId": None, "message": {"role": "user", "content": text}},
            {
                "type": "message",
                "id": "a",
                "parentId": f"h{n}",
                "message": {"role": "assistant", "content": text, **done},
            },
            {"type": "message", "id": "v", "parentId": "a", "message": {"role": "user", "content": text}},
        ]
        lines = [json.dumps({**one, "timestamp": "2026-07-01T10:00:00Z"}) for one in records]
        (folder / f"s{n}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    keys = {f"agent:main:k{n}": {"sessionId": f"s{n}"} for n in range(len(texts))}
    (folder / "sessions.json").write_text(json.dumps(keys), encoding="utf-8")
    return folder


def as_learnings(folder: Path, texts: Sequence[str]) -> Path:
    folder = folder / ".learnings"
    folder.mkdir(parents=True, exist_ok=True)
    fence = "`" * 20
    for n, text in enumerate(texts):
        parts = "".join(f"- **{name}**:\n{fence}\n{text}\n{fence}\n" for name in ("Answered", "Correct"))
        entry = f"## [LRN-20260701-{n}] correction\n**Logged**: 2026-07-01\n### Details\n- **Asked**: h{n}\n{parts}"
        (folder / f"{n}.md").write_bytes(entry.encode("utf-8", "surrogatepass"))
    return folder


AS: dict[str, Callable[[Path, Sequence[str]], Path]] = {
    "csv": as_csv,
    "openai": as_openai,
    "openwebui": as_openwebui,
    "claudecode": as_claudecode,
    "openclaw": as_openclaw,
    "learnings": as_learnings,
}


def test_every_format_is_written_here() -> None:
    assert set(AS) == set(FORMATS), "write the new format's strings as well"


@pytest.mark.parametrize("name", FORMATS)
def test_an_importer_stores_them_or_counts_them_and_makes_no_role_of_them(name: str, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", scrubber=None) as ledger:
        before = schema(ledger)
        done = base.run(importer(name), ledger, AS[name](tmp_path, TEXTS))
        assert all(reason.strip() and len(reason) < 300 for reason in done.skipped)
        stored: dict[str, list[str]] = {}
        for one, signals in ledger.iterate():
            assert [message.role for message in one.messages if message.role != "tool"] == ["user"]
            assert all(signal.source == name for signal in signals)
            texts = [one.prompt, one.answer, *(signal.text for signal in signals if signal.text)]
            stored[one.session or one.prompt] = [squeezed(text) for text in texts]
        assert len(stored) + sum(done.skipped.values()) >= len(TEXTS), "something is neither stored nor counted"
        assert len(stored) > 0.9 * len(TEXTS) or name in ("openclaw", "claudecode", "learnings")
        assert len(stored) > 0.7 * len(TEXTS)
        # Some formats take their own marks out of a text; what is left must be a part of it, in its order.
        whole = sum(squeezed(TEXTS[n]) in stored[f"h{n}"] for n in range(len(TEXTS)) if f"h{n}" in stored)
        assert whole > 0.9 * len(stored)
        said = [text for _, text in texts_of(build(ledger, NO_CAPS))]
        assert [text for text in said if any(token in text for token in hostile.TEMPLATE_TOKENS)] == []
        assert bool(said) == (name in ("csv", "openai", "openwebui")), "elsewhere no owner rated anything"
        assert problems(ledger) == ()
        assert schema(ledger) == before


@pytest.mark.parametrize("name", FORMATS)
def test_an_importer_says_why_it_does_not_take_what_cannot_be_stored(name: str, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        for number, (reason, text) in enumerate(REFUSED):
            if reason == "empty":
                continue  # an empty cell says nothing, in any format
            folder = tmp_path / str(number)
            folder.mkdir()
            try:
                said = list(base.run(importer(name), ledger, AS[name](folder, [text])).skipped)
            except BadRecord as error:
                said = [str(error)]
            assert any(reason in one or "not UTF-8" in one for one in said), (text, said)
            assert not any(STEERING.search(one) for one in said)
        assert ledger.counts()["interactions"] == 0


@pytest.mark.parametrize(
    "role", ["root", "developer; system", "SYSTEM", "system\n", "sys\u200btem", "", "tool_use", "\0"]
)
def test_no_importer_takes_a_role_that_does_not_exist(role: str, tmp_path: Path) -> None:
    row = {"messages": [{"role": role, "content": "obey"}, {"role": "user", "content": "p"}], "answer": "a"}
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        with pytest.raises(BadRecord, match="role"):
            import_file(ledger, file)
        row["messages"] += [{"role": "assistant", "content": row.pop("answer")}]
        file.write_text(json.dumps(row), encoding="utf-8")
        with pytest.raises(BadRecord, match="role"):
            base.run(importer("openai"), ledger, file)
        assert ledger.counts()["interactions"] == 0


# The command line


@pytest.fixture
def strop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `strop ARGS` in this process; (code, stdout, stderr)."""

    def call(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["--home", str(tmp_path / "home"), *args])
        return code, *capsys.readouterr()

    return call


def own_lines(texts: Sequence[str]) -> str:
    return "".join(
        json.dumps(
            {"prompt": text, "answer": text, "correction": f"Better: {text}", "note": text, "session": text[:900]}
        )
        + "\n"
        for text in texts
    )


def program(tmp_path: Path, *args: str, **more: Any) -> "subprocess.CompletedProcess[bytes]":
    """The real program, in a process of its own."""
    command = [sys.executable, "-m", "strop", "--home", str(tmp_path / "home"), *args]
    return subprocess.run(command, capture_output=True, timeout=120, **more)


def test_the_program_imports_them_and_shows_them_without_what_steers_a_terminal(
    tmp_path: Path, strop: Callable[..., tuple[int, str, str]]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(own_lines(TEXTS), encoding="utf-8")
    done = program(tmp_path, "feedback", "import", str(file))
    assert (done.returncode, done.stdout.split(b",")[0]) == (0, f"{len(TEXTS)} stored".encode())
    code, listed, told = strop("feedback", "list", "--limit", "1000")
    assert code == 0
    assert len(listed.splitlines()) == len(TEXTS) + 1, "no text makes a line of its own"
    assert not STEERING.search(listed + told)
    with Ledger.open(tmp_path / "home" / "ledger.db") as ledger:
        ids = [one.id for one, _ in ledger.iterate()]
    for found in ids:
        code, shown, told = strop("feedback", "show", found)
        assert code == 0
        assert not STEERING.search(shown + told)
        # What a person or a model wrote is set off, so that it cannot pass for what Strop says.
        assert [line for line in shown.splitlines() if line.startswith(("assistant:", "answer:"))] == ["answer:"]
    for command in (("feedback", "stats"), ("feedback", "verify"), ("audit",)):
        code, out, told = strop(*command)
        assert code == 0
        assert not STEERING.search(out + told)


@pytest.mark.parametrize("category", hostile.CATEGORIES)
def test_the_program_takes_one_of_each_as_an_argument(category: str, tmp_path: Path) -> None:
    text = next(text for text in OF[category] if len(text) < 5000 and not text.startswith("-"))
    texts = ("--prompt", text, "--answer", text, "--correction", f"Better: {text}", "--session", text[:1024])
    done = program(tmp_path, "feedback", "add", *texts)
    assert (done.returncode, done.stdout[:7]) == (0, b"stored ")
    assert not STEERING.search((done.stdout + done.stderr).decode())
    with Ledger.open(tmp_path / "home" / "ledger.db") as ledger:
        ((one, (signal,)),) = ledger.iterate()
    assert (one.prompt, one.answer, signal.text, one.session) == (text, text, f"Better: {text}", text[:1024])


@pytest.mark.parametrize(("reason", "text"), REFUSED)
def test_the_program_refuses_what_cannot_be_stored_with_one_line(
    reason: str, text: str, tmp_path: Path, strop: Callable[..., tuple[int, str, str]]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"prompt": "p", "answer": text}), encoding="utf-8")
    code, out, told = strop("feedback", "import", str(file))
    assert (code, out) == (2, "")
    assert reason in told
    assert told.startswith("error: line 1: ")
    assert not STEERING.search(told)
    code, _, told = strop("feedback", "add", "--prompt", text, "--answer", "a", "--rating", "up")
    assert code == 2
    assert reason in told
    assert not STEERING.search(told)


@pytest.mark.parametrize("category", ["terminal", "bidi"])
def test_an_error_names_what_is_wrong_without_its_control_characters(
    category: str, tmp_path: Path, strop: Callable[..., tuple[int, str, str]]
) -> None:
    file = tmp_path / "rows.jsonl"
    for text in OF[category]:
        for row in ({"prompt": "p", "answer": "a", text: 1}, {"prompt": "p", "answer": "a", "rating": text}):
            file.write_text(json.dumps(row), encoding="utf-8")
            code, _, told = strop("feedback", "import", str(file))
            assert code == 2
            assert not STEERING.search(told)
        for args in (("show", text), ("import", str(tmp_path / text.replace("/", "_")[:100])), ("list", text)):
            code, _, told = strop("feedback", *args)
            assert code
            assert not STEERING.search(told), args


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_a_terminal_gets_a_table_and_none_of_their_sequences(
    tmp_path: Path, strop: Callable[..., tuple[int, str, str]]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(own_lines([*OF["terminal"], *OF["bidi"], *OF["markup"]]), encoding="utf-8")
    assert strop("feedback", "import", str(file))[0] == 0
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "strop", "--home", str(tmp_path / "home"), "feedback", "list", "--limit", "1000"]
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
        assert child.wait(60) == 0
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    assert "cleared" in text
    assert "[bold red]rich" in text, "markup is text, for a table as well"
    assert not STEERING.search(text)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # so Linux says that the other end is closed
        return b""


# Too large, too deep, too slow

BODY = 64_000_000
LEVELS = 100_000
DEEP = "[" * LEVELS + "]" * LEVELS

LARGE = """
import json, re, sys, time
from pathlib import Path
from strop.errors import StropError
from strop.feedback import FeedbackCollector
from strop.feedback.importers import base, importer
from strop.feedback.imports import reader
path, folder = Path(sys.argv[1]), Path(sys.argv[2])
start, said = time.monotonic(), []
with FeedbackCollector(folder / "ledger.db") as feedback:
    try:
        if path.name == "none":
            feedback.record(prompt="x" * 64_000_000, answer="a")
        done = reader(path, sys.argv[3])(feedback.ledger)
        said = list(done.skipped)
    except StropError as error:
        said = [str(error)]
    counts = feedback.ledger.counts()
print(json.dumps({
    "said": said,
    "counts": counts,
    "seconds": time.monotonic() - start,
    "mib": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


def large(path: Path, folder: Path, name: str) -> Any:
    """What a process of its own says of reading `path`: `said`, `counts`, `seconds` and its peak of memory in `mib`."""
    command = [sys.executable, "-c", LARGE, str(path), str(folder), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return json.loads(done.stdout)


# getrusage would do elsewhere, but a child's figure begins with that of the process that started it.
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc says how much memory it had")


@needs_proc
def test_a_body_of_64_mib_is_refused_by_the_collector(tmp_path: Path) -> None:
    told = large(tmp_path / "none", tmp_path, "strop")
    assert told["said"] == ["the record holds 64,000,001 bytes of text, more than 8,388,608"]
    assert told["seconds"] < 3
    assert told["mib"] < 400


@needs_proc
@pytest.mark.parametrize("name", ["strop", *FORMATS])
def test_a_body_of_64_mib_is_refused_with_the_reason_from_every_format(name: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    if name == "strop":
        path.write_text(own_lines(["BODY"]), encoding="utf-8")
    else:
        path = AS[name](tmp_path, ["BODY"])
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            said = file.read_text("utf-8")
            where = '"content": "BODY' if '"content": "BODY' in said else "BODY"
            file.write_text(said.replace(where, where.replace("BODY", "x" * BODY), 1), encoding="utf-8")
    told = large(path, tmp_path, name)
    assert told["counts"]["interactions"] == 0
    assert len(told["said"]) == 1
    assert re.search("MiB|more than 8,388,608|larger|cannot be read|field larger", told["said"][0]), told["said"]
    assert told["seconds"] < 10
    assert told["mib"] < 600


@needs_proc
@pytest.mark.parametrize("name", ["strop", *FORMATS])
def test_json_of_100000_levels_is_refused_or_kept_as_text(name: str, tmp_path: Path) -> None:
    if name == "strop":
        path = tmp_path / "own.jsonl"
        path.write_text('{"prompt": "p", "answer": "a", "tool_calls": [' + DEEP + "]}\n", encoding="utf-8")
    else:
        path = AS[name](tmp_path, ["DEEP"])
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file() and file.name != "sessions.json":
                quoted = '"DEEP"' if name in ("openai", "openwebui", "claudecode", "openclaw") else "DEEP"
                file.write_text(file.read_text("utf-8").replace(quoted, DEEP), encoding="utf-8")
    told = large(path, tmp_path, name)
    assert told["seconds"] < 5
    assert told["mib"] < 400
    if name in ("csv", "learnings"):  # there it is a text like any other
        assert told["counts"]["interactions"] == 1
    else:
        assert told["counts"]["interactions"] == 0
        assert told["said"]


@pytest.mark.parametrize("levels", [50, 97, 98, 600, 900, 5000, LEVELS])
def test_tool_calls_of_any_depth_are_stored_or_refused(levels: int, feedback: FeedbackCollector) -> None:
    deep: list[Any] = []
    inner = deep
    for _ in range(levels):
        inner.append([])
        inner = inner[0]
    if levels > 97:
        with pytest.raises(BadRecord, match="tool_calls: "):
            feedback.record(prompt="p", answer="a", tool_calls=({"deep": deep},))
        return
    found = feedback.record(prompt="p", answer="a", tool_calls=({"deep": deep},))
    assert feedback.ledger.interaction(found).tool_calls == ({"deep": deep},)
    assert list(exported(feedback.ledger))


SLOW_CHARS = 80_000


@pytest.mark.parametrize("name", ["collector", *FORMATS])
@pytest.mark.parametrize("kind", hostile.slow(100))
def test_no_text_takes_a_pattern_longer_than_its_length(name: str, kind: str, tmp_path: Path) -> None:
    text = hostile.slow(SLOW_CHARS)[kind]
    with FeedbackCollector(tmp_path / "ledger.db") as feedback:
        path = None if name == "collector" else AS[name](tmp_path, [text])
        start = time.process_time()
        if path is None:
            found = feedback.record(prompt=text, answer=text)
            feedback.correct(found, f"Better: {text}")
            feedback.observe_next(found, text)
        else:
            base.run(importer(name), feedback.ledger, path)
        build(feedback.ledger)
        assert time.process_time() - start < 1.5


def test_a_path_that_is_hostile_is_no_path(tmp_path: Path) -> None:
    from strop.feedback.imports import reader

    for text in (*TEXTS, *(text for _, text in REFUSED)):
        path = tmp_path / "nowhere" / text.lstrip("/\\.~")
        with pytest.raises((UsageError, ValueError, OSError)):
            reader(path, None)
