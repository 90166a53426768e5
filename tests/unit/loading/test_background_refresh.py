"""No background refresh starts in an event loop that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiocache_pe import CacheManager
from aiocache_pe.testing import FakeClock
from tests.support.internals import get_refreshes
from tests.support.polling import poll


def test_a_call_while_the_event_loop_ends_gets_the_stale_value_and_starts_no_refresh() -> None:
    clock = FakeClock()
    cache = CacheManager("memory", clock=clock)
    refreshes = get_refreshes(cache)
    calls: list[int] = []
    values: list[int] = []
    references: list[object] = []

    async def call() -> int:
        async def compute() -> int:
            calls.append(len(calls))
            return calls[-1]

        return await cache.get_or_set("k", compute, ttl=1, stale_ttl=100)

    async def call_at_loop_end() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await poll(lambda: refreshes._loop_end.is_loop_ending)
            clock.advance(2)
            values.append(await call())

    async def use() -> None:
        generator = call_at_loop_end()
        await anext(generator)
        references.append(generator)
        await call()
        clock.advance(2)
        await call()
        await refreshes.settle()

    asyncio.run(use())
    assert calls == [0, 1]
    assert values == [1]
