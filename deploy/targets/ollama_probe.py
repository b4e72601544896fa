"""Does a loaded tag answer, or does the server say one token for ever?

A server can take a file, load it, answer every call of its API with success, and compute nonsense: Ollama 0.9.3 does on
processors with AMX, where its backend for them repeats one token whatever it is asked. No digest shows that. So a tag
is asked before the alias moves to it: two short questions, greedy, at most `TOKENS` tokens each, and the second only
where the first answer is stuck. Where both are, the embedded llama-server is asked the same of the same file: a model
that repeats itself there too does so by itself, and that is the gate's to judge.

Not covered: a server whose nonsense is not one piece of text over and over.
"""

import re
from pathlib import Path

from strop.deploy.targets.base import Conversation
from strop.deploy.targets.ollama_api import OllamaApi
from strop.deploy.targets.ollama_template import ChatFormat, render
from strop.errors import TargetError

TOKENS, REPEATS = 20, 16
QUESTIONS: tuple[Conversation, ...] = (
    [{"role": "user", "content": "What is a strop, in one sentence?"}],
    [{"role": "user", "content": "Count from one to ten."}],
)
# The shortest piece that the text ends in, over and over; no token is much longer.
_OVER_AND_OVER = re.compile(rf"(.{{1,24}}?)\1{{{REPEATS - 1},}}\Z", re.DOTALL)
_CONTEXT_TOKENS = 512
_SHOWN = 24  # characters of a stuck answer


def is_stuck(text: str, tokens: int) -> bool:
    """Whether an answer of that many tokens is one piece repeated to its end, or holds no text at all."""
    return tokens >= REPEATS and (not text or _OVER_AND_OVER.search(text) is not None)


def check_answers(api: OllamaApi, name: str, chat: ChatFormat, gguf: Path) -> None:
    """Raise TargetError where the tag `name` repeats one token and llama-server, on the same file, does not.

    Takes one answer of `TOKENS` tokens where all is well. Raises Missing where the two would have to be compared and
    there is no llama-server: a question that could not be asked is not a pass.
    """
    said = ""
    for question in QUESTIONS:
        answer = api.generate(name, render(chat, question), {"temperature": 0, "seed": 1, "num_predict": TOKENS})
        said = answer.response or ""
        if not is_stuck(said, answer.eval_count or 0):
            return
    if _is_stuck_by_itself(gguf):
        return
    raise TargetError(
        f"Ollama answers with {name} by saying {said[:_SHOWN]!r} again and again, and llama-server does not: what this "
        "Ollama computes on this processor is wrong",
        hint='ollama --version: 0.9.3 is so on processors with AMX; get a current one, or set target = "llamacpp"',
    )


def _is_stuck_by_itself(gguf: Path) -> bool:
    from strop.deploy.targets.llamacpp import LlamaCppTarget

    with LlamaCppTarget(context_tokens=_CONTEXT_TOKENS).serve_file(gguf) as server:
        answers = server.generate(QUESTIONS, max_tokens=TOKENS)
    return all(is_stuck(answer.text, answer.tokens) for answer in answers)
