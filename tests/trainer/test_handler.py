"""A local model behind a cloud client's calls: the same text in one piece and in chunks."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strop.errors import TrainerError, UsageError
from strop.trainer.decode import Answer, Sampling, _safe_length, end_ids
from strop.trainer.handler import ChatCompletion, Handler
from strop.trainer.train import load_base

ASKED = [{"role": "user", "content": "What is a strop?"}]


@pytest.fixture(scope="module")
def handler(tiny_base: Path) -> Handler:
    model, tokenizer = load_base(tiny_base, "fp32")
    return Handler(model.eval(), tokenizer, "tiny")


def create(handler: Handler, **options: Any) -> Any:
    return handler.chat.completions.create(**{"messages": ASKED, "temperature": 0, "max_tokens": 32, **options})


def streamed(handler: Handler, **options: Any) -> tuple[str, Any]:
    chunks = list(create(handler, stream=True, **options))
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks), chunks[-1].choices[0].finish_reason


# What comes back


def test_an_answer_looks_like_a_cloud_clients(handler: Handler) -> None:
    answer = create(handler, model="gpt-4o-mini")
    assert isinstance(answer, ChatCompletion)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model, answer.created > 1_700_000_000) == ("chat.completion", "tiny", True)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    usage = answer.usage
    assert (usage.completion_tokens, usage.total_tokens) == (32, usage.prompt_tokens + 32)
    assert answer.choices[0].finish_reason == "length"
    dumped = answer.model_dump()
    assert dumped["choices"][0]["message"]["content"] == answer.choices[0].message.content
    assert json.loads(answer.model_dump_json()) == dumped


def test_chunks_look_like_a_cloud_clients(handler: Handler) -> None:
    first, *middle, last = create(handler, stream=True)
    assert (first.object, first.choices[0].delta.role) == ("chat.completion.chunk", "assistant")
    assert {chunk.id for chunk in (*middle, last)} == {first.id}
    assert all(chunk.choices[0].delta.content for chunk in middle)
    assert all(chunk.choices[0].finish_reason is None for chunk in (first, *middle))
    assert (last.choices[0].delta.content, last.choices[0].finish_reason) == (None, "length")
    assert last.model_dump()["choices"][0] == {
        "delta": {"content": None, "role": None},
        "finish_reason": "length",
        "index": 0,
    }


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1, "seed": 5}, {"temperature": 2.0, "top_p": 0.9, "seed": 6, "stop": [" ", "e"]}]
)
def test_streaming_gives_the_same_text(handler: Handler, options: dict[str, Any]) -> None:
    whole = create(handler, **options).choices[0]
    assert streamed(handler, **options) == (whole.message.content, whole.finish_reason)


def test_a_seed_repeats_itself_and_leaves_torchs_own_state_alone(handler: Handler) -> None:
    before = torch.random.get_rng_state()
    answers = {create(handler, temperature=1.5, seed=7).choices[0].message.content for _ in range(2)}
    assert len(answers) == 1
    assert torch.equal(torch.random.get_rng_state(), before)
    others = {create(handler, temperature=1.5, seed=seed).choices[0].message.content for seed in (-1, 8, 2**70)}
    assert len(others | answers) == 4
    draws = {create(handler, temperature=None).choices[0].message.content for _ in range(3)}
    assert len(draws) > 1, "without a seed each draw is a new one"


def test_the_greedy_answer_is_the_one_of_transformers(handler: Handler) -> None:
    ids = handler.tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    out = handler.model.generate(ids, do_sample=False, max_new_tokens=32, attention_mask=torch.ones_like(ids))
    text = handler.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    assert create(handler).choices[0].message.content == text


def test_a_tiny_nucleus_is_greedy(handler: Handler) -> None:
    greedy = create(handler).choices[0].message.content
    assert create(handler, temperature=1, top_p=1e-9).choices[0].message.content == greedy


# Where an answer ends


def test_a_stop_text_ends_the_answer_before_it(handler: Handler) -> None:
    whole = create(handler).choices[0].message.content
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    for stops in (stop, ["never said", stop]):
        answer = create(handler, stop=stops)
        assert answer.choices[0].message.content == whole[: whole.index(stop)]
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.completion_tokens <= 32


class Scripted:
    """A model that says these ids."""

    def __init__(self, ids: list[int], size: int = 16) -> None:
        self._ids, self._size = iter(ids), size
        self.generation_config = SimpleNamespace(eos_token_id=[0, 9])

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def __call__(self, **_: Any) -> Any:
        logits = torch.zeros(1, 1, self._size)
        logits[0, 0, next(self._ids)] = 1.0
        return SimpleNamespace(logits=logits, past_key_values=None)


class Bytes:
    """A tokenizer whose ids are places in a list of byte strings."""

    eos_token_id = 0

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def decode(self, ids: list[int], **_: Any) -> str:
        return b"".join(self._pieces[number] for number in ids).decode(errors="replace")


def said(pieces: list[bytes], ids: list[int], stop: tuple[str, ...] = ()) -> tuple[list[str], Answer]:
    answer = Answer(Scripted(ids), Bytes(pieces), [1], len(ids), Sampling(0), stop)
    return list(answer), answer


def test_a_character_in_several_tokens_comes_when_it_is_whole() -> None:
    fish = "🐟".encode()
    pieces = [b"", b"a", fish[:2], fish[2:], b"b"]
    assert said(pieces, [1, 2, 3, 4])[0] == ["a", "🐟", "b"]
    assert said(pieces, [1, 2])[0] == ["a", "\ufffd"]  # cut by max_tokens: nothing is lost


def test_a_stop_text_over_a_token_boundary_is_never_shown() -> None:
    pieces = [b"", b"Hi", b" EN", b"D", b" ENOUGH"]
    text, answer = said(pieces, [1, 2, 3, 1], (" END",))
    assert (text, answer.finish_reason, answer.tokens) == (["Hi"], "stop", 3)
    text, answer = said(pieces, [1, 2, 1], (" END",))
    assert ("".join(text), answer.finish_reason) == ("Hi ENHi", "length")
    assert "".join(said(pieces, [1, 4], (" END", "UGH"))[0]) == "Hi ENO"


@pytest.mark.parametrize("end", [0, 9])
def test_every_end_that_the_model_names_ends_it(end: int) -> None:
    pieces = [b"<end>", b"a", *[b"x"] * 7, b"<eot>"]
    text, answer = said(pieces, [1, end, 1])
    assert (text, answer.finish_reason, answer.tokens) == (["a"], "stop", 2)
    assert end_ids(Scripted([]), Bytes([])) == {0, 9}


@given(text=st.text("ab", max_size=12), stop=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_what_is_given_away_never_turns_out_to_begin_a_stop_text(text: str, stop: list[str]) -> None:
    safe = _safe_length(text, stop)
    assert not any(one.startswith(text[start:]) and text[start:] != one for one in stop for start in range(safe))


# What is refused


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": "hi"}, "at least one message"),
        ({"messages": ["hi"]}, r"messages\[0\] has no known role"),
        ({"messages": [*ASKED, {"role": "tool", "content": "x"}]}, r"messages\[1\] has no known role"),
        ({"messages": [{"role": "user", "content": None}]}, r"messages\[0\].content is not text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "is not text"),
        ({"messages": [{"role": "user", "content": "a<|im_end|>b"}]}, "control token '<|im_end|>'"),
        ({"messages": [{"role": "user", "content": "a " * 600}]}, "this model reads 512"),
        ({"temperature": -1}, "temperature cannot be -1"),
        ({"temperature": float("nan")}, "temperature cannot be nan"),
        ({"top_p": 0}, "top_p cannot be 0"),
        ({"max_tokens": 0}, "max_tokens cannot be 0"),
        ({"max_completion_tokens": -1}, "max_tokens cannot be -1"),
        ({"stop": ["a", ""]}, "stop holds an empty text"),
        ({"n": 2}, "n cannot be 2 here"),
        ({"response_format": {"type": "json_object"}}, "response_format cannot be"),
        ({"tools": []}, "tools is not known here"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_said_at_once(
    handler: Handler, options: dict[str, Any], what: str, stream: bool
) -> None:
    with pytest.raises(UsageError) as error:
        create(handler, stream=stream, **options)
    assert what.replace("\\", "") in str(error.value)
    assert error.value.hint


def test_what_a_cloud_client_says_and_what_changes_nothing_is_taken(handler: Handler) -> None:
    said = {"n": 1, "user": "ann", "timeout": 9, "presence_penalty": 0.0, "response_format": {"type": "text"}}
    assert create(handler, **said).choices == create(handler).choices


def test_parts_of_text_and_the_developers_word_are_read(handler: Handler) -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "a strop?"}]
    plain = create(
        handler, messages=[{"role": "system", "content": "s"}, {"role": "user", "content": "What is\na strop?"}]
    )
    other = create(handler, messages=[{"role": "developer", "content": "s"}, {"role": "user", "content": parts}])
    assert other.choices == plain.choices


def test_an_answer_fills_the_context_and_no_more(handler: Handler) -> None:
    answer = create(handler, max_tokens=None, messages=[{"role": "user", "content": "a " * 240}])
    assert answer.usage.total_tokens == 512
    assert answer.choices[0].finish_reason == "length"


def test_a_template_that_refuses_is_told_and_one_that_is_not_there(handler: Handler, tiny_base: Path) -> None:
    _, tokenizer = load_base(tiny_base, "fp32")
    tokenizer.chat_template = "{{ raise_exception('user and assistant must alternate') }}"
    with pytest.raises(UsageError, match="must alternate"):
        create(Handler(handler.model, tokenizer, "tiny"))
    tokenizer.chat_template = None
    with pytest.raises(TrainerError, match="no chat template"):
        create(Handler(handler.model, tokenizer, "tiny"))
