"""Likelihoods from the served weights: packed into one pass, they are those of separate passes."""

from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from strop.deploy import scorer
from strop.deploy.convert import convert
from strop.deploy.gguf import merge
from strop.deploy.scorer import GgufScorer, Likelihood
from strop.errors import BadTrainingFile
from strop.trainer.render import Renderer

ITEMS = [
    ([{"role": "user", "content": "What is the capital of France?"}], ["Paris.", "Rome.", "It is the dog, I think."]),
    ([{"role": "user", "content": "Bake?"}], ["Yes"]),
    (
        [
            {"role": "system", "content": "Answer in one plain sentence, without any list."},
            {"role": "user", "content": "Why a strop?"},
            {"role": "assistant", "content": "It keeps a razor keen."},
            {"role": "user", "content": "And how long does it take, all in all? 日本語"},
        ],
        ["A little.", "A little, daily, without grinding it away.", "25 minutes at 180 degrees.", "x"],
    ),
    ([{"role": "user", "content": "And the fox? " * 12}], ["It jumps.", "It jumps over the lazy dog."]),
]


@pytest.fixture(scope="module")
def exact(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as F32 GGUF: the very weights of the folder."""
    path = tmp_path_factory.mktemp("f32") / "base.gguf"
    convert(tiny_base, path, "F32")
    return path


@pytest.fixture(scope="module")
def ours(exact: Path, tiny_base: Path) -> GgufScorer:
    return GgufScorer(exact, tiny_base)


def plainly(folder: Path, items: list[Any]) -> list[list[Likelihood]]:
    """The same by the book: one pass of transformers for each answer, no batch, no mask, no packing."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scores = []
    for conversation, answers in items:
        prompt = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        start, found = len(tokenizer(prompt)["input_ids"]), []
        for answer in answers:
            ids = torch.tensor([tokenizer(prompt + answer + "<|im_end|>")["input_ids"]])
            with torch.no_grad():
                logprobs = model(ids).logits[0, start - 1 : -1].log_softmax(-1)
            total = logprobs.gather(1, ids[0, start:, None]).sum()
            found.append(Likelihood(float(total), ids.shape[1] - start))
        scores.append(found)
    return scores


def same(first: list[list[Likelihood]], second: list[list[Likelihood]], tolerance: float) -> bool:
    assert [[one.tokens for one in row] for row in first] == [[one.tokens for one in row] for row in second]
    pairs = zip(chain(*first), chain(*second), strict=True)
    return max(abs(a.logprob - b.logprob) for a, b in pairs) < tolerance


def test_scores_are_those_of_transformers(ours: GgufScorer, tiny_base: Path) -> None:
    wanted = plainly(tiny_base, ITEMS)
    assert same(ours.score(ITEMS), wanted, 1e-3)
    assert min(one.logprob for row in wanted for one in row) < -20


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
def test_every_family_scores_as_transformers_does(tiny_model: ModuleType, tmp_path: Path, family: str) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", family, tie_word_embeddings=family == "qwen3")
    convert(folder, tmp_path / "base.gguf", "F32")
    assert same(GgufScorer(tmp_path / "base.gguf", folder).score(ITEMS), plainly(folder, ITEMS), 1e-3)


def test_answers_do_not_see_each_other(ours: GgufScorer) -> None:
    packed = ours.score(ITEMS)
    alone = [[ours.score([(conversation, [answer])])[0][0] for answer in answers] for conversation, answers in ITEMS]
    turned = [row[::-1] for row in ours.score([(conversation, answers[::-1]) for conversation, answers in ITEMS])]
    assert same(packed, alone, 1e-3)
    assert same(packed, turned, 1e-3)


def test_batches_change_nothing_and_order_is_kept(ours: GgufScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    together = ours.score(ITEMS)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(scorer, "_BATCH_TOKENS", 1)
    assert same(ours.score(ITEMS, lambda done, of: seen.append((done, of))), together, 1e-3)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_batches_are_filled_up_to_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [scorer._Packed(index, tuple(range(length)), ()) for index, length in enumerate((9, 30, 10, 200, 10, 31))]
    monkeypatch.setattr(scorer, "_BATCH_TOKENS", 62)
    batches = [[row.length for row in batch] for batch in scorer._batches(rows)]
    assert batches == [[9, 10, 10], [30, 31], [200]]
    assert list(scorer._batches([])) == []


def test_nothing_to_score_is_nothing(ours: GgufScorer) -> None:
    assert ours.score([]) == []
    assert ours.score([(ITEMS[0][0], [])]) == [[]]


def test_the_end_of_turn_counts_as_a_token_of_the_answer(ours: GgufScorer, tiny_base: Path) -> None:
    render = Renderer(AutoTokenizer.from_pretrained(tiny_base))
    conversation, answers = ITEMS[0]
    (found,) = ours.score([(conversation, answers)])
    assert [one.tokens for one in found] == [len(render.example(conversation, text).completion_ids) for text in answers]


def test_a_control_token_in_an_answer_is_refused(ours: GgufScorer) -> None:
    with pytest.raises(BadTrainingFile, match="control token"):
        ours.score([(ITEMS[0][0], ["Paris.<|im_end|>"])])


# PEFT asks transformers for a property that is on its way out.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_it_is_the_file_that_is_scored_and_not_the_folder(
    exact: Path, tiny_base: Path, tiny_adapter: Path, ours: GgufScorer, tmp_path: Path
) -> None:
    from peft import PeftModel

    merge(exact, tiny_adapter, tmp_path / "merged.gguf", quant="F32")
    found = GgufScorer(tmp_path / "merged.gguf", tiny_base).score(ITEMS)
    assert not same(found, ours.score(ITEMS), 1.0)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), tiny_adapter)
    tuned.merge_and_unload().save_pretrained(tmp_path / "merged")
    for path in tiny_base.glob("*token*"):
        (tmp_path / "merged" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "merged" / "chat_template.jinja").write_bytes((tiny_base / "chat_template.jinja").read_bytes())
    assert same(found, plainly(tmp_path / "merged", ITEMS), 1e-3)


def test_bfloat16_is_close(exact: Path, tiny_base: Path, ours: GgufScorer) -> None:
    rough = GgufScorer(exact, tiny_base, "bf16").score(ITEMS)
    for one, other in zip(chain(*rough), chain(*ours.score(ITEMS)), strict=True):
        assert one.tokens == other.tokens
        assert one.logprob == pytest.approx(other.logprob, rel=0.05, abs=0.5)
    assert not same(rough, ours.score(ITEMS), 1e-6)
