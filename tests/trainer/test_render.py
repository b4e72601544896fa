"""Rows to ids: the template's own text, the end of turn inside the loss, control tokens refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from strop.errors import BadTrainingFile, TrainerError
from strop.trainer.messages import Request
from strop.trainer.render import Example, PairExample, Renderer, control_texts, text_example

USER = {"role": "user", "content": "What is a strop?"}
SYSTEM = {"role": "system", "content": "Be short."}
ANSWER = "A strip of leather."
CONVERSATIONS = [
    [USER],
    [SYSTEM, USER],
    [SYSTEM, USER, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "Why? 日本語\n  twice"}],
]


@pytest.fixture(scope="module")
def render(tokenizer: Any) -> Renderer:
    return Renderer(tokenizer)


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_prompt_is_what_the_template_gives_to_the_server(
    render: Renderer, tokenizer: Any, messages: list[dict[str, str]]
) -> None:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert tokenizer.decode(render.prompt(messages)) == text
    assert text.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_prompt_is_a_prefix_of_the_whole_conversation(
    render: Renderer, tokenizer: Any, messages: list[dict[str, str]]
) -> None:
    example = render.example(messages, ANSWER)
    whole = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": ANSWER}], tokenize=False)
    ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert example.prompt_ids == render.prompt(messages)
    assert [*example.prompt_ids, *example.completion_ids] == ids[: example.tokens]


def test_the_answer_ends_with_the_end_of_turn_and_nothing_after_it(render: Renderer, tokenizer: Any) -> None:
    example = render.example([USER], ANSWER)
    assert tokenizer.decode(example.completion_ids) == ANSWER + "<|im_end|>"
    assert example.completion_ids.count(tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("answer", ["x", "a\n\nb", " led by a space", "日本語 🙂", "def f():\n\treturn 1"])
def test_any_answer_comes_back_as_it_was(render: Renderer, tokenizer: Any, answer: str) -> None:
    ids = render.example([USER], answer).completion_ids
    assert tokenizer.decode(ids[:-1], clean_up_tokenization_spaces=False) == answer


@pytest.mark.parametrize("token", ["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
def test_a_control_token_in_any_text_is_refused(render: Renderer, token: str) -> None:
    with pytest.raises(BadTrainingFile, match=r"assistant text holds the control token") as error:
        render.example([USER], f"Well{token}")
    assert repr(token) in str(error.value)
    assert error.value.hint
    for role in ("user", "system"):
        with pytest.raises(BadTrainingFile, match=f"a {role} text"):
            render.prompt([{"role": role, "content": f"{token} ignore"}, USER])
    assert render.control_text(f"a {token} b") == token


TOKEN = "<|im_end|>"
CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "\\u003c|im_end|> Bonn"}'}}
HIDDEN = [
    (
        "assistant",
        [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "21"}],
    ),
    ("assistant", [USER, {"role": "assistant", "content": "a", "reasoning_content": f"b {TOKEN}"}, USER]),
    ("tool", [USER, {"role": "tool", "content": f"21{TOKEN}"}]),
    ("tool", [USER, {"role": "tool", "name": TOKEN, "content": "21"}]),
]


@pytest.mark.parametrize(("role", "messages"), HIDDEN)
def test_a_control_token_in_a_call_a_result_or_thinking_is_refused(
    render: Renderer, role: str, messages: list[dict[str, Any]]
) -> None:
    with pytest.raises(BadTrainingFile, match=f"a {role} text holds the control token '{re.escape(TOKEN)}'"):
        render.prompt(messages)


def test_a_control_token_in_a_tool_or_a_learned_call_is_refused(render: Renderer) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {TOKEN: {}}}}}
    with pytest.raises(BadTrainingFile, match="a tool's text holds"):
        render.prompt([USER], Request((tool,)))
    for answer in (
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "assistant", "content": ANSWER, "reasoning_content": TOKEN},
        f"<think>{TOKEN}</think>a",
    ):
        with pytest.raises(BadTrainingFile, match="an? assistant text holds"):
            render.example([USER], answer)


def test_what_was_said_afterwards_is_put_to_the_question_and_not_to_a_tools_result(
    render: Renderer, tokenizer: Any
) -> None:
    talk = [USER, {"role": "tool", "content": "21"}]
    text = tokenizer.decode(render.hinted(talk, "no, shorter"))
    asked, _, result = text.partition("<|im_start|>tool")
    assert "no, shorter" in asked
    assert result == "\n21<|im_end|>\n<|im_start|>assistant\n"


def test_what_only_looks_like_a_control_token_is_text(render: Renderer) -> None:
    assert render.control_text("<|im_startt|> <| im_end |> </s> [INST]") is None
    assert render.example([USER], "</s> <|end_of_turn").tokens > 0


def test_every_special_token_that_was_added_later_is_refused_too(tokenizer: Any) -> None:
    from copy import deepcopy

    from tokenizers import AddedToken

    other = deepcopy(tokenizer)
    other.add_tokens([AddedToken("<|tool_call|>", special=True), AddedToken("<plain>", special=False)])
    render = Renderer(other)
    assert render.control_text("a <|tool_call|>") == "<|tool_call|>"
    assert render.control_text("a <plain>") is None


def test_the_control_tokens_of_a_folder_are_those_of_its_tokenizer(
    render: Renderer, tiny_base: Path, tmp_path: Path
) -> None:
    found = control_texts(tiny_base)
    assert "<|im_end|>" in found
    assert [render.control_text(text) is not None for text in found] == [True] * len(found)
    assert set(render.control_texts) == set(found)
    with pytest.raises(TrainerError, match=r"tokenizer\.json cannot be read"):
        control_texts(tmp_path)


def with_template(tokenizer: Any, template: str) -> Any:
    from copy import deepcopy

    other = deepcopy(tokenizer)
    other.chat_template = template
    return other


def test_a_model_without_a_template_is_refused(tokenizer: Any) -> None:
    with pytest.raises(TrainerError, match="no chat template") as error:
        Renderer(with_template(tokenizer, ""))
    assert "text" in error.value.hint


def test_a_template_that_rewrites_its_own_prompt_is_refused(tokenizer: Any) -> None:
    with pytest.raises(BadTrainingFile, match="refuses the conversation: no system prompt"):
        Renderer(with_template(tokenizer, "{{ raise_exception('no system prompt') }}")).prompt([USER])
    counts_messages = "{{ messages | length }}{% for m in messages %}{{ m['content'] + '<|im_end|>' }}{% endfor %}"
    with pytest.raises(TrainerError, match="does not continue its own prompt"):
        Renderer(with_template(tokenizer, counts_messages)).example([USER], ANSWER)


def test_a_template_that_passes_over_a_tools_result_is_refused(tokenizer: Any) -> None:
    deaf = "{% for m in messages if m.role != 'tool' %}{{ m.content }}{% endfor %}"
    with pytest.raises(BadTrainingFile, match="does not show the tool results"):
        Renderer(with_template(tokenizer, deaf)).prompt([USER, {"role": "tool", "content": "21"}])


def test_a_template_that_never_ends_a_turn_is_refused(tokenizer: Any) -> None:
    endless = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    with pytest.raises(TrainerError, match="without the end-of-turn token"):
        Renderer(with_template(tokenizer, endless)).example([USER], ANSWER)


def test_plain_text_is_learned_whole_and_closed(tokenizer: Any) -> None:
    example = text_example(tokenizer, "A strop.")
    assert example.prompt_ids == ()
    assert tokenizer.decode(example.completion_ids) == "A strop.<|im_end|>"


def test_a_pair_counts_its_prompt_for_both_sides() -> None:
    assert PairExample((1, 2, 3), (4,), (5, 6)).tokens == 9
    assert Example((1, 2, 3), (4,)).tokens == 4
