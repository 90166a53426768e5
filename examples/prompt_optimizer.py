"""Looking for a better prompt: many are tried on the same questions, no pair is tried twice.

    python -m examples.prompt_optimizer [ROUNDS]

Each round keeps the best prompt and tries it with one more hint. Run it twice, or with one
round more: what was scored before costs nothing, so only new prompts do.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from aiocache_pe import CacheManager, cached
from examples.llm_client import CachedLLMClient
from examples.told import telling
from examples.upstream import model

PROMPT = "Answer the question."
HINTS = ("Be brief.", "Think step by step.", "Give an example.", "Be kind to beginners.")
WANTED = {"What is a lease?": 110, "Why are tags tokens?": 110, "When is a hit stale?": 120}
"""Questions, and how many characters a good answer has."""


@dataclass(frozen=True)
class Scored:
    """A prompt and how good it is, from 0 to 1."""

    prompt: str
    score: float


class CachedPromptOptimizer:
    """Finds the prompt after which answers are as long as they should be.

    Args:
        llm: whom to ask.
        wanted: the questions, and how long a good answer is.
        cache: where scores are kept, by prompt, question and wanted length.
    """

    def __init__(self, llm: CachedLLMClient, wanted: dict[str, int], cache: CacheManager) -> None:
        self._llm = llm
        self._wanted = wanted
        self._score = cached(cache=cache, ttl="30d")(self._compute)

    async def best(self, prompt: str, hints: tuple[str, ...], rounds: int) -> list[Scored]:
        """The best prompt of each round, the first one first.

        Args:
            prompt: where to begin.
            hints: what may be added.
            rounds: how often to add one.
        """
        found = [await self._of(prompt)]
        for _ in range(rounds):
            best = found[-1].prompt
            tried = [f"{best} {hint}" for hint in hints if hint not in best]
            scored = await asyncio.gather(*map(self._of, tried))
            found.append(max([found[-1], *scored], key=lambda each: each.score))
        return found

    async def _of(self, prompt: str) -> Scored:
        scores = await asyncio.gather(
            *(self._score(prompt, question, wanted) for question, wanted in self._wanted.items())
        )
        return Scored(prompt, sum(scores) / len(scores))

    async def _compute(self, prompt: str, question: str, wanted: int) -> float:
        """How near the answer's length is to what is wanted."""
        length = len(await self._llm.ask(f"{prompt} {question}"))
        return min(length, wanted) / max(length, wanted)


async def main(rounds: int) -> None:
    """Improve a prompt."""
    with model() as (base_url, name):
        print(f"improving a prompt for {name}, {len(WANTED)} questions, {rounds} rounds")
        async with (
            CacheManager(namespace="prompts") as cache,
            telling(cache),
            CachedLLMClient(base_url, name, cache.namespace("prompts-llm")) as llm,
        ):
            optimizer = CachedPromptOptimizer(llm, WANTED, cache)
            for number, best in enumerate(await optimizer.best(PROMPT, HINTS, rounds)):
                print(f"  round {number}: {best.score:.2f} {best.prompt}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2))
