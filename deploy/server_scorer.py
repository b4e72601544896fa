"""Likelihoods read by llama-server, where transformers has no room for the weights or does not know the family.

llama-server gives no likelihood of a given text (`echo` is ignored). But it names the log-probability of the token that
it samples, from the logits as they were before any bias; so the wanted token is forced by a bias, one request a token,
and the server's prompt cache makes each of them one step. Slower than `scorer.GgufScorer` by far, and the same file.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from strop.deploy.scorer import Likelihood
from strop.deploy.targets.base import Conversation
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.trainer.render import Renderer


class ServerScorer:
    """Scores given answers with a running llama-server. Keeps no weights of its own."""

    def __init__(self, server: LlamaServer, base_folder: Path) -> None:
        from transformers import AutoTokenizer

        self._server = server
        self._render = Renderer(AutoTokenizer.from_pretrained(base_folder, local_files_only=True))

    def score(
        self,
        items: Sequence[tuple[Conversation, Sequence[str]]],
        on_item: Callable[[int, int], None] | None = None,
    ) -> list[list[Likelihood]]:
        """For each (conversation, answers) the likelihood of each answer, in order.

        Raises TargetError where the server fails or answers with another token, and as `Renderer` does.
        """
        scores = []
        with ThreadPoolExecutor(self._server.slots) as pool:
            for found in pool.map(self._item, items):
                scores.append(found)
                if on_item:
                    on_item(len(scores), len(items))
        return scores

    def _item(self, item: tuple[Conversation, Sequence[str]]) -> list[Likelihood]:
        """One after the other: the answers of one conversation find its prompt in the cache."""
        conversation, answers = item
        prompt = self._render.prompt(conversation)
        return [self._answer(prompt, self._render.completion(conversation, prompt, text)) for text in answers]

    def _answer(self, prompt: Sequence[int], answer: Sequence[int]) -> Likelihood:
        total = sum(self._server.logprob([*prompt, *answer[:place]], token) for place, token in enumerate(answer))
        return Likelihood(total, len(answer))
