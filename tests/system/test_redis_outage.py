"""Redis outages under 200 tasks that call a decorated function.

The server is killed, frozen, or loses its tracking connections. The full run::

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
from tests.support.internals import get_backend
from tests.support.polling import poll
from tests.support.scale import is_full_run, make_random, report, scale_size
from tests.support.servers.redis_server import Server

TASKS, KEYS = 200, 500


class Load:
    """Tasks that call a cached function all the time."""

    def __init__(self, cache: CacheManager) -> None:
        self.errors: list[BaseException] = []
        self.times: list[float] = []
        self.cache = cache
        self.is_stopped = False

        @cached(cache=cache, ttl="1h")
        async def double(number: int) -> int:
            await asyncio.sleep(0.001)
            return number * 2

        self._double = double

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.ensure_future(self._work(make_random(n))) for n in range(TASKS)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.is_stopped = True
        await asyncio.gather(*self._tasks)

    async def _work(self, random_numbers: random.Random) -> None:
        while not self.is_stopped:
            number, began = random_numbers.randrange(KEYS), time.perf_counter()
            try:
                assert await self._double(number) == number * 2
            except Exception as error:  # noqa: BLE001 - every error is a failure of this test
                self.errors.append(error)
            self.times.append(time.perf_counter() - began)
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("outage", ["killed", "frozen", "untracked"])
async def test_callers_see_neither_an_error_nor_an_old_value(
    outage: str, own_redis: Server, cache_dir: Path
) -> None:
    down = min(10.0, scale_size(1) / 2)
    recovery_times: list[float] = []
    old_values = 0
    async with CacheManager("redis", redis_url=own_redis.default_url, directory=cache_dir) as cache:
        backend = get_backend(cache)
        assert isinstance(backend, FallbackBackend)
        for _ in range(3 if is_full_run() else 1):
            for n in range(200):
                await cache.set(f"own{n}", "old")
            await asyncio.to_thread(own_redis.save)
            async with Load(cache) as load:
                await asyncio.sleep(0.3)
                load.times.clear()
                if outage == "killed":
                    own_redis.kill()
                elif outage == "frozen":
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
                began = time.perf_counter()
                if outage == "killed":
                    await asyncio.to_thread(own_redis.start)
                    began = time.perf_counter()
                elif outage == "frozen":
                    own_redis.thaw()
                await poll(lambda: not backend.is_away, deadline=60)
                recovery_times.append(time.perf_counter() - began)
                found = await cache.get_many([f"own{n}" for n in range(200)])
                old_values += sum(value == "old" for value in found.values())
            assert load.errors == []
            p99 = times[int(len(times) * 0.99)] * 1000
            report(
                f"{outage}, {down} s: {len(times)} calls, 0 errors, p99 {p99:.1f} ms, "
                f"max {times[-1] * 1000:.0f} ms, back after {recovery_times[-1]:.2f} s"
            )
    assert old_values == 0
    report(f"{outage}: {old_values} old values after the outage")
