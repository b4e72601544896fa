"""A byte-level BPE tokenizer of Hugging Face (tokenizer.json) as GGUF metadata, or the reason why not.

llama.cpp knows a fixed set of text splitters by name (`tokenizer.ggml.pre`). We name one only where tokenizer.json
describes exactly that splitter; anything else is refused, for a near miss gives wrong token ids without an error.
Not covered: SentencePiece tokenizers. NFC normalisation (Qwen) is left to the caller, as llama.cpp leaves it.
"""

import json
from pathlib import Path
from typing import Any

from strop.deploy.container import Field, field
from strop.errors import DeployError

HINT = "give this model as a GGUF file that is known to be right: gguf:PATH"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_SPLITTERS: dict[tuple[tuple[str, Any], ...], str] = {
    (("ByteLevel", True),): "gpt-2",
    (("Digits", True), ("ByteLevel", True)): "smollm",
    (("Split", _HEAD + r"\p{N}{1,3}" + _TAIL), ("ByteLevel", False)): "llama-bpe",
    (("Split", _HEAD + r"\p{N}" + _TAIL), ("ByteLevel", False)): "qwen2",
}
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_SPECIAL_IDS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def fields(folder: Path, vocab_size: int, config: dict[str, Any]) -> list[Field]:
    """The `tokenizer.*` metadata of the model in `folder`. Raises DeployError where llama.cpp would split otherwise."""
    tokenizer = read_json(folder / "tokenizer.json", HINT)
    settings = read_json(folder / "tokenizer_config.json", HINT)
    pre = recognise(tokenizer)
    tokens, types = _tokens(tokenizer, vocab_size)
    ids = {text: number for number, text in enumerate(tokens)}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    out = [
        field("tokenizer.ggml.model", "gpt2", "str"),
        field("tokenizer.ggml.pre", pre, "str"),
        field("tokenizer.ggml.tokens", tokens, "str[]"),
        field("tokenizer.ggml.token_type", types, "i32[]"),
        field("tokenizer.ggml.merges", merges, "str[]"),
    ]
    special = {name: _special_id(name, settings, config, ids) for name in _SPECIAL_IDS}
    if special["eos"] is None:
        raise DeployError(f"{folder} names no end-of-sequence token", hint=HINT)
    for name, number in special.items():
        if number is not None:
            out.append(field(f"tokenizer.ggml.{_SPECIAL_IDS[name]}_token_id", number, "u32"))
    before, after = _added(tokenizer)
    for name, found in (("bos", before), ("eos", after)):
        wanted = settings.get(f"add_{name}_token")
        out.append(field(f"tokenizer.ggml.add_{name}_token", _adds(name, found, special[name], wanted, ids), "bool"))
    template = _chat_template(folder, settings)
    if template:
        out.append(field("tokenizer.chat_template", template, "str"))
    return out


def token_ids(folder: Path) -> dict[str, int]:
    """The id of every token of any kind of tokenizer.json, by its text. Raises DeployError."""
    tokenizer = read_json(folder / "tokenizer.json", HINT)
    ids = tokenizer.get("model", {}).get("vocab", {})
    known = dict(ids) if isinstance(ids, dict) else {piece[0]: number for number, piece in enumerate(ids)}
    return known | {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}


def recognise(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name of the splitter that tokenizer.json describes. Raises DeployError with what is not known."""
    model = tokenizer.get("model", {})
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        kind = "SentencePiece-like" if model.get("byte_fallback") else model.get("type")
        raise DeployError(f"the tokenizer is {kind}; only byte-level BPE is converted", hint=HINT)
    pre = _SPLITTERS.get(tuple(_steps(tokenizer.get("pre_tokenizer"))))
    if pre is None:
        text = json.dumps(tokenizer.get("pre_tokenizer"), ensure_ascii=False)
        raise DeployError(f"the tokenizer splits text in a way that is not known here: {text[:300]}", hint=HINT)
    normalizer = (tokenizer.get("normalizer") or {}).get("type")
    if normalizer not in ((None, "NFC") if pre == "qwen2" else (None,)):
        raise DeployError(f"the tokenizer normalises text ({normalizer}), llama.cpp does not", hint=HINT)
    if bool(model.get("ignore_merges")) != (pre == "llama-bpe"):
        raise DeployError(f"ignore_merges is {model.get('ignore_merges')}, llama.cpp's {pre} differs", hint=HINT)
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise DeployError(f"the tokenizer sets {key}, which llama.cpp does not know", hint=HINT)
    return pre


def _steps(step: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """The splitting steps in order, each with the one setting that matters; other settings make it unknown."""
    if step is None:
        return []
    kind = str(step.get("type"))
    if kind == "Sequence":
        return [inner for part in step["pretokenizers"] for inner in _steps(part)]
    if kind == "Digits":
        return [(kind, step.get("individual_digits"))]
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return [(kind, step.get("use_regex", True))]
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return [(kind, step.get("pattern", {}).get("Regex"))]
    return [(f"unknown {kind}", None)]


def _tokens(tokenizer: dict[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    """Token texts and types by id; ids without a token are filled up to the number of embedding rows."""
    by_id = {number: (text, _NORMAL) for text, number in tokenizer["model"]["vocab"].items()}
    for token in tokenizer.get("added_tokens", []):
        text = token["content"]
        control = token.get("special") or (text.startswith("<|") and text.endswith("|>"))
        by_id[token["id"]] = (text, _CONTROL if control else _USER_DEFINED)
    if by_id and max(by_id) >= vocab_size:
        raise DeployError(f"the tokenizer has a token {max(by_id)}, the model only {vocab_size} embeddings", hint=HINT)
    rows = [by_id.get(number, (f"[PAD{number}]", _UNUSED)) for number in range(vocab_size)]
    return [text for text, _ in rows], [kind for _, kind in rows]


def _special_id(name: str, settings: dict[str, Any], config: dict[str, Any], ids: dict[str, int]) -> int | None:
    """The id of bos, eos, unk or pad: the tokenizer's own word first, then the model's."""
    token = settings.get(f"{name}_token")
    text = token.get("content") if isinstance(token, dict) else token
    if text is not None:
        if text not in ids:
            raise DeployError(f"the {name} token {text!r} is not in the vocabulary", hint=HINT)
        return ids[text]
    number = config.get(f"{name}_token_id")
    return number if isinstance(number, int) and 0 <= number < len(ids) else None


def _added(tokenizer: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The special tokens that the tokenizer puts before and after a text."""
    step = tokenizer.get("post_processor") or {}
    parts = step.get("processors", [step]) if step.get("type") == "Sequence" else [step]
    templates = [part["single"] for part in parts if part.get("type") == "TemplateProcessing"]
    unknown = {part.get("type") for part in parts} - {None, "ByteLevel", "TemplateProcessing"}
    if unknown or len(templates) > 1:
        raise DeployError(f"the tokenizer's post-processor ({', '.join(map(str, unknown))}) is not known", hint=HINT)
    single = templates[0] if templates else [{"Sequence": {}}]
    at = next(place for place, piece in enumerate(single) if "Sequence" in piece)
    names = [piece["SpecialToken"]["id"] if "SpecialToken" in piece else "" for piece in single]
    return names[:at], names[at + 1 :]


def _adds(name: str, found: list[str], number: int | None, wanted: Any, ids: dict[str, int]) -> bool:
    """Whether one bos (or eos) is added to a text. Raises DeployError where other tokens are."""
    if isinstance(wanted, bool):
        return wanted and number is not None
    if found and [ids.get(text) for text in found] != [number]:
        raise DeployError(f"the tokenizer adds {found} to every text, not its {name} token alone", hint=HINT)
    return bool(found)


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The default chat template: chat_template.jinja, else tokenizer_config.json."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_bytes().decode("utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        template = next((item["template"] for item in template if item.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def read_json(path: Path, hint: str) -> dict[str, Any]:
    """A JSON object from a model folder. Raises DeployError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeployError(f"{path} does not exist", hint=hint) from None
    except (OSError, ValueError) as error:
        raise DeployError(f"{path} cannot be read: {error}", hint=hint) from error
    if not isinstance(data, dict):
        raise DeployError(f"{path} is not a JSON object", hint=hint)
    return data
