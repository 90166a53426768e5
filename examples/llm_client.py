"""OpenAI's client with a cache: one argument, and no other change in the program.

    python -m examples.llm_client [QUESTIONS]

The example calls the server in ``OPENAI_BASE_URL``, or a local one. Run it twice: the second run
sends no requests, neither for complete answers nor for streams.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpx2
from openai import AsyncOpenAI

from aiocache_pe import CacheManager
from aiocache_pe.integrations.httpx2 import AsyncCacheTransport
from examples.run_report import report_run
from examples.upstream import get_api_key, open_model

QUESTIONS = ["What is a lease?", "Why are tags tokens?", "When is a hit stale?"]


class CachedLLMClient:
    """Chat client that sends each question to the model once.

    Args:
        base_url: base URL of the server.
        model: name of the model.
        cache: the cache of the answers.
        system: system message of each question.
    """

    def __init__(
        self, base_url: str, model: str, cache: CacheManager, system: str = "Be brief."
    ) -> None:
        self._model = model
        self._system = system
        transport = AsyncCacheTransport(cache, ttl="30d")
        http = httpx2.AsyncClient(transport=transport, timeout=600)
        self._client = AsyncOpenAI(base_url=base_url, api_key=get_api_key(), http_client=http)

    async def ask(self, question: str, system: str | None = None) -> str:
        """Return the complete answer.

        Args:
            question: the question.
            system: system message, instead of the client's.
        """
        answer = await self._client.chat.completions.create(
            model=self._model,
            temperature=0,
            messages=[
                {"role": "system", "content": system or self._system},
                {"role": "user", "content": question},
            ],
        )
        return answer.choices[0].message.content or ""

    async def stream(self, question: str) -> AsyncIterator[str]:
        """Yield the answer in the chunks of the stream, live or replayed."""
        stream = await self._client.chat.completions.create(
            model=self._model,
            stream=True,
            messages=[
                {"role": "system", "content": self._system},
                {"role": "user", "content": question},
            ],
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    def __cache_key__(self) -> tuple[str, str]:
        """Return the parts of the client that affect answers, for cached calls that use it."""
        return self._model, self._system

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()


async def main(questions: list[str]) -> None:
    """Ask each question twice: for a complete answer, and for a stream."""
    with open_model() as (base_url, name):
        print(f"asking {name} at {base_url}")
        async with (
            CacheManager(namespace="llm") as cache,
            report_run(cache),
            CachedLLMClient(base_url, name, cache) as llm,
        ):
            for question in questions:
                began = time.perf_counter()
                answer = await llm.ask(question)
                print(f"  {(time.perf_counter() - began) * 1000:7.2f} ms  {question} {answer}")
                began, streamed = time.perf_counter(), ""
                async for word in llm.stream(question):
                    streamed += word
                print(
                    f"  {(time.perf_counter() - began) * 1000:7.2f} ms  streamed, {streamed!r:.40}"
                )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or QUESTIONS))
