"""A tiny random Llama with a byte-level BPE tokenizer and ChatML: real files, made in a second, no network."""

import json
import warnings
from pathlib import Path

# The last one is a word like any other to most models, as `<filename>` is.
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<filename>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = (
    "A strop is the leather that keeps a razor keen: a little, daily, without grinding it away.",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "Please answer in one plain sentence, without any list and without pleasantries.",
    "system user assistant: what is the capital of France? The capital of France is Paris.",
    "def add(first, second):\n    return first + second\n",
    "It takes 12 eggs, 350 grams of flour and 0.5 litres of milk; bake for 25 minutes at 180 degrees.",
    "Grüße aus Köln, s'il vous plaît, ¿qué tal? 日本語 も 少し。 Привет, мир!",
    "I don't know, we'll see, they've gone, you're right, it's late, she'd rather stay.",
)
VOCABULARY = 500
# Seven layers, so that one looks at everything; a window that is shorter than the tests' prompts.
GEMMA3 = {"num_hidden_layers": 7, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 16}


_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"


def _splitter(name: str) -> object:
    from tokenizers import Regex, pre_tokenizers

    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "gpt-2":
        return plain
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    digits = {"llama-bpe": r"\p{N}{1,3}", "qwen2": r"\p{N}"}[name]
    split = pre_tokenizers.Split(Regex(_HEAD + digits + _TAIL), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def make_tokenizer(folder: Path, splitter: str = "smollm") -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template; `splitter` is llama.cpp's name of it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(ignore_merges=splitter == "llama-bpe"))
    tokenizer.pre_tokenizer = _splitter(splitter)
    tokenizer.decoder = decoders.ByteLevel()
    if splitter == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
    ).save_pretrained(folder)


def make_base(folder: Path, architecture: str = "llama", splitter: str = "smollm", **changes: object) -> Path:
    """Write a tiny random base model (llama, mistral, qwen2, qwen3 or gemma3_text; seeded); returns `folder`.

    The weights are large enough that greedy choices are clear ones. But for llama, norms and biases, which transformers
    would start at 0 or 1, are random too: a test that loses one of them must see it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer(folder, splitter)
    size = len(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    settings = {
        "vocab_size": size,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.25,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        **(GEMMA3 if architecture == "gemma3_text" else {}),
        **changes,
    }
    config = AutoConfig.for_model(architecture, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(20)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters() if architecture != "llama" else ():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.1)
    model.save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, **changes: object) -> Path:
    """Write a PEFT LoRA adapter with random factors (seeded) on all linear layers of `base`; returns `folder`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **changes}
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers for a property that is on its way out.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        torch.manual_seed(21)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    # Else PEFT puts a copy of the base's output layer beside a LoRA on it.
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder
