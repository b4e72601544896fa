"""A GGUF as the folder that transformers trains on: read by transformers, and put right where it reads otherwise.

What a file says and transformers passes over is given back: how text is cut into words, and how a Gemma 3 scales.
Not covered: the frequency factors of Llama 3.1 and later, which a GGUF keeps as a tensor; the certificate tells.
"""

import json
from pathlib import Path
from typing import Any

from strop.errors import UnknownModel

_GEMMA3_27B_LAYERS = 62


def into(path: Path, out: Path) -> None:
    """Write config, tokenizer and float16 weights of a GGUF to the folder `out`. Raises UnknownModel."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": path.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **where)
        model = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **where)
    except Exception as error:  # readers of damaged files raise whatever they stumble over; tokenizers a bare Exception
        raise UnknownModel(
            f"transformers cannot read {path.name}: {error}", hint="use hf:ORG/NAME@REVISION or a model folder"
        ) from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    _restore_splitter(path, out / "tokenizer.json")
    _restore_gemma3(path, out / "config.json")


# How `tokenizer.ggml.pre` cuts text into words, where transformers (5.23) does not read it back and cuts otherwise.
_SPLITTERS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}],
    "smollm": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
}


def _restore_splitter(gguf: Path, tokenizer_json: Path) -> None:
    """Give the unpacked tokenizer the word splitter that the GGUF names."""
    name = str(_value(_reader(gguf), "tokenizer.ggml.pre") or "gpt-2")
    if name not in _SPLITTERS:
        return  # transformers knows those of the Qwen and Llama 3 families; certification compares the ids in any case
    data = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": _SPLITTERS[name]}
    tokenizer_json.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


def _restore_gemma3(gguf: Path, config_json: Path) -> None:
    """Give the config of a Gemma 3 the scales of scores and rotation that transformers (5.23) does not read.

    The scale is what llama.cpp computes: the head's size, and in the model of 62 layers (27B) width over heads.
    """
    reader = _reader(gguf)
    if _value(reader, "general.architecture") != "gemma3":
        return
    data = json.loads(config_json.read_text(encoding="utf-8"))
    wide = data["num_hidden_layers"] == _GEMMA3_27B_LAYERS
    data["query_pre_attn_scalar"] = data["hidden_size"] // data["num_attention_heads"] if wide else data["head_dim"]
    if _value(reader, "gemma3.rope.scaling.type") == "linear":
        factor = float(_value(reader, "gemma3.rope.scaling.factor"))
        data["rope_parameters"]["full_attention"] |= {"rope_type": "linear", "factor": factor}
    config_json.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")


def _reader(gguf: Path) -> Any:
    from gguf import GGUFReader

    return GGUFReader(gguf)


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return field.contents() if field else None
