"""A change wins over a computation that began before it, in every store and kind of computation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import CacheManager, cached, cached_batch, refresh
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.testing import FakeClock, SpyBackend
from tests.support.factories import Factory
from tests.support.internals import wait_for_refreshes
from tests.support.polling import poll
from tests.support.servers.redis_server import Server

Change = Callable[[CacheManager], Awaitable[object]]
KEY = "v:1"
CHANGES: dict[str, Change] = {
    "delete": lambda cache: cache.delete(KEY),
    "delete_many": lambda cache: cache.delete_many([KEY, "other"]),
    "set": lambda cache: cache.set(KEY, "set"),
    "set_many": lambda cache: cache.set_many({KEY: "set", "other": 1}),
    "add": lambda cache: cache.add(KEY, "set"),
    "pop": lambda cache: cache.pop(KEY),
    "incr": lambda cache: cache.incr(KEY),
    "invalidate": lambda cache: cache.invalidate("v:*"),
    "clear": lambda cache: cache.clear(),
    "delete_by_tag": lambda cache: cache.delete_by_tag("t"),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Change:
    return CHANGES[request.param]


async def start(cache: CacheManager, factory: Factory, **options: Any) -> asyncio.Task[Any]:
    """Return a task that computes the key until its factory is released."""
    factory.hold()
    task = asyncio.create_task(cache.get_or_set(KEY, factory, tags=["t"], **options))
    await poll(lambda: factory.running)
    return task


@pytest.mark.parametrize("lock", [True, False])
async def test_a_computation_stores_nothing_after_a_change(
    cache: CacheManager, change: Change, lock: bool
) -> None:
    factory = Factory()
    computing = await start(cache, factory, lock=lock)
    await change(cache)
    expected = await cache.get(KEY)
    factory.release()
    assert await computing == 1  # the caller that waited already is served
    assert await cache.get(KEY) == expected


async def test_later_callers_do_not_join(cache: CacheManager) -> None:
    for change in ("delete", "invalidate", "clear", "delete_by_tag"):
        old, new = Factory(), Factory(lambda number: f"new {number}")
        computing = await start(cache, old)
        await CHANGES[change](cache)
        late = (cache.get_or_set(KEY, new, tags=["t"]) for _ in range(5))
        assert await asyncio.wait_for(asyncio.gather(*late), 60) == ["new 1"] * 5
        old.release()
        assert await computing == 1
        assert await cache.get(KEY) == "new 1"
        await cache.delete(KEY)


async def test_other_changes_cost_no_result(cache: CacheManager) -> None:
    factory = Factory()
    computing = await start(cache, factory)
    await cache.set("other", 1)
    await cache.touch(KEY, 60)
    await cache.invalidate("w:*")
    await cache.delete_by_tag("other")
    await cache.namespace("other").clear()
    factory.release()
    assert await computing == 1
    assert await cache.get(KEY) == 1


async def test_a_batch_stores_nothing_for_a_changed_item(cache: CacheManager) -> None:
    started, free = asyncio.Event(), asyncio.Event()

    @cached_batch(cache=cache)
    async def double(numbers: list[int]) -> list[int]:
        started.set()
        await free.wait()
        return [2 * number for number in numbers]

    computing = asyncio.create_task(double([1, 2, 3]))
    await started.wait()
    await double.invalidate([2])
    free.set()
    assert await computing == [2, 4, 6]
    keys = double.cache_keys([1, 2, 3])
    assert set(await cache.get_many(keys)) == {keys[0], keys[2]}


async def test_a_stream_is_not_stored_after_a_change_and_not_joined(cache: CacheManager) -> None:
    free, factory = asyncio.Event(), Factory()

    @cached(cache=cache)
    async def count() -> AsyncGenerator[int]:
        number: int = await factory()
        yield number
        if number == 1:
            await free.wait()

    reading = count()
    assert await anext(reading) == 1
    await count.cache_clear()
    assert [number async for number in count()] == [2]
    free.set()
    assert [number async for number in reading] == []
    assert [number async for number in count()] == [2]
    assert factory.calls == 2


async def test_a_background_refresh_stores_nothing_after_a_change(
    cache: CacheManager, clock: FakeClock
) -> None:
    factory = Factory()
    stale: dict[str, Any] = {"ttl": 60, "stale_ttl": 600}
    assert await cache.get_or_set(KEY, factory, **stale) == 1
    clock.advance(61)
    factory.hold()
    assert await cache.get_or_set(KEY, factory, **stale) == 1
    await poll(lambda: factory.running)
    await cache.delete(KEY)
    factory.release()
    await poll(lambda: not factory.running)
    await wait_for_refreshes(cache)
    assert await cache.get(KEY) is None


async def test_of_two_refreshes_the_later_one_wins(cache: CacheManager) -> None:
    old, new = Factory(), Factory(lambda number: f"new {number}")
    await cache.set(KEY, "stored")
    old.hold()

    async def run(factory: Factory) -> Any:
        with refresh():
            return await cache.get_or_set(KEY, factory)

    first = asyncio.create_task(run(old))
    await poll(lambda: old.running)
    assert await run(new) == "new 1"
    old.release()
    assert await first == 1
    assert await cache.get(KEY) == "new 1"


async def test_pop_takes_a_value_that_is_stored_while_it_finds_none() -> None:
    class LateBackend(MemoryBackend):
        """A store in which a computation ends after the first update."""

        async def update(self, key: str, change: Any) -> Any:
            stored = await super().update(key, change)
            factory.release()
            await poll(computing.done)
            return stored

    factory = Factory()
    async with CacheManager(LateBackend()) as cache:
        factory.hold()
        computing = asyncio.create_task(cache.get_or_set(KEY, factory))
        await poll(lambda: factory.running)
        await cache.pop(KEY)
        assert await cache.get(KEY) is None


async def test_a_store_without_generations_is_protected_in_one_process(change: Change) -> None:
    async with CacheManager(SpyBackend(MemoryBackend())) as cache:
        factory = Factory()
        computing = await start(cache, factory)
        await change(cache)
        expected = await cache.get(KEY)
        factory.release()
        assert await computing == 1
        assert await cache.get(KEY) == expected


async def test_a_flushed_server_costs_no_result(own_redis: Server) -> None:
    factory = Factory()
    factory.hold()
    async with CacheManager("redis", redis_url=own_redis.url, fallback=None) as cache:
        computing = asyncio.create_task(cache.get_or_set(KEY, factory))
        await poll(lambda: factory.running)
        with Redis.from_url(own_redis.url) as admin:
            admin.flushall()
        factory.release()
        assert await computing == 1
        assert await cache.get(KEY) == 1


async def test_a_function_that_holds_its_loop_is_stored(own_redis: Server) -> None:
    async def hold_loop() -> int:
        end = time.monotonic() + 3.5  # longer than a lease lasts without renewal
        while time.monotonic() < end:
            pass
        return 1

    async with CacheManager("redis", redis_url=own_redis.url, fallback=None) as cache:
        assert await cache.get_or_set(KEY, hold_loop) == 1
        assert await cache.get(KEY) == 1
