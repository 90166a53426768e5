"""Computations that wait for each other in a cycle: each of them ends."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, cached_batch
from aiocache_pe.events import Stored
from aiocache_pe.sync import CacheManager as SyncCacheManager
from aiocache_pe.sync import cached as sync_cached
from tests.support.polling import poll

LIMIT_SECONDS = 30.0  # callers that wait for each other would wait for five minutes
DEPTH = 3  # calls for each argument, after which the recursion ends


@pytest.fixture(params=["memory", "file"])
def settings(request: pytest.FixtureRequest, cache_dir: Path) -> dict[str, Any]:
    directory = {"directory": cache_dir} if request.param == "file" else {}
    return {"backend": request.param} | directory


class Both:
    """A point that the computations of both arguments reach before one calls the other."""

    def __init__(self) -> None:
        self.calls = Counter[int]()

    def count(self, number: int) -> bool:
        """Count a call; return whether it calls the function for the other argument."""
        self.calls[number] += 1
        return self.calls[number] < DEPTH

    def have_begun(self) -> bool:
        return len(self.calls) == 2


async def test_tasks_that_need_each_others_values_end(settings: dict[str, Any]) -> None:
    both = Both()
    async with CacheManager(**settings) as cache:

        @cached(cache=cache)
        async def compute(number: int) -> int:
            is_deeper = both.count(number)
            await poll(both.have_begun)
            return number + (await compute(1 - number) if is_deeper else 0)

        async with asyncio.timeout(LIMIT_SECONDS):
            results = await asyncio.gather(compute(0), compute(1))
        assert all(isinstance(result, int) for result in results)


async def test_batches_that_need_each_others_values_end(settings: dict[str, Any]) -> None:
    both = Both()
    async with CacheManager(**settings) as cache:

        @cached_batch(cache=cache)
        async def compute(numbers: list[int]) -> list[int]:
            deeper = [both.count(number) for number in numbers]
            await poll(both.have_begun)
            return [
                sum(await compute([1 - number])) if is_deeper else number
                for number, is_deeper in zip(numbers, deeper, strict=True)
            ]

        async with asyncio.timeout(LIMIT_SECONDS):
            results = await asyncio.gather(compute([0]), compute([1]))
        assert [len(result) for result in results] == [1, 1]


async def test_streams_that_need_each_other_end(settings: dict[str, Any]) -> None:
    both = Both()
    async with CacheManager(**settings) as cache:

        @cached(cache=cache)
        async def generate(number: int) -> AsyncIterator[int]:
            is_deeper = both.count(number)
            await poll(both.have_begun)
            yield number
            if is_deeper:
                async for chunk in generate(1 - number):
                    yield chunk

        async def read(number: int) -> list[int]:
            return [chunk async for chunk in generate(number)]

        async with asyncio.timeout(LIMIT_SECONDS):
            results = await asyncio.gather(read(0), read(1))
        assert [result[0] for result in results] == [0, 1]


def run_threads(*calls: Any) -> None:
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_that_need_each_others_values_end(settings: dict[str, Any]) -> None:
    both, met = Both(), threading.Barrier(2)
    with SyncCacheManager(**settings) as cache:

        @sync_cached(cache=cache)
        def compute(number: int) -> int:
            is_deeper = both.count(number)
            if both.calls[number] == 1:
                met.wait(LIMIT_SECONDS)
            return number + (compute(1 - number) if is_deeper else 0)

        run_threads(lambda: compute(0), lambda: compute(1))


def test_event_loops_that_need_each_others_values_end(settings: dict[str, Any]) -> None:
    both = Both()
    cache = CacheManager(**settings)

    @cached(cache=cache)
    async def compute(number: int) -> int:
        is_deeper = both.count(number)
        await poll(both.have_begun)
        return number + (await compute(1 - number) if is_deeper else 0)

    run_threads(lambda: asyncio.run(compute(0)), lambda: asyncio.run(compute(1)))


async def test_a_blocking_call_does_not_wait_for_a_task_of_the_loop_that_it_blocks(
    settings: dict[str, Any],
) -> None:
    async with CacheManager(**settings) as cache:
        begun, end = asyncio.Event(), asyncio.Event()

        async def compute() -> str:
            begun.set()
            await end.wait()
            return "of the task"

        task = asyncio.create_task(cache.get_or_set("key", compute))
        await begun.wait()
        blocking = SyncCacheManager.of(cache)
        assert blocking.get_or_set("key", lambda: "of the call") == "of the call"
        end.set()
        assert await task in ("of the task", "of the call")


def test_functions_of_the_options_and_subscribers_may_make_blocking_calls() -> None:
    with SyncCacheManager("memory") as cache:

        @sync_cached(cache=cache)
        def find_lifetime(kind: str) -> int:
            return 60

        @sync_cached(
            cache=cache,
            ttl=lambda _: find_lifetime("ttl"),
            cache_if=lambda _: bool(find_lifetime("cache_if")),
        )
        def compute(number: int) -> int:
            return 2 * number

        def count(event: Stored) -> None:
            if event.key != "stored":
                cache.incr("stored")

        unsubscribe = cache.subscribe(Stored, count)
        assert [compute(1), compute(1)] == [2, 2]
        unsubscribe()
        assert compute.cache_info()[:2] == (1, 1)
        assert cache.get("stored") == 3
        lifetime = cache.get_ttl(compute.cache_key(1))
        assert lifetime is not None
        assert 0 < lifetime <= 60
