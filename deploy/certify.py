"""Does the build answer as the adapter does? Asked before the gate, so that the gate judges a model and not a bug.

Covered: the tokenizer (ids of a hard text), the chat template (ids of rendered conversations, end of turn, at most one
beginning of sequence), the merge (llama-server's greedy continuations of the F16 merge against one transformers pass
over the base with its adapter) and, more loosely, the quantisation (the same with the served file). Not covered:
quality; that is the gate's.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from strop.deploy.fullmerge import tokenizer_folder, unmerged
from strop.deploy.gguf import read_info
from strop.deploy.targets.base import Conversation
from strop.deploy.targets.llamacpp import LlamaServer
from strop.errors import NotCertified
from strop.files import sha256_bytes
from strop.trainer.models import BaseModel
from strop.trainer.render import Renderer

MIN_POSITIONS = 1000
MIN_AGREEMENT = 0.99
# llama.cpp rounds activations to 8 bits beside Q8_0 weights: a 135M model agrees in 94 to 97 % of its tokens,
# every miss a near-tie.
MIN_QUANTISED_AGREEMENT = 0.85
MIN_QUANTISED_POSITIONS = 400
_TOKENS_EACH = 48
_PROMPTS_A_ROUND = 16
_HARD_TEXT = (
    "Grüße aus Köln, naïve café! 안녕하세요, 세계. Привет; 你好。 العربية\n\n"
    "def f(x):\n\treturn {'a': [1, 2.5e-3], \"b\": x**2}  # ok\n   spaced   out\t\ttabs 1234567890 'tis don't I'LL 🙂🙂"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One named question with its answer and the figure behind it."""

    name: str
    ok: bool
    figure: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """All checks of one build; it certifies only where each holds."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> list[dict[str, Any]]:
        """For manifests and evidence."""
        return [asdict(check) for check in self.checks]

    def demand(self) -> None:
        """Raise NotCertified naming the checks that failed."""
        failed = [f"{check.name} ({check.figure})" for check in self.checks if not check.ok]
        if failed:
            raise NotCertified(f"the build does not answer as it was trained: {'; '.join(failed)}", hint="strop doctor")


def certificate_from(checks: Sequence[dict[str, Any]]) -> Certificate:
    """The inverse of `Certificate.as_dict`."""
    return Certificate(tuple(Check(**check) for check in checks))


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and the file that it serves."""

    server: LlamaServer
    gguf: Path


def certify(
    built: Served, exact: Served, base: BaseModel, adapter: Path | None, conversations: Sequence[Conversation]
) -> Certificate:
    """Compare a build with transformers. `exact` is the same merge in F16 (the build itself where it is F16).

    `conversations` are what the continuations start from, as many of them as it takes: 32 are enough for a talkative
    model, 100 for one that answers in a dozen tokens. Raises whatever the server or transformers raise; a check that
    could not be made never passes.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(base, adapter), local_files_only=True)
    render = Renderer(tokenizer)
    prompts = [render.prompt(conversation) for conversation in conversations]
    reference = _reference(base, adapter)
    checks = [
        _token_ids(built.server, tokenizer),
        _rendering(built.server, tokenizer, conversations, prompts),
        _metadata(built.gguf, base, tokenizer),
        _agreement("merge", exact.server, prompts, reference, (MIN_AGREEMENT, MIN_POSITIONS)),
    ]
    if built.gguf != exact.gguf:
        quantised = (MIN_QUANTISED_AGREEMENT, MIN_QUANTISED_POSITIONS)
        checks.append(_agreement("quantised", built.server, prompts, reference, quantised))
    return Certificate(tuple(checks))


def _token_ids(server: LlamaServer, tokenizer: Any) -> Check:
    ours = list(tokenizer(_HARD_TEXT, add_special_tokens=False)["input_ids"])
    theirs = server.tokenize(_HARD_TEXT)
    return Check("token ids", ours == theirs, f"{len(ours)} ids of a mixed text, {_same(ours, theirs)}")


def _rendering(
    server: LlamaServer, tokenizer: Any, conversations: Sequence[Conversation], prompts: Sequence[Sequence[int]]
) -> Check:
    wrong = 0
    for conversation, ours in list(zip(conversations, prompts, strict=True))[:8]:
        theirs = server.tokenize(server.rendered(conversation), special=True)
        doubled = tokenizer.bos_token_id is not None and theirs[:2] == [tokenizer.bos_token_id] * 2
        wrong += theirs != list(ours) or doubled
    return Check("rendered prompts", wrong == 0, f"{wrong} of {min(8, len(prompts))} differ from the training template")


def _metadata(gguf: Path, base: BaseModel, tokenizer: Any) -> Check:
    info = read_info(gguf)
    template = sha256_bytes((info.chat_template or "").encode()) == base.template_sha256
    end = info.eos_id == tokenizer.eos_token_id
    return Check("template and end of turn", template and end, f"template equal: {template}, end token equal: {end}")


def _agreement(
    name: str, server: LlamaServer, prompts: Sequence[Sequence[int]], reference: Any, needed: tuple[float, int]
) -> Check:
    """`needed`: the share of agreeing tokens, and over how many positions at least."""
    bound, least = needed
    pairs = _continued(server, prompts, least)
    same, positions = _top1(pairs, reference)
    share = same / positions if positions else 0.0
    figure = f"{same} of {positions} greedy tokens agree with transformers: {share:.2%}, at least {bound:.0%} needed"
    if positions < least:
        figure += f"; fewer than the {least} positions needed"
    return Check(f"top-1 agreement, {name}", positions >= least and share >= bound, figure)


def _continued(
    server: LlamaServer, prompts: Sequence[Sequence[int]], positions: int
) -> list[tuple[Sequence[int], Sequence[int]]]:
    """(prompt, greedy continuation) pairs, in rounds, until there are positions enough or no prompts left."""
    pairs: list[tuple[Sequence[int], Sequence[int]]] = []
    for start in range(0, len(prompts), _PROMPTS_A_ROUND):
        part = prompts[start : start + _PROMPTS_A_ROUND]
        pairs += zip(part, server.continuations(part, _TOKENS_EACH), strict=True)
        if sum(len(continued) for _, continued in pairs) >= positions:
            break
    return pairs


def _reference(base: BaseModel, adapter: Path | None) -> Any:
    """The base in float32 with the adapter applied, not merged, as transformers and PEFT run it."""
    import torch
    from transformers import AutoModelForCausalLM

    if adapter is not None:
        return unmerged(base, adapter)
    model = AutoModelForCausalLM.from_pretrained(
        base.folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    return model.eval()


def _top1(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], reference: Any) -> tuple[int, int]:
    """(tokens that are also transformers' first choice, all tokens)."""
    import torch

    same = positions = 0
    with torch.inference_mode():
        for batch in _by_eight(sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))):
            for choice, continued in zip(_choices(reference, batch), (pair[1] for pair in batch), strict=True):
                same += sum(int(a == b) for a, b in zip(choice, continued, strict=True))
                positions += len(continued)
    return same, positions


def _choices(model: Any, batch: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[list[int]]:
    """Transformers' greedy choice at each continued position, for right-padded rows."""
    import torch

    width = max(len(prompt) + len(continued) for prompt, continued in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    for number, (prompt, continued) in enumerate(batch):
        row = [*prompt, *continued]
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    best = logits.argmax(dim=-1)
    return [
        best[number, len(prompt) - 1 : len(prompt) + len(continued) - 1].tolist()
        for number, (prompt, continued) in enumerate(batch)
    ]


def _by_eight(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + 8] for start in range(0, len(items), 8)]


def _same(ours: Sequence[int], theirs: Sequence[int]) -> str:
    if list(ours) == list(theirs):
        return "all equal"
    first = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"different from id {first} on"
