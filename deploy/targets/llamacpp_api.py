"""What a running llama-server is asked over HTTP: answers, greedy continuations, log-probabilities, token ids.

Where its API says too little, one token is forced by a bias on its logit, and what the server says of it is read. Who
starts and ends the process is `strop.deploy.targets.llamacpp`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from strop.deploy.targets.base import Conversation, Generation
from strop.errors import TargetError

_FORCING = 1000.0  # added to one logit: no other token has a chance
_FORCED_TOKENS = 8
_EVERY = 1 << 20  # more tokens than any vocabulary has

OnAnswer = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a generation ended that was forced to begin with one token: `stopped` where the server ended it for that."""

    prompt_tokens: int
    completion_tokens: int
    stopped: bool


class LlamaServer:
    """One running server. Thread-safe; answers are greedy."""

    def __init__(self, client: Any, slots: int) -> None:
        self._client = client
        self.slots = slots

    def generate(
        self, conversations: Sequence[Conversation], *, max_tokens: int, on_answer: OnAnswer | None = None
    ) -> list[Generation]:
        """Answer each conversation through `/v1/chat/completions`, in order, as many at a time as there are slots.

        `on_answer(done, of)` is called after each. Raises TargetError where the server refuses or fails.
        """

        def one(conversation: Conversation) -> Generation:
            body = {"messages": [dict(m) for m in conversation], "max_tokens": max_tokens, "temperature": 0, "seed": 1}
            answer = self._post("/v1/chat/completions", body)
            choice = answer["choices"][0]
            text = choice["message"].get("content") or ""
            return Generation(text, int(answer["usage"]["completion_tokens"]), choice["finish_reason"] == "stop")

        return self._all(one, conversations, on_answer)

    def continuations(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
        """The greedy next `tokens` ids after each prompt of ids; shorter where the model ends its turn."""

        def one(ids: Sequence[int]) -> list[int]:
            body = {"prompt": list(ids), "n_predict": tokens, "temperature": 0, "return_tokens": True, "seed": 1}
            return [int(token) for token in self._post("/completion", body)["tokens"]]

        return self._all(one, prompts, None)

    def logprob(self, ids: Sequence[int], token: int) -> float:
        """The log-probability (nats) of `token` after `ids`, at temperature 1. Raises TargetError.

        A bias makes the server sample that token; what it says of it is the likelihood before the bias. It says nothing
        of a token that is a part of a character, so that one is looked up among all tokens beside a plain one.
        """
        found = self._forced(ids, token, 1)
        if found is None:
            plain = self.tokenize(".")[0]
            every = (self._forced(ids, plain, _EVERY) or {}).get("top_logprobs", [])
            found = next((one for one in every if one["id"] == token), None)
        if found is None or found["id"] != token:
            said = "nothing" if found is None else f"token {found['id']}"
            raise TargetError(f"llama-server told {said} where token {token} was asked for", hint="strop doctor")
        return float(found["logprob"])

    def likeliest(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], k: int) -> list[list[dict[int, float]]]:
        """For each (prompt, continuation), at each place of the continuation: the `k` likeliest tokens there.

        Log-probabilities (nats) by token, given all that stands before; the continuation need not be this server's.
        Raises TargetError, also where a likelihood is no number.
        """
        plain = self.tokenize(".")[0]  # whole text, so that the server always speaks of it

        def one(pair: tuple[Sequence[int], Sequence[int]]) -> list[dict[int, float]]:
            prompt, continued = pair
            places: list[dict[int, float]] = []
            ahead = len(continued)
            while len(places) < len(continued):
                # The server's own answer, for as long as it is the one asked for: one request a run, not one a token.
                before, rest = [*prompt, *continued[: len(places)]], continued[len(places) :][:ahead]
                found = self._run(before, rest, k) or [_logprobs(self._forced(before, plain, k))]
                places += found
                ahead = 2 * len(found)  # one that leaves it at once is not asked for whole answers in vain
            return places

        return self._all(one, pairs, None)

    def _run(self, ids: Sequence[int], wanted: Sequence[int], k: int) -> list[dict[int, float]]:
        """What the server finds likeliest at each place of its greedy answer, up to where that leaves `wanted`.

        It says nothing of a token that is a part of a character, so what it says ends there too.
        """
        body = {"prompt": list(ids), "n_predict": len(wanted), "n_probs": k, "temperature": 0, "seed": 1}
        places = []
        answer = self._post("/completion", body | {"return_tokens": True})
        for said, token, other in zip(
            answer.get("completion_probabilities", []), answer["tokens"], wanted, strict=False
        ):
            if said["id"] != token or not _whole_text(said["bytes"]):
                break
            places.append(_logprobs(said))
            if token != other:
                break
        return places

    def _forced(self, ids: Sequence[int], token: int, n_probs: int) -> dict[str, Any] | None:
        """What the server says of the one token that it can sample, and of the `n_probs` likeliest."""
        body = {"prompt": list(ids), "n_predict": 1, "n_probs": n_probs, "logit_bias": [[token, _FORCING]], "seed": 1}
        body |= {"temperature": 1.0, "samplers": ["temperature"], "cache_prompt": True}
        said: list[dict[str, Any]] = self._post("/completion", body).get("completion_probabilities") or []
        return said[0] if said else None

    def ended(self, ids: Sequence[int], token: int) -> Ended:
        """How a continuation of `ids` ends whose every token is forced to be `token`."""
        body = {"prompt": list(ids), "n_predict": _FORCED_TOKENS, "logit_bias": [[token, _FORCING]], "seed": 1}
        answer = self._post("/completion", body | {"temperature": 1.0, "samplers": ["temperature"]})
        return Ended(int(answer["tokens_evaluated"]), int(answer["tokens_predicted"]), answer["stop_type"] == "eos")

    def chat_ended(self, conversations: Sequence[Conversation], token: int) -> list[Ended]:
        """The same through `/v1/chat/completions`: also how many tokens the prompt has that is really sent."""

        def one(conversation: Conversation) -> Ended:
            body = {"messages": [dict(m) for m in conversation], "max_tokens": _FORCED_TOKENS, "seed": 1}
            body |= {"logit_bias": [[token, _FORCING]], "temperature": 1.0, "samplers": ["temperature"]}
            answer = self._post("/v1/chat/completions", body)
            used, stopped = answer["usage"], answer["choices"][0]["finish_reason"] == "stop"
            return Ended(int(used["prompt_tokens"]), int(used["completion_tokens"]), stopped)

        return self._all(one, conversations, None)

    def tokenize(self, text: str, *, special: bool = False, whole: bool = False) -> list[int]:
        """The ids of `text` as the server cuts it; `special`: control tokens in the text count as such.

        `whole`: as a prompt of its own, with what the tokenizer puts before (or after) each.
        """
        body = {"content": text, "add_special": whole, "parse_special": special}
        return [int(token) for token in self._post("/tokenize", body)["tokens"]]

    def rendered(
        self, conversation: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> str:
        """The prompt text that the server makes of a conversation, with the tools that are offered in it."""
        body: dict[str, Any] = {"messages": [dict(m) for m in conversation]}
        return str(self._post("/apply-template", body | ({"tools": tools} if tools else {}))["prompt"])

    def _all(self, one: Callable[[Any], Any], items: Sequence[Any], on_answer: OnAnswer | None) -> list[Any]:
        answers, pool, waits = [], ThreadPoolExecutor(self.slots), True
        try:
            for answer in pool.map(one, items):
                answers.append(answer)
                if on_answer:
                    on_answer(len(answers), len(items))
        except KeyboardInterrupt:
            waits = False  # the server ends next, and with it what it was asked: as many long answers as it has slots
            raise
        finally:
            pool.shutdown(wait=waits, cancel_futures=not waits)
        return answers

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        import httpx2

        try:
            response = self._client.post(path, json=body)
        except httpx2.HTTPError as error:
            raise TargetError(f"llama-server did not answer: {type(error).__name__}", hint="strop doctor") from error
        if response.status_code != 200:
            raise TargetError(f"llama-server refused {path}: {_reason(response)}", hint="strop doctor")
        try:
            return response.json()
        except ValueError as error:
            raise TargetError(f"llama-server's answer to {path} is not JSON", hint="strop doctor") from error


def _whole_text(data: Sequence[int]) -> bool:
    try:
        bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _logprobs(said: Mapping[str, Any] | None) -> dict[int, float]:
    """The likelihoods that the server names, by token."""
    found = {int(one["id"]): one["logprob"] for one in (said or {}).get("top_logprobs", [])}
    if not found or not all(isinstance(value, int | float) and math.isfinite(value) for value in found.values()):
        raise TargetError("llama-server told no likelihoods, or some that are no numbers", hint="strop doctor")
    return found


def _reason(response: Any) -> str:
    try:
        error = response.json()["error"]
        return str(error.get("message", error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"HTTP {response.status_code}"
