"""Process that asks one question ten times at once, twice, and prints the answers as JSON.

Arguments: the directory of a cache, and the URL of a model server.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from uuid import uuid4

import httpx

from aiocache_pe import CacheManager, cached
from aiocache_pe.integrations.httpx import AsyncCacheTransport

COUNT = 10
QUESTION = {"model": "tiny", "messages": [{"role": "user", "content": "Why?"}], "temperature": 1}


async def main(directory: str, url: str) -> None:
    async with CacheManager(directory=directory) as cache:

        @cached(cache=cache, samples=COUNT)
        async def ask(question: str) -> str:
            await asyncio.sleep(0)
            return f"{question} {uuid4()}"

        transport = AsyncCacheTransport(cache, samples=COUNT)
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:

            async def post(body: dict[str, Any]) -> str:
                response = await client.post(f"{url}/v1/chat/completions", json=body)
                return str(response.json()["id"])

            answers = {
                "function": [
                    await asyncio.gather(*(ask("Why?") for _ in range(COUNT))) for _ in range(2)
                ],
                "transport": [
                    await asyncio.gather(*(post(QUESTION) for _ in range(COUNT))) for _ in range(2)
                ],
            }
    print(json.dumps(answers))  # noqa: T201 - the result of the process


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
