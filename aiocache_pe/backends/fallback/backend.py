"""Fallback store: a store that consists of two stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Backend, Change, Condition, Lease, ReadResult
from aiocache_pe.backends.fallback.circuit_breaker import Sleep
from aiocache_pe.backends.fallback.failover import UNAVAILABLE_ERRORS, Failover
from aiocache_pe.backends.fallback.journal import Pattern
from aiocache_pe.backends.fallback.settlement import is_counter
from aiocache_pe.clock import Clock, SystemClock
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import PENDING, Pending

A = TypeVar("A")
T = TypeVar("T")


class SecondStamp(NamedTuple):
    """The stamp of a record from the second store.

    Attributes:
        stamp: the second store's own stamp.
    """

    stamp: Any


class FallbackGeneration(NamedTuple):
    """The generation of a key in the store that served when it was taken."""

    is_second: bool
    generation: Any


class FallbackBackend:
    """A store that uses a first store, and a second one while the first is unavailable.

    A change in the second store is recorded in a journal before it is made. When the first store
    answers again, the changes in the journal are made there, and the second store is emptied. The
    first store serves again only after that. So no value returns that was deleted, overwritten,
    cleared or invalidated meanwhile. A value that was stored meanwhile is kept if no other process
    has changed its key, its tags or its namespace in the first store. Otherwise it is a miss.

    Args:
        first: the store to use.
        second: the store that serves while a method of the first one raises
            `StoreUnavailableError` or `OSError`.
        folder: directory of the journals, which survive the process.
        pauses: the first and the longest pause between two attempts to recover the first store,
            in seconds.
        sleep: makes the pauses; a test passes a function that does not wait.
        clock: the clock that dates the records.

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
        clock: Clock | None = None,
    ) -> None:
        self.name = first.name
        self._first, self._second = first, second
        self._is_current_in_first = capabilities.is_current(first)
        self._is_current_in_second = capabilities.is_current(second)
        self._begin_in_first = capabilities.begin(first)
        self._begin_in_second = capabilities.begin(second)
        self._begin_and_read_first = capabilities.begin_and_read(first)
        self._begin_and_read_second = capabilities.begin_and_read(second)
        self._try_lease_of_first = capabilities.try_lease(first)
        self._try_lease_of_second = capabilities.try_lease(second)
        self._is_raised_in_first = capabilities.is_raised(first)
        self._is_raised_in_second = capabilities.is_raised(second)
        self._peek_second = capabilities.peek(second)
        self._failover = Failover(
            first, second, folder, pauses, sleep, clock=clock or SystemClock()
        )
        self._breaker = self._failover.breaker

    def __repr__(self) -> str:
        return f"FallbackBackend({self._first!r}, {self._second!r})"

    @property
    def is_away(self) -> bool:
        """Return whether the first store is unavailable, so that the second one serves."""
        return self._breaker.is_open

    @property
    def on_breaker(self) -> Callable[[BaseException | None, float], None] | None:
        """See `Guarded.on_breaker`."""
        return self._breaker.on_change

    @on_breaker.setter
    def on_breaker(self, function: Callable[[BaseException | None, float], None] | None) -> None:
        self._breaker.on_change = function

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`."""
        return await self._failover.read(
            lambda: self._first.read(keys), lambda: self._read_second(keys), keys
        )

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""

        async def write_second() -> Sequence[Record]:
            return [_mark_as_second(record) for record in await self._second.write(records)]

        keys = [record.head.key for record in records]
        return await self._failover.change(lambda: self._first.write(records), write_second, keys)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        return await self._failover.change(
            lambda: self._first.delete(keys, only), lambda: self._second.delete(keys, only), keys
        )

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`."""

        async def update_second() -> Record | None:
            stored = await self._second.update(key, change)
            return None if stored is None else _mark_as_second(stored)

        return await self._failover.change(
            lambda: self._first.update(key, change), update_second, [key], is_whole=False
        )

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; the second store does not continue a scan of the first one."""
        if self._failover.is_starting:
            await self._failover.start()
        if not self._breaker.is_open:
            has_yielded = False
            try:
                async for heads in self._first.scan(prefix, pattern):
                    has_yielded = True
                    yield heads
            except UNAVAILABLE_ERRORS as error:
                self._failover.open_breaker(error)
                if has_yielded:
                    raise
            else:
                return

        self._breaker.start_probing()
        async for heads in self._second.scan(prefix, pattern):
            yield heads

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`."""
        return await self._failover.change(
            lambda: self._first.clear(prefix),
            lambda: self._second.clear(prefix),
            patterns=[Pattern(prefix, None)],
        )

    async def invalidate(self, prefix: str, pattern: str) -> AsyncIterator[Sequence[Head]]:
        """See `Generational.invalidate`."""
        if self._failover.is_starting:
            await self._failover.start()
        if not self._breaker.is_open:
            try:
                async for heads in capabilities.invalidate(self._first, prefix, pattern):
                    yield heads
            except UNAVAILABLE_ERRORS as error:
                self._failover.open_breaker(error)
            else:
                return

        async def invalidate(store: Backend) -> list[Head]:
            removed = capabilities.invalidate(store, prefix, pattern)
            return [head async for heads in removed for head in heads]

        yield await self._failover.change(
            lambda: invalidate(self._first),
            lambda: invalidate(self._second),
            patterns=[Pattern(prefix, pattern)],
        )

    async def close(self) -> None:
        """See `Backend.close`; it closes both stores."""
        await self._failover.close()
        await self._first.close()
        await self._second.close()

    def is_current(self, stamp: Any) -> bool:
        """See `Coherent.is_current`; a record of the store that does not serve is not current."""
        if self._breaker.is_open:
            return type(stamp) is SecondStamp and self._is_current_in_second(stamp.stamp)
        return type(stamp) is not SecondStamp and self._is_current_in_first(stamp)

    def peek(self, key: str) -> Record | None | Pending:
        """See `Peekable.peek`; only the second store answers without waiting."""
        if not self._breaker.is_open or self._failover.is_starting or is_counter(key):
            return PENDING
        found = self._peek_second(key)
        return _mark_as_second(found) if isinstance(found, Record) else PENDING

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`."""
        return await self._call(capabilities.totals, prefix)

    async def areas(self) -> Collection[str]:
        """See `Partitioned.areas`; those of the store that serves now."""
        return await self._failover.read(
            lambda: capabilities.list_areas(self._first),
            lambda: capabilities.list_areas(self._second),
        )

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`; each store keeps the hits that it served."""
        await self._call(capabilities.add_usage, usage)

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        return await self._call(capabilities.usage, key)

    async def try_lease(self, key: str, version: str = "") -> Lease | None:
        """See `Leasing.try_lease`; with a store without leases, every caller holds the lease."""
        return await self._failover.read(
            lambda: self._try_lease_of_first(key, version),
            lambda: self._try_lease_of_second(key, version),
        )

    def begin(self, key: str) -> FallbackGeneration | Pending:
        """See `Generational.begin`."""
        if self._failover.is_starting:
            return PENDING
        is_second = self._breaker.is_open
        generation = (self._begin_in_second if is_second else self._begin_in_first)(key)
        return PENDING if generation is PENDING else FallbackGeneration(is_second, generation)

    def is_raised(self, key: str, generation: FallbackGeneration) -> bool:
        """See `Generational.is_raised`; generations of the store that does not serve are raised."""
        is_second = self._breaker.is_open
        is_raised = self._is_raised_in_second if is_second else self._is_raised_in_first
        return generation.is_second is not is_second or is_raised(key, generation.generation)

    async def begin_and_read(
        self, keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[FallbackGeneration], Mapping[str, ReadResult]]:
        """See `Generational.begin_and_read`."""

        async def begin(*, is_second: bool) -> tuple[Sequence[FallbackGeneration], Any]:
            work = self._begin_and_read_second if is_second else self._begin_and_read_first
            generations, found = await work(keys, supersede=supersede)
            return [FallbackGeneration(is_second, each) for each in generations], (
                _mark_results(found) if is_second else found
            )

        return await self._failover.read(
            lambda: begin(is_second=False), lambda: begin(is_second=True), keys
        )

    async def write_computed(
        self, records: Sequence[Record], generations: Sequence[FallbackGeneration]
    ) -> Sequence[Record | None]:
        """See `Generational.write_computed`.

        A computation that began with the other store may have missed a change, so its record is not
        stored.
        """

        async def write(store: Backend) -> Sequence[Record | None]:
            is_second = store is self._second
            chosen = [n for n, each in enumerate(generations) if each.is_second is is_second]
            written = await capabilities.write_computed(
                store, [records[n] for n in chosen], [generations[n].generation for n in chosen]
            )
            stored: list[Record | None] = [None] * len(records)
            for n, record in zip(chosen, written, strict=True):
                stored[n] = _mark_as_second(record) if record and is_second else record
            return stored

        keys = [record.head.key for record in records]
        return await self._failover.change(
            lambda: write(self._first), lambda: write(self._second), keys
        )

    async def _call(self, function: Callable[[Backend, A], Awaitable[T]], argument: A) -> T:
        """Call a function with the store that serves now."""
        return await self._failover.read(
            lambda: function(self._first, argument), lambda: function(self._second, argument)
        )

    async def _read_second(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        return _mark_results(await self._second.read(keys))


def _mark_results(found: Mapping[str, ReadResult]) -> Mapping[str, ReadResult]:
    return {
        key: _mark_as_second(result) if isinstance(result, Record) else result
        for key, result in found.items()
    }


def _mark_as_second(record: Record) -> Record:
    stamp = None if record.stamp is None else SecondStamp(record.stamp)
    return Record(record.head, record.payload, stamp)
