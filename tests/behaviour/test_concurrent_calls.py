"""Concurrent callers of a decorated function: one computes, all get a result."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from tests.support.factories import Factory, get_outcome
from tests.support.internals import cancel_computation
from tests.support.polling import poll

CALLERS = 5


@pytest.fixture
def factory() -> Factory:
    factory = Factory(lambda number: [number])
    factory.hold()
    return factory


async def start_callers(factory: Factory, ask: Any) -> list[asyncio.Task[Any]]:
    """Start callers, the first of which computes."""
    calls = [asyncio.create_task(ask("why")) for _ in range(CALLERS)]
    await poll(lambda: factory.running)
    await asyncio.sleep(0)
    return calls


async def test_each_waiting_caller_gets_its_own_value_and_counts_as_a_hit(factory: Factory) -> None:
    async with CacheManager("memory") as cache:

        @cached(cache=cache)
        async def ask(prompt: str) -> list[int]:
            return await factory()  # type: ignore[no-any-return]

        calls = await start_callers(factory, ask)
        factory.release()
        answers = await asyncio.gather(*calls)
        assert answers == [[1]] * CALLERS
        assert len({id(answer) for answer in answers}) == CALLERS
        info = ask.cache_info()
        assert (info.hits, info.misses) == (CALLERS - 1, 1)
        stats = await cache.get_stats()
        assert (stats.hits, stats.misses) == (CALLERS - 1, 1)


async def test_a_value_that_is_not_stored_is_shared(factory: Factory) -> None:
    async with CacheManager("memory") as cache:

        @cached(cache=cache, cache_if=lambda result: False)
        async def ask(prompt: str) -> list[int]:
            return await factory()  # type: ignore[no-any-return]

        calls = await start_callers(factory, ask)
        factory.release()
        answers = await asyncio.gather(*calls)
        assert answers == [[1]] * CALLERS
        assert len({id(answer) for answer in answers}) == CALLERS
        assert factory.calls == 1


async def test_when_the_computation_is_cancelled_a_waiting_caller_computes(
    factory: Factory,
) -> None:
    async with CacheManager("memory") as cache:

        @cached(cache=cache)
        async def ask(prompt: str) -> list[int]:
            return await factory()  # type: ignore[no-any-return]

        calls = await start_callers(factory, ask)
        cancel_computation(cache)
        await poll(lambda: factory.calls == 2)
        factory.release()
        assert await get_outcome(calls[0]) is asyncio.CancelledError
        assert [await call for call in calls[1:]] == [[2]] * (CALLERS - 1)


async def test_waiting_callers_compute_after_the_lock_timeout(factory: Factory) -> None:
    async with CacheManager("memory") as cache:

        @cached(cache=cache, lock=0.02)
        async def ask(prompt: str) -> list[int]:
            return await factory()  # type: ignore[no-any-return]

        calls = await start_callers(factory, ask)
        await poll(lambda: factory.running >= 2)
        factory.release()
        answers = [await call for call in calls]
        numbers = [number for (number,) in answers]
        assert set(numbers) <= set(range(1, factory.calls + 1))
        assert numbers[0] == 1  # the first caller continues


async def test_an_error_reaches_all_callers_and_a_cancelled_caller_affects_no_other(
    factory: Factory,
) -> None:
    async with CacheManager("memory") as cache:

        @cached(cache=cache)
        async def ask(prompt: str) -> list[int]:
            return await factory()  # type: ignore[no-any-return]

        calls = await start_callers(factory, ask)
        calls[2].cancel()
        assert await get_outcome(calls[2]) is asyncio.CancelledError
        factory.error = RuntimeError("no answer")
        factory.release()
        rest = [call for call in calls if call is not calls[2]]
        assert [await get_outcome(call) for call in rest] == [RuntimeError] * (CALLERS - 1)
        factory.error = None
        assert await ask("why") == [2]


@pytest.mark.parametrize("storage", ["not kept", "cannot be stored", "nowhere"])
async def test_changes_to_a_result_that_is_not_stored_do_not_reach_other_callers(
    storage: str,
) -> None:
    gate = asyncio.Event()
    async with CacheManager("null" if storage == "nowhere" else "memory") as cache:

        @cached(cache=cache, cache_if=lambda _: storage != "not kept")
        async def function() -> list[Any]:
            await gate.wait()
            return [threading.Lock()] if storage == "cannot be stored" else [0]

        async def change() -> list[Any]:
            result = await function()
            result.append("changed")
            return result

        tasks = [asyncio.create_task(change()) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*tasks)
        assert [len(result) for result in results] == [2] * 5
