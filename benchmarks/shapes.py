"""Models of a well-known shape with random weights: as fast and as large as the real ones, and as ignorant as noise."""

import shutil
from pathlib import Path
from typing import Any

from strop.trainer import sizes
from strop.trainer.fit import device

SEED = 17
_FILES_OF_A_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a base folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def random_base(name: str, tokenizer: Path, folder: Path) -> Path:
    """A base folder in bfloat16 with the shape `name` of `strop.trainer.sizes` and the tokenizer of another base."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

    shape = sizes.known(name)
    kinds = {"qwen2": Qwen2Config, "qwen3": Qwen3Config}
    width = sizes.head_width(name)
    ids = load_tokenizer(tokenizer)
    config = kinds.get(shape.family, LlamaConfig)(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.query // width,
        num_key_value_heads=shape.key_value // width,
        head_dim=width,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.table_parameters == shape.vocabulary * shape.hidden,
        bos_token_id=ids.bos_token_id,
        eos_token_id=ids.eos_token_id,
        pad_token_id=ids.pad_token_id,
    )
    torch.manual_seed(SEED)
    with torch.device(device()):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    for file in _FILES_OF_A_TOKENIZER:
        if (tokenizer / file).is_file():
            shutil.copyfile(tokenizer / file, folder / file)
    return folder
