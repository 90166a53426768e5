"""Code without a cache library: the lower bound that the machine and its clients set."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

from redis.asyncio import Redis

from benchmarks.contenders import Store
from benchmarks.job import Job
from benchmarks.payload import COMPLETION, TTL
from benchmarks.redis_server import start_redis


@asynccontextmanager
async def open_memory(job: Job) -> AsyncIterator[Store]:
    """Open a dict of futures; `Store.get` reads nothing, so a stall is due to the machine."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        futures: dict[str, asyncio.Future[Any]] = {}

        async def call(prompt: str, *arguments: object, **keywords: object) -> Any:
            if prompt not in futures:
                futures[prompt] = asyncio.ensure_future(function(prompt, *arguments, **keywords))
            return await futures[prompt]

        return call

    async def get(key: str) -> object:
        return COMPLETION

    async def fill(keys: Sequence[str]) -> None:
        """Store nothing."""

    def make_key(messages: Any) -> str:
        return sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()

    yield Store(decorate=decorate, get=get, fill=fill, make_key=make_key)


@asynccontextmanager
async def open_redis(job: Job) -> AsyncIterator[Store]:
    """Open a redis.asyncio client that stores values as JSON."""
    with start_redis(job.directory) as url:
        async with Redis.from_url(url) as client:

            async def get(key: str) -> Any:
                return json.loads(await client.get(key) or "null")

            async def get_many(keys: Sequence[str]) -> dict[str, Any]:
                values = await client.mget(keys)
                return {
                    key: json.loads(value or "null")
                    for key, value in zip(keys, values, strict=True)
                }

            async def fill(keys: Sequence[str]) -> None:
                async with client.pipeline(transaction=False) as pipeline:
                    for key in keys:
                        pipeline.set(key, json.dumps(COMPLETION), ex=TTL)
                    await pipeline.execute()

            def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
                async def call(prompt: str, *arguments: object, **keywords: object) -> Any:
                    found = await client.get(prompt)
                    if found is not None:
                        return json.loads(found)
                    value = await function(prompt, *arguments, **keywords)
                    await client.set(prompt, json.dumps(value), ex=TTL)
                    return value

                return call

            yield Store(decorate, get, fill=fill, get_many=get_many, working_set=1000)
