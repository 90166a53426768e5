"""`FallbackBackend`: a store that holds two stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Backend, Change, Condition, Lease, ReadResult
from aiocache_pe.backends.fallback.circuit_breaker import Sleep
from aiocache_pe.backends.fallback.failover import AWAY, Failover, is_counter
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import PENDING, Pending

P = ParamSpec("P")
T = TypeVar("T")


class Substitute(NamedTuple):
    """The stamp of a record that the second store gave."""

    stamp: Any


class FallbackBackend:
    """Uses the first store while it works, and the second while it is away.

    What is changed meanwhile is noted in a journal before it is changed. When the first
    answers again, everything in the journal is removed from both stores; only then is
    it trusted. So what was deleted, overwritten, or marked dead by a tag meanwhile does
    not come back with an old value: it is a miss.

    Args:
        first: the store to be used.
        second: used while a verb of the first raises `StoreUnavailableError` or `OSError`.
        folder: for the journal, which outlives the process.
        pauses: the first pause between two tries of the first store, and the longest,
            in seconds.
        sleep: makes the pauses; tests hand in one that does not wait.

    Example:
        >>> from aiocache_pe.backends.memory import MemoryBackend
        >>> FallbackBackend(MemoryBackend(), MemoryBackend(), "journals")
        FallbackBackend(MemoryBackend(0 entries), MemoryBackend(0 entries))
    """

    def __init__(
        self,
        first: Backend,
        second: Backend,
        folder: str,
        *,
        pauses: tuple[float, float] = (0.1, 2.0),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name = first.name
        self._first, self._second = first, second
        self._first_current, self._second_current = (
            capabilities.is_current(store) for store in (first, second)
        )
        self._peek = capabilities.peek(second)
        self._switch = Failover(first, second, folder, pauses, sleep)
        self._breaker = self._switch.breaker

    def __repr__(self) -> str:
        return f"FallbackBackend({self._first!r}, {self._second!r})"

    @property
    def is_away(self) -> bool:
        """Whether the second store serves now."""
        return self._breaker.is_open

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`."""
        return await self._switch.read(
            lambda: self._first.read(keys), lambda: self._substitutes(keys), counted=keys
        )

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""

        async def second() -> Sequence[Record]:
            return [_marked(record) for record in await self._second.write(records)]

        keys = [record.head.key for record in records]
        return await self._switch.change(lambda: self._first.write(records), second, keys)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        return await self._switch.change(
            lambda: self._first.delete(keys, only), lambda: self._second.delete(keys, only), keys
        )

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`."""

        async def second() -> Record | None:
            stored = await self._second.update(key, change)
            return None if stored is None else _marked(stored)

        return await self._switch.change(lambda: self._first.update(key, change), second, [key])

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; one that the first breaks off is not continued."""
        if not self._breaker.is_open:
            begun = False
            try:
                async for heads in self._first.scan(prefix, pattern):
                    begun = True
                    yield heads
            except AWAY as error:
                self._breaker.open(error)
                if begun:
                    raise
            else:
                return
        self._breaker.watch()
        async for heads in self._second.scan(prefix, pattern):
            yield heads

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`."""
        return await self._switch.change(
            lambda: self._first.clear(prefix),
            lambda: self._second.clear(prefix),
            areas=[prefix],
        )

    async def close(self) -> None:
        """See `Backend.close`: closes both stores."""
        await self._switch.close()
        await self._first.close()
        await self._second.close()

    def is_current(self, stamp: Any) -> bool:
        """See `Coherent.is_current`: what the other store gave is never current."""
        if self._breaker.is_open:
            return type(stamp) is Substitute and self._second_current(stamp.stamp)
        return type(stamp) is not Substitute and self._first_current(stamp)

    def peek(self, key: str) -> Record | None | Pending:
        """See `Peekable.peek`, of the second store while it serves."""
        if not self._breaker.is_open or is_counter(key):
            return PENDING
        found = self._peek(key)
        return _marked(found) if isinstance(found, Record) else PENDING

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`."""
        return await self._asked(capabilities.totals, prefix)

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`; each store keeps that of what it served itself."""
        await self._asked(capabilities.add_usage, usage)

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        return await self._asked(capabilities.usage, key)

    async def try_lease(self, key: str) -> Lease | None:
        """See `Leasing.try_lease`; a store that leases nothing leaves everybody a turn."""
        return await self._asked(capabilities.try_lease, key)

    async def _asked(
        self,
        verb: Callable[Concatenate[Backend, P], Awaitable[T]],
        *args: P.args,
        **settings: P.kwargs,
    ) -> T:
        first, second = self._first, self._second
        return await self._switch.read(
            lambda: verb(first, *args, **settings), lambda: verb(second, *args, **settings)
        )

    async def _substitutes(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        found = await self._second.read(keys)
        return {
            key: _marked(result) if isinstance(result, Record) else result
            for key, result in found.items()
        }


def _marked(record: Record) -> Record:
    stamp = None if record.stamp is None else Substitute(record.stamp)
    return Record(record.head, record.payload, stamp)
