"""Least recently used: what was not asked for the longest goes."""

from __future__ import annotations

from collections.abc import Callable

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.fifo import Fifo


class Lru(Fifo[N]):
    """The queue of FIFO, in which every hit moves its node to the end, under the lock."""

    __slots__ = ("on_hit",)

    lock_free = False
    on_hit: Callable[[N], None] | None

    def __init__(self) -> None:
        super().__init__()
        self.on_hit = self._queue.touch
