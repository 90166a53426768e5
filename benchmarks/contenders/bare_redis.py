"""redis.asyncio and json by hand: what no cache over Redis can be far below."""

from __future__ import annotations

import json
from typing import Any

from redis.asyncio import Redis

from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, around, keys
from benchmarks.server import redis_server
from benchmarks.timing import awaited, awaited_hit, require

PACKAGES = ("redis", "hiredis")
KEYS = 1000


async def get(job: Job) -> Sample:
    """``GET`` and `json.loads`."""
    with redis_server(job.directory) as url:
        async with Redis.from_url(url) as client:
            some = keys(KEYS)
            await _fill(client, some)

            async def one(key: str) -> Any:
                return json.loads(await client.get(key))

            require(await one(some[0]), COMPLETION)
            return Sample(await awaited(one, some, around(some, job.n)))


async def get_many(job: Job) -> Sample:
    """``MGET`` of 1,000 and `json.loads` of each."""
    with redis_server(job.directory) as url:
        async with Redis.from_url(url) as client:
            some = keys(KEYS)
            await _fill(client, some)

            async def all_of_them() -> dict[str, Any]:
                values = await client.mget(some)
                return {key: json.loads(value) for key, value in zip(some, values, strict=True)}

            require(await all_of_them(), dict.fromkeys(some, COMPLETION))
            return Sample(await awaited_hit(all_of_them, job.n))


async def _fill(client: Redis, some: list[str]) -> None:
    for key in some:
        await client.set(key, json.dumps(COMPLETION), ex=TTL)
