"""Upstream's converter in a process of its own: `python -I converter_child.py TOOLS SPLITTER FOLDER DTYPE OUT`.

It stands alone, importing nothing of ours: here `gguf` is upstream's, from TOOLS. SPLITTER is the name of the word
splitter where the caller recognised it, else empty. Nothing is fetched and no code that a model brings is run.
"""

import functools
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def main(tools: Path, splitter: str, folder: str, dtype: str, out: str) -> None:
    """Run convert_hf_to_gguf.py as its own command line would."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    sys.path[:0] = [str(tools), str(tools / "gguf-py")]
    sys.path.append(str(tools / "site"))
    import transformers

    for loader in (transformers.AutoTokenizer, transformers.AutoConfig):
        loader.from_pretrained = _without_code(loader.from_pretrained)
    if splitter:
        _know_splitter(splitter)
    sys.argv = ["convert_hf_to_gguf.py", folder, "--outtype", dtype.lower(), "--outfile", out]
    runpy.run_path(str(tools / sys.argv[0]), run_name="__main__")


def _without_code(load: Any) -> Any:
    """Upstream asks for a model's own code here and there; refuse it everywhere."""

    @functools.wraps(load)
    def loaded(*args: Any, **options: Any) -> Any:
        return load(*args, **{**options, "trust_remote_code": False, "local_files_only": True})

    return loaded


def _know_splitter(name: str) -> None:
    """Let upstream take `name` where it does not know the tokenizer by its hash."""
    from conversion.base import TextModel  # type: ignore[import-not-found]

    by_hash = TextModel.get_vocab_base_pre

    def known(self: Any, tokenizer: Any) -> str:
        try:
            return str(by_hash(self, tokenizer))
        except NotImplementedError:
            return name

    TextModel.get_vocab_base_pre = known


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
