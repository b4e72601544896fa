"""Log-probabilities of the answer's tokens only.

TRL's trainers ask the model for per-token log-probabilities through `fused_lm_head=True`. On a GPU they project only
the positions that have a label; on a CPU every position, prompt and padding too, goes through the vocabulary
projection (trl 1.16, `add_fused_lm_head`). Half of a step is saved by leaving those out: same numbers, less work.
"""

import types
from typing import Any

from strop.trainer.attention import is_plain
from strop.trainer.shared import scored_hidden

# Above this many logits (positions x vocabulary) TRL's tiled head is used, which never holds them all at once.
MAX_LOGITS = 150_000_000
# Settings of families whose logits or loss are more than a projection: TRL's own head knows them.
_MORE_THAN_A_PROJECTION = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
    "output_router_logits",
)


def score_completions_only(model: Any, *, pairs: bool = False) -> None:
    """Patch a causal LM that TRL has already given its fused head, in place; a no-op in effect on other calls.

    `pairs`: batches are `[chosen; rejected]` of the same prompts, which are then read once (`shared`).
    A model that soft-caps or scales its logits, or balances experts in its loss, is left as it is.
    """
    from trl.trainer.utils import FusedCausalLMOutput

    if not is_a_projection(model):
        return

    tiled_forward = model.forward
    pairs = pairs and is_plain(model)

    def forward(
        self: Any,
        *args: Any,
        fused_lm_head: bool = False,
        labels: Any = None,
        num_items_in_batch: Any = None,
        **kw: Any,
    ) -> Any:
        head = self.get_output_embeddings()
        passed_on = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
        positions = 0 if labels is None else int((labels[:, 1:] != -100).sum())
        if not fused_lm_head or not 0 < positions * head.weight.shape[0] <= MAX_LOGITS:
            return tiled_forward(*args, fused_lm_head=fused_lm_head, labels=labels, **passed_on, **kw)
        kw["use_cache"] = False
        mask = labels[:, 1:] != -100
        hidden = scored_hidden(self, kw["input_ids"], kw["attention_mask"], labels) if pairs and not args else None
        if hidden is None:
            hidden = self.base_model(*args, **kw).last_hidden_state[:, :-1][mask]
        fields = _fields(head(hidden).float(), labels[:, 1:][mask])
        spread = {name: value.new_zeros(mask.shape).masked_scatter(mask, value) for name, value in fields.items()}
        loss = -spread["log_probs"].sum() / (positions if num_items_in_batch is None else num_items_in_batch)
        return FusedCausalLMOutput(loss=loss, label_mask=mask, **spread)

    model.forward = types.MethodType(forward, model)


def is_a_projection(model: Any) -> bool:
    """Whether the model's logits are its head times the last hidden state and nothing more."""
    config = model.config.get_text_config()
    return not any(getattr(config, name, None) for name in _MORE_THAN_A_PROJECTION)


def _fields(logits: Any, labels: Any) -> dict[str, Any]:
    """The per-token values that TRL's trainers read. `logits` is (positions, vocabulary) in float32."""
    logprobs = logits.log_softmax(dim=-1)
    with_gradient = {"log_probs": logprobs.gather(1, labels[:, None]).squeeze(1)}
    fixed = logprobs.detach()
    probs = fixed.exp()
    return {
        **with_gradient,
        "entropy": -(probs * fixed).sum(dim=-1),
        "log_sum_sq_probs": probs.square().sum(dim=-1).log(),
        "mean_logits": logits.detach().mean(dim=-1),
        "is_top1": fixed.argmax(dim=-1) == labels,
    }
