"""Who was read how often and when, on its way to the store, a little at a time.

A second of reading can touch thousands of entries, and noting each costs as much as a
write. Done in one go, the thread that does it and the event loop would fight over the
GIL; so in the background it takes a tenth of the time at most. What is still waiting at
`close` or at the end of the loop is written then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice

from aiocache_pe.engine import Engine
from aiocache_pe.protocols import Usage
from aiocache_pe.space import Space

_CHUNK = 32
_REST = 9.0  # times as long as a chunk took


class UsageLog:
    """The usage that is not written yet.

    Args:
        engine: whose store is to know; without the capability `Usage` nothing is kept.
    """

    __slots__ = ("_engine", "_waiting")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[str, tuple[Space, int, float]] = {}

    def add(self, space: Space, usage: Mapping[str, tuple[int, float]]) -> None:
        """Take in hits and last accesses, by store key, of one namespace."""
        if isinstance(self._engine.backend, Usage):
            for key, (hits, last) in usage.items():
                before = self._waiting.get(key)
                self._waiting[key] = (space, hits + (before[1] if before else 0), last)

    def clear(self) -> None:
        """Forget what is waiting."""
        self._waiting.clear()

    async def write(self, *, gently: bool = False) -> None:
        """Write what is waiting; gently, the loop is left alone for most of the time."""
        backend, clock = self._engine.backend, self._engine.clock
        while self._waiting and isinstance(backend, Usage):
            began = clock.monotonic()
            keys = list(islice(self._waiting, _CHUNK if gently else None))
            chunk = {key: self._waiting.pop(key) for key in keys}
            space = chunk[keys[0]][0]
            usage = {key: (hits, last) for key, (_, hits, last) in chunk.items()}
            await space.survive("usage", backend.add_usage(usage), None)
            if gently:
                await asyncio.sleep(_REST * (clock.monotonic() - began))
