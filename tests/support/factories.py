"""Factories that a test steers: slow ones, failing ones, and a count of their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiocache_pe import CacheManager


class Factory:
    """Computes 1, 2, 3 and so on; waits while it is held, fails while it is told to.

    Attributes:
        calls: how often it was called.
        running: how many calls are under way.
        error: what to raise instead of returning a number.
        shape: makes the value of the number.
    """

    def __init__(self, shape: Callable[[int], Any] = lambda number: number) -> None:
        self.calls = self.running = self.most = 0
        self.error: BaseException | None = None
        self.shape = shape
        self._free = asyncio.Event()
        self._free.set()

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    async def __call__(self) -> Any:
        self.calls += 1
        number = self.calls
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._free.wait()
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        return self.shape(number)


async def wait_for_refreshes(cache: CacheManager) -> None:
    """Wait for the refreshes that are under way in this loop."""
    await cache._shared.refreshes.settle()


async def get_outcome(work: Awaitable[Any]) -> Any:
    """What it came to: a value, or the exception's class."""
    try:
        return await work
    except BaseException as error:  # noqa: BLE001 - a cancelled call has an outcome too
        return type(error)
