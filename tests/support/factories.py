"""Factories that a test controls: they wait, fail and count their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Factory:
    """A factory that returns 1, 2, 3 and so on.

    Attributes:
        calls: number of calls so far.
        running: number of calls that run now.
        most: largest number of calls that ran at once.
        error: the exception to raise instead of returning a value; ``None`` for none.
        shape: function that makes the value of a number.
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


async def get_outcome(work: Awaitable[Any]) -> Any:
    """Return the result of an awaitable, or the class of the exception that it raises."""
    try:
        return await work
    except BaseException as error:  # noqa: BLE001 - a cancellation is an outcome too
        return type(error)
