"""Prompt optimizer: tries many prompts on the same questions, each pair once.

    python -m examples.prompt_optimizer [ROUNDS]

Each round keeps the best prompt and tries it with one more hint. Run the example twice, or with
one more round: only new prompts cost time, because all earlier scores are cached.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from aiocache_pe import CacheManager, cached
from examples.llm_client import CachedLLMClient
from examples.run_report import report_run
from examples.upstream import open_model

PROMPT = "Answer the question."
HINTS = ("Be brief.", "Think step by step.", "Give an example.", "Be kind to beginners.")
WANTED = {"What is a lease?": 110, "Why are tags tokens?": 110, "When is a hit stale?": 120}
"""Questions, with the number of characters of a good answer."""


@dataclass(frozen=True)
class ScoredPrompt:
    """Prompt with its score from 0 to 1."""

    prompt: str
    score: float


class CachedPromptOptimizer:
    """Optimizer that finds the prompt with the best lengths of answers.

    Args:
        llm: client of the model.
        wanted: the questions, with the length of a good answer.
        cache: the cache of the scores, by prompt, question and wanted length.
    """

    def __init__(self, llm: CachedLLMClient, wanted: dict[str, int], cache: CacheManager) -> None:
        self._llm = llm
        self._wanted = wanted
        self._score = cached(cache=cache, ttl="30d")(self._compute)

    def __cache_key__(self) -> CachedLLMClient:
        """Return the part of this object that affects a score."""
        return self._llm

    async def optimize(
        self, prompt: str, hints: tuple[str, ...], rounds: int
    ) -> list[ScoredPrompt]:
        """Return the best prompt of each round, in order.

        Args:
            prompt: the first prompt.
            hints: sentences to add.
            rounds: number of added hints.
        """
        found = [await self._rate(prompt)]
        for _ in range(rounds):
            best = found[-1].prompt
            tried = [f"{best} {hint}" for hint in hints if hint not in best]
            scored = await asyncio.gather(*map(self._rate, tried))
            found.append(max([found[-1], *scored], key=lambda each: each.score))
        return found

    async def _rate(self, prompt: str) -> ScoredPrompt:
        scores = await asyncio.gather(
            *(self._score(prompt, question, wanted) for question, wanted in self._wanted.items())
        )
        return ScoredPrompt(prompt, sum(scores) / len(scores))

    async def _compute(self, prompt: str, question: str, wanted: int) -> float:
        """Return the ratio of the answer's length and the wanted length, at most 1."""
        length = len(await self._llm.ask(f"{prompt} {question}"))
        return min(length, wanted) / max(length, wanted)


async def main(rounds: int) -> None:
    """Improve a prompt, and print the best prompt of each round."""
    with open_model() as (base_url, name):
        print(f"improving a prompt for {name}, {len(WANTED)} questions, {rounds} rounds")
        async with (
            CacheManager(namespace="prompts") as cache,
            report_run(cache),
            CachedLLMClient(base_url, name, cache.namespace("prompts-llm")) as llm,
        ):
            optimizer = CachedPromptOptimizer(llm, WANTED, cache)
            for number, best in enumerate(await optimizer.optimize(PROMPT, HINTS, rounds)):
                print(f"  round {number}: {best.score:.2f} {best.prompt}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2))
