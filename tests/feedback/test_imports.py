"""One door for every format: which reader a path gets, and whose feedback it is."""

import json

import pytest

from strop.errors import BadRecord, UsageError
from strop.feedback import FeedbackCollector, Ledger
from strop.feedback.export import export_file
from strop.feedback.imports import FORMATS, OWN, reader

OPENAI = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rating": "up"}
CSV = "prompt,answer,rating,user\nWhat is LoRA?,A radio.,down,\nWhat is a bond?,A loan.,up,bob\n"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "home" / "ledger.db") as opened:
        yield opened


def written(tmp_path, name, *records):
    path = tmp_path / name
    path.write_text("".join(f"{json.dumps(one)}\n" for one in records), encoding="utf-8")
    return path


def sources(ledger):
    return sorted((signal.source, signal.user, signal.trust) for _, every in ledger.iterate() for signal in every)


def test_an_export_comes_back_as_it_was(tmp_path, ledger):
    with FeedbackCollector(tmp_path / "one" / "ledger.db") as feedback:
        answer = feedback.record(prompt="p", answer="a", messages=None)
        feedback.rate(answer, "up", source="chat", source_key="m1")
        feedback.correct(answer, "b", user="bob")
        path = tmp_path / "all.jsonl"
        export_file(feedback.ledger, path)
        before = list(feedback.ledger.iterate())
    done = reader(path)(ledger)
    assert (done.added, done.known, done.signals, done.skipped) == (1, 0, 2, {})
    assert list(ledger.iterate()) == before
    done = reader(path)(ledger)
    assert (done.added, done.known, done.signals) == (0, 1, 0)


def test_other_formats_are_found_by_what_they_are(tmp_path, ledger):
    done = reader(written(tmp_path, "chats.jsonl", OPENAI))(ledger)
    assert (done.added, done.signals) == (1, 1)
    assert sources(ledger) == [("openai", "owner", "owner")]


def test_a_short_form_of_ours_that_no_format_knows_is_ours(tmp_path, ledger):
    ours = {**OPENAI, "source_key": "m1"}
    assert reader(written(tmp_path, "ours.jsonl", ours))(ledger).added == 1
    assert sources(ledger) == [("import", "owner", "owner")]


def test_a_jsonl_that_nobody_knows_names_its_first_bad_line(tmp_path, ledger):
    path = written(tmp_path, "bad.jsonl", {"prompt": "p"})
    with pytest.raises(BadRecord, match="line 1: answer"):
        reader(path)(ledger)
    (tmp_path / "torn.jsonl").write_text('{"prompt": "p", "answer": "a"}\n{"prompt"', encoding="utf-8")
    with pytest.raises(BadRecord, match="line 2"):
        reader(tmp_path / "torn.jsonl")(ledger)
    assert ledger.counts()["interactions"] == 0


@pytest.mark.parametrize("name", ["none.txt", "none.json", "none.csv"])
def test_what_is_in_no_format_names_them(tmp_path, name):
    (tmp_path / name).write_text("hello\n", encoding="utf-8")
    with pytest.raises(UsageError, match="none of the known formats") as refused:
        reader(tmp_path / name)
    assert all(format in refused.value.hint for format in FORMATS)


def test_an_empty_folder_and_a_path_that_is_not_there_are_refused_before_a_ledger_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nosuch.jsonl"):
        with pytest.raises(UsageError):
            reader(path)


def test_a_file_of_two_formats_must_be_named(tmp_path, monkeypatch, ledger):
    from strop.feedback import importers

    monkeypatch.setattr(importers.importer("csv").__class__, "finds", lambda self, path: True)
    path = written(tmp_path, "both.jsonl", OPENAI)
    with pytest.raises(UsageError, match="several formats") as refused:
        reader(path)
    assert "--from" in refused.value.hint
    assert reader(path, "openai")(ledger).added == 1


def test_a_format_may_be_named_and_must_exist(tmp_path, ledger):
    path = written(tmp_path, "ours.txt", {"prompt": "p", "answer": "a", "rating": "up"})
    assert reader(path, OWN)(ledger).added == 1
    with pytest.raises(UsageError, match="no format") as refused:
        reader(path, "nosuch")
    assert OWN in refused.value.hint


# Whose it is


def test_a_file_that_names_nobody_can_be_somebodys(tmp_path, ledger):
    path = tmp_path / "class.csv"
    path.write_text(CSV, encoding="utf-8")
    reader(path, user="eve")(ledger)
    assert sources(ledger) == [("csv", "bob", "known"), ("csv", "eve", "known")]
    assert sorted(one.user for one, _ in ledger.iterate()) == ["bob", "eve"]


@pytest.mark.parametrize(
    ("user", "owners", "trust"), [("ann", ("ann",), "owner"), ("eve", ("ann",), "known"), ("", ("ann",), "anonymous")]
)
def test_whether_it_trains_follows_from_the_owners(tmp_path, ledger, user, owners, trust):
    path = written(tmp_path, "chats.jsonl", OPENAI)
    reader(path, user=user, owners=owners)(ledger)
    assert sources(ledger) == [("openai", user, trust)]


def test_a_name_never_raises_what_the_source_trusted_less(tmp_path, ledger):
    folder = tmp_path / ".learnings"
    folder.mkdir()
    (folder / "LEARNINGS.md").write_text(
        "## [LRN-20260701-001] correction\n**Logged**: 2026-07-01T10:00:00Z\n### Details\n"
        "- **Asked**: Which one?\n- **Answered**: npm.\n- **Correct**: pnpm.\n",
        encoding="utf-8",
    )
    assert reader(folder, user="ann", owners=("ann",))(ledger).signals == 1
    assert [trust for *_, trust in sources(ledger)] == ["anonymous"]


def test_our_own_jsonl_says_itself_whose_it_is(tmp_path):
    path = written(tmp_path, "ours.jsonl", {"prompt": "p", "answer": "a", "rating": "up"})
    with pytest.raises(UsageError, match="says itself"):
        reader(path, user="eve")


def test_what_is_left_out_is_counted_by_reason(tmp_path, ledger):
    silent = {"messages": [*OPENAI["messages"][:1], {**OPENAI["messages"][1], "weight": 0}]}
    done = reader(written(tmp_path, "chats.jsonl", OPENAI, silent))(ledger)
    assert done.skipped == {"no message of the assistant has a weight": 1}


def test_what_was_forgotten_is_counted_by_reason_too(tmp_path, ledger):
    from strop.feedback.forget import forget
    from strop.feedback.selected import Selector

    path = written(tmp_path, "ours.jsonl", {"prompt": "p", "answer": "a", "rating": "up"})
    reader(path)(ledger)
    forget(ledger, Selector("id", (ledger.find(None),)))
    done = reader(path)(ledger)
    assert (done.added, done.known, done.signals, done.skipped) == (0, 0, 0, {"forgotten before": 1})


def test_the_same_file_may_come_as_somebodys_and_then_as_the_owners(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("prompt,answer,rating\nWhat is SQL?,a language,up\n")
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        for user in ("ann", "bob", None):
            assert reader(path, user=user)(ledger).signals == 1
            assert reader(path, user=user)(ledger).signals == 0
        said = [(one.user, one.trust) for _, signals in ledger.iterate() for one in signals]
    assert said == [("ann", "known"), ("bob", "known"), ("owner", "owner")]
