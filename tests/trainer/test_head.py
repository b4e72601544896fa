"""Scoring the answer's tokens only gives TRL's own numbers: the same loss, the same gradients, less work."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from strop.trainer import head

FIELDS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
Load = Callable[[], Any]


@pytest.fixture
def load(tiny_base: Path) -> Load:
    """Loads the tiny base with TRL's fused head."""

    def loaded() -> Any:
        model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
        add_fused_lm_head(model, outputs=FIELDS)
        return model

    return loaded


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Three padded rows: prompt, answer, padding."""
    ids = torch.randint(3, 480, (3, 24), generator=torch.Generator().manual_seed(4))
    labels, mask = ids.clone(), torch.ones_like(ids)
    for row, (prompt, length) in enumerate(((5, 24), (12, 20), (1, 9))):
        labels[row, :prompt] = -100
        labels[row, length:] = -100
        mask[row, length:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def test_log_probs_loss_and_metrics_are_trls(load: Load, batch: dict[str, torch.Tensor]) -> None:
    theirs, ours = load(), load()
    head.score_completions_only(ours)
    with torch.no_grad():
        wanted, found = (model(**batch, fused_lm_head=True) for model in (theirs, ours))
    assert torch.equal(found.label_mask, wanted.label_mask)
    for field in FIELDS[:-1]:
        assert float((found[field] - wanted[field]).abs().max()) < 1e-4
    assert torch.equal(found.is_top1.bool(), wanted.is_top1.bool())
    assert float(found.loss) == pytest.approx(float(wanted.loss), abs=1e-5)


@pytest.mark.parametrize("num_items_in_batch", [None, 64])
def test_gradients_are_trls(load: Load, batch: dict[str, torch.Tensor], num_items_in_batch: int | None) -> None:
    theirs, ours = load(), load()
    head.score_completions_only(ours)
    for model in (theirs, ours):
        model(**batch, fused_lm_head=True, num_items_in_batch=num_items_in_batch).loss.backward()
    pairs = list(zip(theirs.parameters(), ours.parameters(), strict=True))
    assert all(float((a.grad - b.grad).abs().max()) < 1e-4 for a, b in pairs)
    assert max(float(b.grad.abs().max()) for _, b in pairs) > 1e-2


def test_only_labelled_positions_reach_the_vocabulary(load: Load, batch: dict[str, torch.Tensor]) -> None:
    model = load()
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda _, args, out: seen.append(args[0].shape[0]))
    head.score_completions_only(model)
    model(**batch, fused_lm_head=True)
    assert seen == [int((batch["labels"][:, 1:] != -100).sum())]


def test_a_batch_too_large_or_without_labels_goes_trls_way(
    load: Load, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda *_: seen.append(1))
    head.score_completions_only(model)
    unlabelled = batch | {"labels": torch.full_like(batch["labels"], -100)}
    with torch.no_grad():
        assert float(model(**unlabelled, fused_lm_head=True).loss) == 0.0
        monkeypatch.setattr(head, "MAX_LOGITS", 1000)
        assert float(model(**batch, fused_lm_head=True).loss) > 0.0
    assert seen == []


def test_other_calls_are_as_before(load: Load, batch: dict[str, torch.Tensor]) -> None:
    plain, model = load(), load()
    head.score_completions_only(model)
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, plain(**batch).logits)
        assert float(model(**batch).loss) == float(plain(**batch).loss)
        first, second = (
            one.generate(batch["input_ids"][:1], max_new_tokens=5, do_sample=False) for one in (model, plain)
        )
    assert torch.equal(first, second)


def test_a_head_that_does_more_than_project_keeps_trls_own(
    tiny_model: ModuleType, tmp_path: Path, batch: dict[str, torch.Tensor]
) -> None:
    folder = tiny_model.make_base(
        tmp_path / "gemma2", "gemma2", head_dim=16, final_logit_softcapping=3.0, attn_logit_softcapping=None
    )
    theirs, ours = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for _ in range(2))
    for model in (theirs, ours):
        add_fused_lm_head(model, outputs=FIELDS)
    head.score_completions_only(ours)
    with torch.no_grad():
        wanted, found = (model(**batch, fused_lm_head=True) for model in (theirs, ours))
    assert float((found.log_probs - wanted.log_probs).abs().max()) < 1e-4
