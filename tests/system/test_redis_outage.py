"""Redis killed, frozen, or unheard, under 200 tasks that call a decorated function.

The figures of the full run::

    AIOCACHE_STRESS=20 pytest tests/system/test_redis_outage.py -s   # 10 s down, 3 times
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Self

import pytest
from redis import Redis

from aiocache_pe import CacheManager, cached
from aiocache_pe.backends.fallback.backend import FallbackBackend
from tests.support.polling import poll
from tests.support.scale import is_full_run, make_random, report, scale_size
from tests.support.servers.redis_server import Server

TASKS, KEYS = 200, 500


class Load:
    """Tasks that call a function, and write and delete keys of their own, all the time."""

    def __init__(self, cache: CacheManager) -> None:
        self.errors: list[BaseException] = []
        self.times: list[float] = []
        self.cache = cache
        self.stopped = False

        @cached(cache=cache, ttl="1h")
        async def answer(number: int) -> int:
            await asyncio.sleep(0.001)
            return number * 2

        self._answer = answer

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.ensure_future(self._work(make_random(n))) for n in range(TASKS)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.stopped = True
        await asyncio.gather(*self._tasks)

    async def _work(self, chance: random.Random) -> None:
        while not self.stopped:
            number, begun = chance.randrange(KEYS), time.perf_counter()
            try:
                assert await self._answer(number) == number * 2
            except Exception as error:  # noqa: BLE001 - what must not happen is counted
                self.errors.append(error)
            self.times.append(time.perf_counter() - begun)
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["killed", "frozen", "unheard"])
async def test_callers_notice_nothing_and_nothing_old_comes_back(
    way: str, own_redis: Server, cache_dir: Path
) -> None:
    down = min(10.0, scale_size(1) / 2)
    backs: list[float] = []
    returned = 0
    async with CacheManager("redis", redis_url=own_redis.hasty_url, directory=cache_dir) as cache:
        backend = cache._shared.engine.backend
        assert isinstance(backend, FallbackBackend)
        for _ in range(3 if is_full_run() else 1):
            for n in range(200):
                await cache.set(f"own{n}", "old")
            await asyncio.to_thread(own_redis.save)
            async with Load(cache) as load:
                await asyncio.sleep(0.3)
                load.times.clear()
                if way == "killed":
                    own_redis.kill()
                elif way == "frozen":
                    own_redis.freeze()
                else:
                    with Redis.from_url(own_redis.url) as admin:
                        for client in admin.client_list():
                            if "B" in client["flags"]:
                                admin.client_kill_filter(_id=client["id"])
                for n in range(200):
                    await (cache.delete(f"own{n}") if n % 2 else cache.set(f"own{n}", "new"))
                await asyncio.sleep(down)
                await poll(lambda: len(load.times) >= TASKS, deadline=60)
                times = sorted(load.times)
                begun = time.perf_counter()
                if way == "killed":
                    await asyncio.to_thread(own_redis.start)
                    begun = time.perf_counter()
                elif way == "frozen":
                    own_redis.thaw()
                await poll(lambda: not backend.is_away, deadline=60)
                backs.append(time.perf_counter() - begun)
                found = await cache.get_many([f"own{n}" for n in range(200)])
                returned += sum(value == "old" for value in found.values())
            assert load.errors == []
            p99 = times[int(len(times) * 0.99)] * 1000
            report(
                f"{way}, {down} s: {len(times)} calls, 0 errors, p99 {p99:.1f} ms, "
                f"max {times[-1] * 1000:.0f} ms, trusted again after {backs[-1]:.2f} s"
            )
    assert returned == 0
    report(f"{way}: {returned} keys came back with an old value")
