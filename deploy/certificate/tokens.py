"""What the running server makes of text: token ids, prompts, the beginning of a sequence and the end of a turn.

Asked of the server and not of the file, for what counts is what is really sent to the model.
"""

from collections.abc import Sequence
from typing import Any

from strop.deploy.certificate.form import Check
from strop.deploy.targets.base import Conversation
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.trainer.render import Renderer

IDS, PROMPTS, BEGINNING, ENDING = "token ids", "rendered prompts", "beginning of sequence", "answers end"
NAMES = (IDS, PROMPTS, BEGINNING, ENDING)
_RENDERED = 8
_HARD_TEXT = (
    "Grüße aus Köln, naïve café! 안녕하세요, 세계. Привет; 你好。 العربية\n\n"
    "def f(x):\n\treturn {'a': [1, 2.5e-3], \"b\": x**2}  # ok\n   spaced   out\t\ttabs 1234567890 'tis don't I'LL 🙂🙂"
)


def token_checks(server: LlamaServer, tokenizer: Any, conversations: Sequence[Conversation]) -> list[Check]:
    """All checks of this room. Raises TrainerError where the template cannot be trained with, and TargetError."""
    render, some = Renderer(tokenizer), conversations[:_RENDERED]
    prompts = [render.prompt(conversation) for conversation in some]
    sent = [server.tokenize(server.rendered(one), special=True, whole=True) for one in some]
    ends = dict.fromkeys([int(tokenizer.eos_token_id)])
    for conversation, prompt in list(zip(some, prompts, strict=True))[:1]:
        ends[render.completion(conversation, prompt, "ok")[-1]] = None
    chats = server.chat_ended(some, next(iter(ends)))
    return [
        token_ids(server, tokenizer),
        _rendering(prompts, sent),
        _beginning(prompts, sent, tokenizer.bos_token_id, [chat.prompt_tokens for chat in chats]),
        _ending(server, prompts, list(ends), sum(not chat.stopped or chat.completion_tokens > 1 for chat in chats)),
    ]


def token_ids(server: LlamaServer, tokenizer: Any) -> Check:
    """Whether the server cuts a mixed text into the tokenizer's ids."""
    ours = list(tokenizer(_HARD_TEXT, add_special_tokens=False)["input_ids"])
    theirs = server.tokenize(_HARD_TEXT)
    return Check(IDS, ours == theirs, f"{len(ours)} ids of a mixed text, {_same(ours, theirs)}")


def _rendering(prompts: Sequence[Sequence[int]], sent: Sequence[Sequence[int]]) -> Check:
    wrong = sum(list(ours) != list(theirs) for ours, theirs in zip(prompts, sent, strict=True))
    return Check(PROMPTS, wrong == 0, f"{wrong} of {len(prompts)} differ from the training template")


def _beginning(
    prompts: Sequence[Sequence[int]], sent: Sequence[Sequence[int]], bos: int | None, counted: Sequence[int]
) -> Check:
    """At most one BOS in front, and no token more in what the chat endpoint sends than in training.

    The endpoint shows how many tokens its prompt has, not which: one token put before it makes them one more.
    """
    most = max((_leading(ids, bos) for ids in sent), default=0)
    other = sum(len(ours) != count for ours, count in zip(prompts, counted, strict=True))
    figure = f"at most {most} in front of {len(sent)} prompts; {other} chats of another length than in training"
    return Check(BEGINNING, most <= 1 and other == 0, figure)


def _leading(ids: Sequence[int], bos: int | None) -> int:
    return next((place for place, token in enumerate(ids) if token != bos), len(ids))


def _ending(server: LlamaServer, prompts: Sequence[Sequence[int]], ends: Sequence[int], open_chats: int) -> Check:
    """Whether the server ends an answer at the training's end of text and at what its template ends an answer with."""
    found = {token: server.ended(prompts[0], token) for token in ends} if prompts else {}
    going = [token for token, end in found.items() if not end.stopped or end.completion_tokens > 1]
    figure = f"the server stops at {', '.join(f'token {token}' for token in ends)}"
    if going:
        figure = f"the server goes on after {', '.join(f'token {token}' for token in going)}"
    figure += f"; {open_chats} of {len(prompts)} chats went on after it"
    return Check(ENDING, bool(found) and not going and open_chats == 0, figure)


def _same(ours: Sequence[int], theirs: Sequence[int]) -> str:
    if list(ours) == list(theirs):
        return "all equal"
    first = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"different from id {first} on"
