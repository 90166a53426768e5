"""Refreshes in the background, where the loop that would do them comes to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiocache_pe import CacheManager
from aiocache_pe.testing import FakeClock
from tests.support.polling import poll


def test_what_is_asked_for_while_a_loop_ends_is_served_stale_and_begins_no_refresh() -> None:
    clock = FakeClock()
    cache = CacheManager("memory", clock=clock)
    refreshes = cache.loader._staleness._refreshes
    calls: list[int] = []
    kept: list[object] = []

    async def ask() -> int:
        async def compute() -> int:
            calls.append(len(calls))
            return calls[-1]

        return await cache.get_or_set("k", compute, ttl=1, stale_ttl=100)

    async def late() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await poll(lambda: refreshes._at_end.is_loop_ending)
            clock.advance(2)
            kept.append(await ask())

    async def use() -> None:
        generator = late()
        await anext(generator)
        kept.append(generator)
        await ask()
        clock.advance(2)
        await ask()
        await refreshes.settle()

    asyncio.run(use())
    assert calls == [0, 1]
    assert kept[1:] == [1]
