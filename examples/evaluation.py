"""Evaluation of a prompt with samples: several answers to each question, each computed once.

    python -m examples.evaluation [SAMPLES]

A model answers a question differently each time, so one answer says little about a prompt. The
block ``with sample(number):`` keeps the answers apart. Run the example twice: the second run sends
no requests and prints the same scores. With more samples, only the new ones are requested.
"""

from __future__ import annotations

import asyncio
import statistics
import sys

from openai import AsyncOpenAI

from aiocache_pe import CacheManager, sample
from aiocache_pe.integrations.httpx2 import cached_client
from examples.run_report import report_run
from examples.upstream import get_api_key, open_model

QUESTIONS = {"What is a lease?": 60, "Why are tags tokens?": 60, "When is a hit stale?": 60}
"""Questions, with the number of characters of a good answer."""


async def rate(client: AsyncOpenAI, model: str, question: str, number: int) -> float:
    """Return the score of one answer, from 0 to 1."""
    with sample(number):
        answer = await client.chat.completions.create(
            model=model,
            temperature=1.2,
            messages=[{"role": "user", "content": f"Answer in one sentence. {question}"}],
        )
    length, wanted = len(answer.choices[0].message.content or ""), QUESTIONS[question]
    return min(length, wanted) / max(length, wanted)


async def main(samples: int) -> None:
    """Rate several answers to each question at once, and print their means and deviations."""
    with open_model() as (base_url, model):
        async with (
            CacheManager(namespace="evaluation") as cache,
            report_run(cache),
            AsyncOpenAI(
                base_url=base_url,
                api_key=get_api_key(),
                http_client=cached_client(cache, ttl="30d"),
            ) as client,
        ):
            for question in QUESTIONS:
                scores = await asyncio.gather(
                    *(rate(client, model, question, number) for number in range(samples))
                )
                mean, deviation = statistics.fmean(scores), statistics.pstdev(scores)
                print(f"  {mean:.2f} ± {deviation:.2f}, best {max(scores):.2f}  {question}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
