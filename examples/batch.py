"""Embeddings in batches: only new texts are sent, each of them once.

    python -m examples.batch [TEXTS]

The example requests embeddings from OpenAI's API, at ``OPENAI_BASE_URL`` or at a local server.
Each text occurs twice. Run the example twice, or with more texts.
"""

from __future__ import annotations

import asyncio
import random
import sys

from openai import AsyncOpenAI

from aiocache_pe import CacheManager, cached_batch
from examples.run_report import report_run
from examples.upstream import get_api_key, open_model

WORDS = "cache lease stale token batch prompt model answer vector shard hit miss".split()


def make_texts(count: int) -> list[str]:
    """Return texts of which each occurs twice; equal counts give equal texts."""
    chance = random.Random(1)  # noqa: S311 - no secret
    different = [f"{number} {' '.join(chance.choices(WORDS, k=4))}" for number in range(count // 2)]
    texts = [*different, *different]
    chance.shuffle(texts)
    return texts


async def main(count: int) -> None:
    """Embed texts and print the number of requests."""
    with open_model() as (base_url, name):
        async with (
            CacheManager(namespace="batch") as cache,
            report_run(cache),
            AsyncOpenAI(base_url=base_url, api_key=get_api_key()) as client,
        ):
            sent: list[int] = []

            @cached_batch(cache=cache, batch_size=100, concurrency=4)
            async def embed(texts: list[str], model: str) -> list[list[float]]:
                sent.append(len(texts))
                answer = await client.embeddings.create(
                    model=model, input=texts, encoding_format="float"
                )
                return [each.embedding for each in answer.data]

            texts = make_texts(count)
            vectors = await embed(texts, name)
            print(f"{len(texts)} texts, {len(set(texts))} of them different")
            print(f"sent {sum(sent)} in {len(sent)} requests, got {len(vectors)} vectors")
            again = await embed(texts[:10], name)
            print(f"in their order: {'yes' if again == vectors[:10] else 'NO'}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))
