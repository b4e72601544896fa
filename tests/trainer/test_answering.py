"""A model in memory as suites ask it: greedy as one asks it alone, likelihoods as one forward pass gives them."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.trainer.answering import Answering

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

ASKED = [[{"role": "user", "content": text}] for text in ("Hi", "What is the capital of France?", "A strop is", "12")]


def test_a_batch_answers_as_each_would_alone(tiny_base: Path) -> None:
    model = Answering.load(tiny_base, None, "fp32", batch=3)
    together = model.generate(ASKED, max_tokens=12)
    alone = [model.generate([one], max_tokens=12)[0] for one in ASKED]
    assert together == alone
    assert all(one.tokens <= 12 and one.finished == (one.tokens < 12) for one in together)


def test_answers_are_the_handlers(tiny_base: Path) -> None:
    from strop.trainer.handler import Handler
    from strop.trainer.train import load_base

    handler = Handler(*load_base(tiny_base, "fp32"), "tiny")
    said = [handler.chat.completions.create(messages=one, temperature=0, max_tokens=12) for one in ASKED]
    found = Answering.load(tiny_base, None, "fp32").generate(ASKED, max_tokens=12)
    assert [one.text for one in found] == [one.choices[0].message.content.strip() for one in said]


def test_likelihoods_are_those_of_a_plain_pass(tiny_base: Path) -> None:
    import torch

    from strop.trainer.render import Renderer
    from strop.trainer.train import load_base

    model, tokenizer = load_base(tiny_base, "fp32")
    render = Renderer(tokenizer)
    found = Answering(model, tokenizer).score([(one, ["Paris.", "A list"]) for one in ASKED])
    for conversation, scores in zip(ASKED, found, strict=True):
        prompt = render.prompt(conversation)
        for text, score in zip(["Paris.", "A list"], scores, strict=True):
            answer = render.completion(conversation, prompt, text)
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            wanted = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum()
            assert score.tokens == len(answer)
            assert score.logprob == pytest.approx(float(wanted), abs=1e-3)


def test_an_adapter_changes_what_is_answered(tiny_model: ModuleType, tiny_base: Path, tmp_path: Path) -> None:
    adapter = tiny_model.make_adapter(tiny_base, tmp_path / "adapter")

    def scores(folder: Path | None) -> Any:
        return Answering.load(tiny_base, folder, "fp32").score([(ASKED[0], ["Paris."])])[0][0].logprob

    assert abs(scores(adapter) - scores(None)) > 0.1
