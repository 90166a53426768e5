"""Embeddings by the batch: of many texts only those are sent that are new, each once.

    python -m examples.batch [TEXTS]

It asks OpenAI's embeddings API, of ``OPENAI_BASE_URL`` or of a server on this machine, for
texts of which half come twice. Run it twice, or with more texts.
"""

from __future__ import annotations

import asyncio
import random
import sys

from openai import AsyncOpenAI

from aiocache_pe import CacheManager, cached_batch
from examples.told import telling
from examples.upstream import api_key, model

WORDS = "cache lease stale token batch prompt model answer vector shard hit miss".split()


def some_texts(count: int) -> list[str]:
    """Texts, every other one of which is there twice; the same for the same count."""
    chance = random.Random(1)  # noqa: S311 - no secret
    different = [f"{number} {' '.join(chance.choices(WORDS, k=4))}" for number in range(count // 2)]
    texts = [*different, *different]
    chance.shuffle(texts)
    return texts


async def main(count: int) -> None:
    """Embed texts."""
    with model() as (base_url, name):
        async with (
            CacheManager(namespace="batch") as cache,
            telling(cache),
            AsyncOpenAI(base_url=base_url, api_key=api_key()) as client,
        ):
            sent: list[int] = []

            @cached_batch(cache=cache, batch_size=100, concurrency=4)
            async def embed(texts: list[str], model: str) -> list[list[float]]:
                sent.append(len(texts))
                answer = await client.embeddings.create(
                    model=model, input=texts, encoding_format="float"
                )
                return [each.embedding for each in answer.data]

            texts = some_texts(count)
            vectors = await embed(texts, name)
            print(f"{len(texts)} texts, {len(set(texts))} of them different")
            print(f"sent {sum(sent)} in {len(sent)} requests, got {len(vectors)} vectors")
            again = await embed(texts[:10], name)
            print(f"in their order: {'yes' if again == vectors[:10] else 'NO'}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))
