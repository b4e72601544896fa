"""What a llama-server child is started with."""

from typing import Any

import pytest

from strop.deploy import llama_child


def test_a_long_prompt_is_let_go_of_after_as_few_tokens_as_are_computed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    xllamacpp = pytest.importorskip("xllamacpp")
    monkeypatch.setattr(xllamacpp, "Server", lambda params: params)
    job = {"gguf": "x.gguf", "context_tokens": 4096, "slots": 4, "threads": 1, "api_key": "k"}
    params: Any = llama_child._start(job)
    assert params.n_batch == params.n_ubatch
    assert params.n_ctx == 4 * 4096
