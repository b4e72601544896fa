"""Training files are read strictly: each format as documented, and for each fault the line, the column, the remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.errors import BadTrainingFile
from strop.trainer.rowfile import Row, read

USER = {"role": "user", "content": "What is a strop?"}
ANSWER = {"role": "assistant", "content": "A strip of leather."}
GOOD: dict[str, dict[str, Any]] = {
    "text": {"text": "A strop is a strip of leather."},
    "messages": {"messages": [USER, ANSWER]},
    "completion": {"prompt": "What is a strop?", "completion": "A strip of leather."},
    "preference": {"prompt": "What is a strop?", "chosen": "A strip of leather.", "rejected": "Great question!"},
}


def called(arguments: object = '{"city": "Bonn"}', **changes: object) -> dict[str, Any]:
    """An assistant's call of a tool, as OpenAI's files hold it."""
    function = {"name": "weather", "arguments": arguments, **changes}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "21"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def refused(path: Path) -> tuple[str, str]:
    """(message, hint) of the refusal."""
    with pytest.raises(BadTrainingFile) as error:
        read(path)
    assert error.value.exit_code == 2
    return str(error.value), error.value.hint


# Formats


def test_text_is_learned_whole(write_rows: Callable[..., Path]) -> None:
    file = read(write_rows([GOOD["text"]]))
    assert file.kind == "text"
    assert file.rows == (Row(1, (), None, text="A strop is a strip of leather."),)


def test_prompt_and_completion_as_strings_and_as_messages_are_the_same_row(write_rows: Callable[..., Path]) -> None:
    as_messages = {"prompt": [USER], "completion": [ANSWER]}
    first, second = read(write_rows([GOOD["completion"], as_messages])).rows
    assert (first.messages, first.answer) == (second.messages, second.answer) == ((USER,), ANSWER["content"])
    assert (first.line, second.line, first.rejected) == (1, 2, None)


def test_preferences_as_strings_and_as_messages_are_the_same_row(write_rows: Callable[..., Path]) -> None:
    rejected = {"role": "assistant", "content": "Great question!"}
    as_messages = {"prompt": [USER], "chosen": [ANSWER], "rejected": [rejected]}
    first, second = read(write_rows([GOOD["preference"], as_messages])).rows
    assert (first.messages, first.answer, first.rejected) == (second.messages, second.answer, second.rejected)
    assert (first.answer, first.rejected) == ("A strip of leather.", "Great question!")


def test_each_answer_of_a_conversation_is_a_row_in_its_context(write_rows: Callable[..., Path]) -> None:
    system = {"role": "system", "content": "Be short."}
    more = {"role": "user", "content": "Why?"}
    last = {"role": "assistant", "content": "To keep it keen."}
    file = read(write_rows([{"messages": [system, USER, ANSWER, more, last]}]))
    assert [(row.messages, row.answer) for row in file.rows] == [
        ((system, USER), "A strip of leather."),
        ((system, USER, ANSWER, more), "To keep it keen."),
    ]
    assert [row.line for row in file.rows] == [1, 1]


def test_a_prompt_may_hold_a_system_message_and_earlier_turns(write_rows: Callable[..., Path]) -> None:
    prompt = [{"role": "system", "content": "Be short."}, USER, ANSWER, {"role": "user", "content": "Why?"}]
    (row,) = read(write_rows([{"prompt": prompt, "completion": "To keep it keen."}])).rows
    assert list(row.messages) == prompt


def test_other_columns_and_blank_lines_are_left_alone(tmp_path: Path) -> None:
    row = GOOD["completion"] | {"id": 7, "tags": ["a"], "score": None}
    (tmp_path / "rows.jsonl").write_text("\n" + json.dumps(row) + "\n\n  \n" + json.dumps(row) + "\n\n")
    assert [one.line for one in read(tmp_path / "rows.jsonl").rows] == [2, 5]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_a_separator_inside_a_string_does_not_end_the_row(tmp_path: Path, mark: str) -> None:
    # str.splitlines ends a line at each of them; JSON lets them stand in a string as they are.
    row = json.dumps({"text": f"one{mark}two"}, ensure_ascii=False)
    (tmp_path / "rows.jsonl").write_bytes((row + "\n" + row + "\n").encode())
    assert [one.text for one in read(tmp_path / "rows.jsonl").rows] == [f"one{mark}two"] * 2


@pytest.mark.parametrize(("start", "end"), [(b"", b"\r\n"), (b"\xef\xbb\xbf", b"\n"), (b"\xef\xbb\xbf", b"\r\n")])
def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path, start: bytes, end: bytes) -> None:
    row = json.dumps(GOOD["text"]).encode()
    (tmp_path / "rows.jsonl").write_bytes(start + row + end + row + end)
    file = read(tmp_path / "rows.jsonl")
    assert [(one.line, one.text) for one in file.rows] == [(1, GOOD["text"]["text"]), (2, GOOD["text"]["text"])]


def test_a_last_line_without_a_newline_counts(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(GOOD["text"]))
    assert len(read(tmp_path / "rows.jsonl").rows) == 1


# Faults of the file


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path / "absent.jsonl")[0]
    assert "is a folder" in refused(tmp_path)[0]


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_says_what_a_row_is(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(data)
    message, hint = refused(tmp_path / "rows.jsonl")
    assert message == "rows.jsonl holds no rows"
    assert "prompt, chosen and rejected" in hint


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_the_line_that_is_not_utf_8_is_named(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(start + b"{}\n{}\n\xff" + "Grüße".encode("latin-1") + b"\n")
    message, hint = refused(tmp_path / "rows.jsonl")
    assert message == "rows.jsonl line 3 is not UTF-8"
    assert "UTF-8" in hint


@pytest.mark.parametrize("line", ["{", "{'text': 'a'}", '{"text": "a"} {"text": "b"}', "text", '{"text": "a\tb"}'])
def test_the_line_that_is_not_json_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(GOOD["text"]) + "\n" + line + "\n")
    message, hint = refused(tmp_path / "rows.jsonl")
    assert message.startswith("rows.jsonl line 2 is not JSON: ")
    assert hint == "one object a line"


def test_deep_nesting_is_refused_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": ' + "[" * 200_000 + "]" * 200_000 + "}\n")
    assert refused(tmp_path / "rows.jsonl")[0] == "rows.jsonl line 1 is nested too deeply"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([GOOD["text"]], "a list"),
        ([], "an empty list"),
        ("a", "a string"),
        (7, "a number"),
        (None, "null"),
        (True, "true or false"),
    ],
)
def test_a_line_that_is_no_object_says_what_it_is(write_rows: Callable[..., Path], value: object, name: str) -> None:
    message, _ = refused(write_rows([GOOD["text"], value]))
    assert message.startswith(f"rows.jsonl line 2 is not an object but {name}")


# Faults of columns


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"prompt": "a"}, "column 'chosen' is missing beside 'prompt'"),
        ({"prompt": "a", "chosen": "b"}, "column 'rejected' is missing beside 'prompt'"),
        ({"chosen": "a", "rejected": "b"}, "column 'prompt' is missing beside 'chosen'"),
        ({"completion": "a"}, "column 'prompt' is missing beside 'completion'"),
        ({"question": "a", "answer": "b"}, "has the columns 'question', 'answer'"),
        ({}, "has the columns none"),
    ],
)
def test_unknown_columns_name_the_formats(write_rows: Callable[..., Path], row: dict[str, str], what: str) -> None:
    message, hint = refused(write_rows([row]))
    assert message.startswith("rows.jsonl line 1")
    assert what in message
    assert hint == "expected: text; messages; prompt and completion; prompt, chosen and rejected"


@pytest.mark.parametrize("kind", list(GOOD))
def test_every_row_has_the_columns_of_the_first(write_rows: Callable[..., Path], kind: str) -> None:
    *_, column = GOOD[kind]
    other = {name: value for name, value in GOOD[kind].items() if name != column} | {"x": 1}
    message, hint = refused(write_rows([GOOD[kind], GOOD[kind], other]))
    assert message == f"rows.jsonl line 3, column {column!r} is missing"
    assert hint == f"expected: every row of this file has {', '.join(GOOD[kind])}"


@pytest.mark.parametrize("column", [(kind, column) for kind in GOOD for column in GOOD[kind] if column != "messages"])
@pytest.mark.parametrize(
    ("value", "what", "expected"),
    [
        (7, "is a number", ""),
        (1.5, "is a number", ""),
        (True, "is true or false", ""),
        (None, "is null", ""),
        ({"role": "user"}, "is an object", ""),
        ([], "is an empty list", ""),
        ("", "is empty", "some text"),
        (" \n\t", "is empty", "some text"),
        ("a\0b", "holds a NUL", "text without NUL"),
        ("a\ud800b", "holds a lone surrogate", "valid Unicode"),
    ],
)
def test_a_bad_value_names_line_column_and_expectation(
    write_rows: Callable[..., Path], column: tuple[str, str], value: object, what: str, expected: str
) -> None:
    kind, name = column
    message, hint = refused(write_rows([GOOD[kind], GOOD[kind] | {name: value}]))
    assert message == f"rows.jsonl line 2, column {name!r} {what}"
    assert hint.startswith("expected: ")
    assert expected in hint


@pytest.mark.parametrize(
    ("messages", "column", "what"),
    [
        ("hello", "messages", "is a string"),
        ([], "messages", "is an empty list"),
        ({}, "messages", "is an object"),
        (["hello"], "messages[0]", "has no known role"),
        ([USER, {"role": "bot", "content": "a"}], "messages[1]", "has no known role"),
        ([USER, {"role": ["assistant"], "content": "a"}], "messages[1]", "has no known role"),
        ([USER, {"role": "assistant"}], "messages[1].content", "is null"),
        ([USER, {"role": "assistant", "content": [1]}], "messages[1].content", "is a list"),
        ([USER, {"role": "assistant", "content": ""}], "messages[1].content", "is empty"),
        ([USER, {"role": "assistant", "content": "a\0"}], "messages[1].content", "holds a NUL"),
        ([USER, {"role": "assistant", "content": "\udfff"}], "messages[1].content", "holds a lone surrogate"),
        ([USER], "messages", "holds no answer"),
        ([ANSWER], "messages", "holds no answer"),
        ([USER, ANSWER | {"weight": 0}], "messages", "holds no answer"),
        ([USER, ANSWER | {"weight": 0.5}], "messages[1].weight", "is 0.5"),
        ([USER, ANSWER | {"tool_calls": "f"}], "messages[1].tool_calls", "is a string"),
        ([USER, ANSWER | {"tool_calls": ["f"]}], "messages[1].tool_calls[0]", "is not a call"),
        ([USER, called(name=None)], "messages[1].tool_calls[0].function.name", "is null"),
        ([USER, called("{")], "messages[1].tool_calls[0].function.arguments", "is not a JSON object"),
        ([USER, called("[1]")], "messages[1].tool_calls[0].function.arguments", "is not a JSON object"),
        ([USER, called(None)], "messages[1].tool_calls[0].function.arguments", "is not a JSON object"),
        (
            [USER, called('{"a": ["\\ud800"]}')],
            "messages[1].tool_calls[0].function.arguments",
            "holds a lone surrogate",
        ),
        ([USER, ANSWER | {"thinking": 7}], "messages[1].thinking", "is a number"),
        ([USER, ANSWER | {"content": None, "thinking": "Hm."}], "messages[1].content", "is null"),
        ([USER, ANSWER | {"content": None, "tool_calls": []}], "messages[1].content", "is null"),
        ([{"role": "tool", "content": 7}], "messages[0].content", "is a number"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content", "is a list"),
    ],
)
def test_a_bad_message_is_named_by_its_place(
    write_rows: Callable[..., Path], messages: object, column: str, what: str
) -> None:
    message, hint = refused(write_rows([GOOD["messages"], {"messages": messages}]))
    assert message == f"rows.jsonl line 2, column {column!r} {what}"
    assert hint.startswith("expected: ")


def test_a_prompt_ends_with_the_user(write_rows: Callable[..., Path]) -> None:
    message, hint = refused(write_rows([{"prompt": [USER, ANSWER], "completion": "a"}]))
    assert message == "rows.jsonl line 1, column 'prompt' ends with 'assistant'"
    assert hint == "expected: a last message by the user or a tool"


@pytest.mark.parametrize("answer", [[USER], [ANSWER, ANSWER], [USER, ANSWER]])
def test_an_answer_is_one_assistant_message(write_rows: Callable[..., Path], answer: object) -> None:
    message, _ = refused(write_rows([{"prompt": "a", "completion": answer}]))
    assert message == "rows.jsonl line 1, column 'completion' is not one assistant message"


@pytest.mark.parametrize("rejected", ["A strip of leather.", [ANSWER]])
def test_a_preference_between_equal_answers_is_refused(write_rows: Callable[..., Path], rejected: object) -> None:
    message, hint = refused(write_rows([GOOD["preference"], GOOD["preference"] | {"rejected": rejected}]))
    assert message == "rows.jsonl line 2, column 'rejected' equals 'chosen'"
    assert hint == "expected: two different answers"


# Tools, thinking, and OpenAI's files


def test_a_file_of_openais_fine_tuning_is_read_as_it_is(write_rows: Callable[..., Path]) -> None:
    talk = [{"role": "developer", "content": "Be short."}, USER | {"name": "Ann"}, called(), RESULT]
    talk += [ANSWER | {"weight": 0}, {"role": "user", "content": "Why?"}, ANSWER | {"weight": 1, "refusal": None}]
    row = {"messages": talk, "tools": [TOOL], "parallel_tool_calls": False}
    rows = read(write_rows([row, {"messages": [USER, ANSWER], "tools": None}])).rows
    system, call = {"role": "system", "content": "Be short."}, called() | {"content": ""}
    assert [(one.messages, one.answer) for one in rows] == [
        ((system, USER), call),
        ((system, USER, call, RESULT, ANSWER, {"role": "user", "content": "Why?"}), ANSWER["content"]),
        ((USER,), ANSWER["content"]),
    ]
    assert [one.request.tools for one in rows] == [(TOOL,), (TOOL,), ()]


def test_an_answer_to_a_tool_is_learned_as_one_to_a_user(write_rows: Callable[..., Path]) -> None:
    whole = read(write_rows([{"messages": [USER, called(), RESULT, ANSWER]}])).rows
    assert [type(row.answer) for row in whole] == [dict, str]
    (last,) = read(write_rows([{"prompt": [USER, called(), RESULT], "completion": [ANSWER], "tools": [TOOL]}])).rows
    assert (last.messages, last.answer) == (whole[1].messages, whole[1].answer)
    assert last.request.tools == (TOOL,)


def test_the_older_form_of_calls_is_the_same(write_rows: Callable[..., Path]) -> None:
    call = called()["tool_calls"][0]["function"]
    older = [USER, {"role": "assistant", "content": None, "function_call": call}]
    older += [{"role": "function", "name": "weather", "content": "21"}, ANSWER]
    (first, second) = read(write_rows([{"messages": older, "functions": [TOOL["function"]]}])).rows
    assert isinstance(first.answer, dict)
    assert first.answer["tool_calls"] == [{"type": "function", "function": call}]
    assert second.messages[-1] == {"role": "tool", "name": "weather", "content": "21"}
    assert second.request.tools == (TOOL,)


def test_openais_preferences_are_preferences(write_rows: Callable[..., Path]) -> None:
    worse = {"role": "assistant", "content": "Great question!"}
    row = {"input": {"messages": [USER], "tools": [TOOL]}, "preferred_output": [called()]}
    file = read(write_rows([row | {"non_preferred_output": [worse]}]))
    assert file.kind == "preference"
    assert file.rows[0].answer == called() | {"content": ""}
    assert (file.rows[0].messages, file.rows[0].rejected) == ((USER,), "Great question!")
    assert file.rows[0].request.tools == (TOOL,)


@pytest.mark.parametrize(
    ("change", "column", "what"),
    [
        ({"input": None}, "input.messages", "is null"),
        ({"input": {"messages": [ANSWER]}}, "input.messages", "ends with 'assistant'"),
        ({"input": {"messages": [USER, {"role": "x"}]}}, "input.messages[1]", "has no known role"),
        ({"input": {"messages": [USER], "tools": [7]}}, "input.tools[0]", "is not a tool"),
        ({"preferred_output": [USER]}, "preferred_output", "is not one assistant message"),
        ({"non_preferred_output": [ANSWER]}, "non_preferred_output", "equals 'preferred_output'"),
    ],
)
def test_faults_of_openais_preferences_have_their_own_names(
    write_rows: Callable[..., Path], change: dict[str, Any], column: str, what: str
) -> None:
    row = {"input": {"messages": [USER]}, "preferred_output": [ANSWER], "non_preferred_output": [called()]}
    assert refused(write_rows([row, row | change]))[0] == f"rows.jsonl line 2, column {column!r} {what}"


@pytest.mark.parametrize("name", ["reasoning_content", "thinking"])
def test_thinking_stays_beside_the_answer(write_rows: Callable[..., Path], name: str) -> None:
    thought, blank = ANSWER | {name: "Leather?"}, ANSWER | {name: "\n"}
    rows = read(write_rows([{"messages": [USER, thought]}, {"messages": [USER, blank]}])).rows
    assert [row.answer for row in rows] == [ANSWER | {"reasoning_content": "Leather?"}, ANSWER["content"]]


@pytest.mark.parametrize(("given", "enabled"), [({"enable_thinking": False}, False), ({}, True), (None, True)])
def test_a_row_may_say_that_no_thinking_was_asked_for(
    write_rows: Callable[..., Path], given: object, enabled: bool
) -> None:
    (row,) = read(write_rows([GOOD["completion"] | {"chat_template_kwargs": given}])).rows
    assert row.request.enable_thinking is enabled


@pytest.mark.parametrize(
    ("columns", "column", "what"),
    [
        ({"tools": {}}, "tools", "is an object"),
        ({"tools": ["f"]}, "tools[0]", "is not a tool"),
        ({"tools": [{"type": "function"}]}, "tools[0]", "is not a tool"),
        ({"tools": [TOOL, {"name": "a", "description": "\ud800"}]}, "tools[1]", "holds a lone surrogate"),
        ({"functions": [{}]}, "functions[0]", "is not a tool"),
        ({"chat_template_kwargs": "x"}, "chat_template_kwargs", "is not known"),
        ({"chat_template_kwargs": {"enable_thinking": 1}}, "chat_template_kwargs", "is not known"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs", "is not known"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(
    write_rows: Callable[..., Path], columns: dict[str, Any], column: str, what: str
) -> None:
    message, hint = refused(write_rows([GOOD["completion"], GOOD["completion"] | columns]))
    assert message == f"rows.jsonl line 2, column {column!r} {what}"
    assert hint.startswith("expected: ")
    assert read(write_rows([GOOD["text"] | columns])).kind == "text"


@pytest.mark.parametrize(("up", "down"), [(True, False), (1, 0), (1.0, 0.0)])
def test_a_thumb_is_true_or_false_or_1_or_0(tmp_path: Path, up: Any, down: Any) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{**GOOD["completion"], "label": label} for label in (up, down)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(file)
    assert found.kind == "rated"
    assert [row.label for row in found.rows] == [True, False]


@pytest.mark.parametrize("word", ["false", "Up", " down ", "0", "bad"])
def test_a_thumb_in_words_is_not_taken_for_a_column_of_somebodys_own(tmp_path: Path, word: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({**GOOD["completion"], "label": word}))
    with pytest.raises(BadTrainingFile, match="line 1, column 'label' is the text") as error:
        read(file)
    assert "write true or false" in str(error.value.hint)


@pytest.mark.parametrize("label", ["contract", 3, None])
def test_another_label_is_a_column_of_somebodys_own(tmp_path: Path, label: Any) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({**GOOD["completion"], "label": label}))
    assert read(file).kind == "completion"


@pytest.mark.parametrize("prompt", [3, None, {"role": "user"}])
def test_a_prompt_that_is_neither_text_nor_conversation_is_told_both(tmp_path: Path, prompt: Any) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"prompt": prompt, "completion": "x"}))
    with pytest.raises(BadTrainingFile) as error:
        read(file)
    assert "a text or a list of messages" in str(error.value.hint)
