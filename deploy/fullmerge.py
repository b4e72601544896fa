"""The full merge, for what a sum in GGUF space cannot express: transformers and PEFT merge in float32, then it is GGUF.

Covered: DoRA, `modules_to_save`, new tokens and trained embeddings, biases, a LoRA on an output layer that the base
shares with its embeddings (it gets one of its own), families that `gguf` does not know. The base's metadata is kept
field by field; only new tokens bring the tokenizer's fields of their own. The merged model must answer as the adapter
does before it is saved, and the whole model is in memory for this: 4 bytes a weight, the disk takes 8 more. It is asked
beforehand whether they are free. Fewer would not do: a sum that is kept in bfloat16 is rounded eight times as coarsely
as the F16 that is shipped, DoRA scales by the length of whole rows, and PEFT has no merge that reads part by part.
"""

import math
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from strop.deploy import adapter as adapters
from strop.deploy import container, converter, gguf, tensorfile, vocab
from strop.deploy.container import Container, Field
from strop.deploy.quantise import Quant
from strop.errors import BadGguf, CannotMerge, DeployError, Missing
from strop.trainer.models import BaseModel, chat_template
from strop.trainer.shape import weight_files

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Merged and unmerged logits differ by the order of float32 sums, relative to their spread.
_SAME = 1e-3
_CHECKED_TOKENS = 48
_FLOAT32_BYTES = 4
# Beside the weights: what is trained is there as a second copy and merged into a third, and the largest matrix goes
# through three of its own size. Libraries, and what the allocator keeps, made up the rest on SmolLM2 (1.1 to 1.5 GB).
_TRAINED_COPIES, _MATRIX_COPIES, _AROUND_BYTES = 2, 3, 500_000_000


def new_tokens(base: Path, adapter: Path) -> int:
    """How many tokens the tokenizer beside an adapter has that the base's has not, or has by another id."""
    if not (adapter / "tokenizer.json").is_file():
        return 0
    theirs, ours = (vocab.token_ids(folder) for folder in (adapter, base))
    return len(theirs.items() - ours.items())


def tokenizer_folder(base: BaseModel, adapter: Path | None) -> Path:
    """Where the tokenizer of a build lies: beside the adapter where that brings new tokens, else the base's."""
    return adapter if adapter is not None and new_tokens(base.folder, adapter) else base.folder


def full_merge(
    base: BaseModel, base_f16: Path, adapter: Path, out: Path, *, quant: Quant, scratch: Path, tools: Path | None
) -> gguf.MergeReport:
    """Merge `adapter` in float32 and write it quantised to `out`; `tools` is upstream's converter (`converter`).

    `scratch` is an empty folder for what is made on the way. Raises CannotMerge where PEFT cannot merge it either,
    DeployError where the merged model cannot be converted, Missing where the memory does not hold it.
    """
    import torch

    _need_memory(base, adapter)
    model = unmerged(base, adapter)
    with torch.inference_mode(), _quiet():
        before = _logits(model)
        model = model.merge_and_unload(safe_merge=True)
        apart = float((_logits(model) - before).abs().max() / before.std())
    if not apart < _SAME:
        raise CannotMerge(
            f"merged, the model differs from its adapter by {apart:.2g} of its spread", hint=adapters.HINT
        )
    _save(model, base, adapter, scratch / "merged")
    del model
    held, file = container.read(base_f16), gguf.open_model(_converted(base, base_f16, adapter, scratch, tools))
    fields = _fields(held, file, own_tokens=new_tokens(base.folder, adapter) > 0)
    sha256 = adapters.adapter_sha256(adapter)
    report = gguf.write_model(out, file, fields, {}, quant=quant, adapter_sha256=sha256, guard=True)
    changes = [_largest_change(held, file, name) for name in file.tensors]
    return replace(report, tensors=sum(change > 0 for change in changes), max_abs_delta=max(changes))


def needed_bytes(base: Path, adapter: Path) -> int:
    """About how much memory the full merge of an adapter takes, by the headers of its files and of the base's."""
    sizes = [math.prod(entry.shape) for shard in weight_files(base) for entry in tensorfile.read_index(shard).values()]
    trained = sum(math.prod(entry.shape) for entry in adapters.index(adapter).values())
    values = sum(sizes) + _TRAINED_COPIES * trained + _MATRIX_COPIES * max(sizes)
    return _FLOAT32_BYTES * values + _AROUND_BYTES


def _need_memory(base: BaseModel, adapter: Path) -> None:
    """Raise Missing where it is not free: found before minutes of loading, and not by the system ending the process."""
    import psutil

    needed, free = needed_bytes(base.folder, adapter), int(psutil.virtual_memory().available)
    if free < needed:
        raise Missing(
            f"merging {adapter.name} takes all of {base.ref} in float32, about {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free",
            hint="end other programs, or train a plain LoRA (no DoRA, no modules_to_save, no new tokens): it is merged "
            "piece by piece",
        )


def unmerged(base: BaseModel, adapter: Path) -> Any:
    """The base in float32 with the adapter beside it, as PEFT runs it, in eval mode.

    The embeddings get the rows that the adapter brings, and a shared output layer that it trains becomes its own.
    Raises CannotMerge where the adapter lacks weights or is none for this base.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    settings = adapters.settings(adapter)
    model = AutoModelForCausalLM.from_pretrained(
        base.folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    own_output = model.config.tie_word_embeddings and _trains_outer(settings, adapter)
    _resize(model, settings, adapter, own_output)
    if own_output:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    try:
        with _quiet():
            wrapped = PeftModel.from_pretrained(model, str(adapter)).eval()
            _same_names(wrapped, adapter)
            return wrapped
    except (ValueError, RuntimeError, KeyError, TypeError, NotImplementedError) as error:
        raise CannotMerge(f"PEFT cannot put {adapter} on {base.ref}: {error}", hint=adapters.HINT) from error


def _same_names(model: Any, adapter: Path) -> None:
    """Raise CannotMerge unless the adapter's file is all that its config trains: PEFT takes what is there, unasked."""
    from peft import get_peft_model_state_dict

    found = set(adapters.index(adapter))
    lacking = set(get_peft_model_state_dict(model, save_embedding_layers=False)) - found
    strange = found - set(get_peft_model_state_dict(model, save_embedding_layers=True))
    if lacking or strange:
        what = f"lacks {min(lacking)}" if lacking else f"holds {min(strange)}, which its config does not train"
        raise CannotMerge(f"{adapter / adapters.WEIGHTS_FILE} {what}", hint=adapters.HINT)


def _trains_outer(settings: dict[str, Any], adapter: Path) -> bool:
    """Whether embeddings or output layer are trained apart from each other; single tokens PEFT trains in both."""
    if settings.get("ensure_weight_tying") or settings.get("trainable_token_indices"):
        return False
    saved = {str(name).rpartition(".")[2] for name in settings.get("modules_to_save") or []}
    names = adapters.index(adapter)
    lora = any(re.search(r"\.(lm_head|embed_tokens)\.lora_", name) for name in names)
    return lora or bool(saved & {"lm_head", "embed_tokens"})


def _resize(model: Any, settings: dict[str, Any], adapter: Path, own_output: bool) -> None:
    """Give the embeddings the rows that the adapter's file has. Raises CannotMerge where new rows are not in it."""
    sizes = {}
    for name, entry in adapters.index(adapter).items():
        match = re.search(r"\.(embed_tokens|lm_head)(\.base_layer)?\.weight$", name)
        if match:
            sizes[match[1]] = entry.shape[0]
    rows, wanted = model.get_input_embeddings().weight.shape[0], max(sizes.values(), default=0)
    needed = {"embed_tokens"} if model.config.tie_word_embeddings and not own_output else {"embed_tokens", "lm_head"}
    indices = settings.get("trainable_token_indices") or []
    highest = max(
        (max(part, default=0) for part in (indices.values() if isinstance(indices, dict) else [indices])), default=0
    )
    if highest >= max(rows, wanted) or (wanted > rows and not needed <= sizes.keys()):
        raise CannotMerge(
            f"the adapter trains new tokens, but not all rows of {' and '.join(sorted(needed))} are in its file",
            hint="save it with save_embedding_layers=True",
        )
    if wanted > rows:
        model.resize_token_embeddings(wanted, mean_resizing=False)


def _logits(model: Any) -> Any:
    """Over a row of tokens from all over the vocabulary: (1, tokens, vocabulary)."""
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    return model(input_ids=torch.linspace(0, rows - 1, _CHECKED_TOKENS).long()[None], use_cache=False).logits


def _save(model: Any, base: BaseModel, adapter: Path, folder: Path) -> None:
    """The merged model as safetensors, with its tokenizer. Raises CannotMerge where tokens and rows do not agree."""
    import torch

    output, rows = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    shared = output is rows or bool(output.shape == rows.shape and torch.equal(output, rows))
    model.config.tie_word_embeddings = bool(model.config.tie_word_embeddings) and shared
    source = tokenizer_folder(base, adapter)
    highest = max(vocab.token_ids(source).values())
    if not highest < rows.shape[0] == output.shape[0] == model.config.vocab_size:
        raise CannotMerge(
            f"{highest + 1} tokens, {rows.shape[0]} embeddings, {output.shape[0]} outputs and vocab_size "
            f"{model.config.vocab_size} do not agree",
            hint="save the tokenizer and the resized embeddings with the adapter",
        )
    if source != base.folder and chat_template(source) not in ("", chat_template(base.folder)):
        raise CannotMerge(
            "the tokenizer beside the adapter has another chat template than the base", hint=adapters.HINT
        )
    model.save_pretrained(folder)
    for name in (*_TOKENIZER_FILES, "tokenizer.model"):
        found = source / name if (source / name).is_file() else base.folder / name
        if found.is_file():
            shutil.copyfile(found, folder / name)
    (folder / "chat_template.jinja").write_bytes(chat_template(base.folder).encode())


def _converted(base: BaseModel, base_f16: Path, adapter: Path, scratch: Path, tools: Path | None) -> Path:
    """The merged folder as F32 GGUF. Without new tokens the base's metadata and our own tables are enough."""
    out = scratch / "merged.gguf"
    if not new_tokens(base.folder, adapter):
        from strop.deploy import convert

        held = container.read(base_f16)
        try:
            architecture, plans = convert.tensors(scratch / "merged", "F32")
        except DeployError:
            architecture = ""
        if architecture == gguf.metadata(held, "general.architecture"):
            container.write(out, held.fields.values(), plans, held.alignment)
            return out
    converter.convert(scratch / "merged", out, "F32", tools)
    return out


def _fields(base: Container, merged: Container, *, own_tokens: bool) -> list[Field]:
    """The base's metadata; with new tokens the tokenizer's of the merged model. Raises BadGguf where sizes differ."""
    fields = dict(base.fields)
    if own_tokens:
        fields = {key: held for key, held in fields.items() if not _of_tokens(key)}
        fields |= {key: held for key, held in merged.fields.items() if _of_tokens(key)}
    tokens, rows = len(fields["tokenizer.ggml.tokens"].value()), merged.tensors["token_embd.weight"].shape[0]
    if tokens != rows:
        raise BadGguf(f"{tokens} tokens and {rows} embeddings came out of the merge", hint="strop doctor")
    return list(fields.values())


def _largest_change(base: Container, merged: Container, name: str) -> float:
    """How far a weight of this tensor is from the base's, in float16; of new rows the largest value itself."""
    import numpy as np

    before, after = base.tensors.get(name), merged.tensors[name]
    largest = 0.0
    old_rows = iter(()) if before is None else (rows for _, rows in gguf.read_rows(base, before))
    # The merged tensor has the base's rows or more, so the pieces of both begin at the same rows.
    for (_, new), old in zip_longest(gguf.read_rows(merged, after), old_rows):
        change = new.astype(np.float16).astype(np.float32)
        if old is not None:
            change[: len(old)] -= old.astype(np.float16)
        largest = max(largest, float(np.abs(change).max()))
    return largest


def _of_tokens(key: str) -> bool:
    return key.startswith("tokenizer.") or key.endswith(".vocab_size")


@contextmanager
def _quiet() -> Iterator[None]:
    """PEFT and transformers warn of shared layers and of each other; whether the merge is right is computed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
