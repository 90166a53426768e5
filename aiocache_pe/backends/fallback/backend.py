"""`FallbackBackend`: a store that holds two stores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from aiocache_pe.backends.fallback.breaker import Breaker
from aiocache_pe.backends.fallback.journal import Journal, Touched
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.protocols import (
    Backend,
    Change,
    Coherent,
    Condition,
    Lease,
    Leasing,
    Peekable,
    ReadResult,
    Sized,
    Usage,
)
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import PENDING, Pending

T = TypeVar("T")

_AWAY = (StoreUnavailableError, OSError)
_PROBE = "aiocache_pe+probe:"
_CHUNK = 500
_FEW = 100
_GRACE = 0.2  # seconds from the first answer to trust
_GLANCE = 0.002  # seconds between two looks whether what is under way is done


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
    ) -> None:
        self.name = first.name
        self._first, self._second = first, second
        self._first_current, self._second_current = (
            store.is_current if isinstance(store, Coherent) else _never for store in (first, second)
        )
        self._peek = second.peek if isinstance(second, Peekable) else _cannot_tell
        self._journal = Journal(folder)
        self._lock = threading.Lock()
        self._under_way = 0
        self._settling = False
        # A journal that is there may be a dead process's; then it has to be settled first.
        self._breaker = Breaker(
            repr(first), self._recover, is_open=self._journal.has_others(), pauses=pauses
        )

    def __repr__(self) -> str:
        return f"FallbackBackend({self._first!r}, {self._second!r})"

    @property
    def is_away(self) -> bool:
        """Whether the second store serves now."""
        return self._breaker.is_open

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`."""
        return await self._ask(
            lambda: self._first.read(keys), lambda: self._substitutes(keys), counted=keys
        )

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""

        async def second() -> Sequence[Record]:
            return [_marked(record) for record in await self._second.write(records)]

        keys = [record.head.key for record in records]
        return await self._change(lambda: self._first.write(records), second, keys)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        return await self._change(
            lambda: self._first.delete(keys, only), lambda: self._second.delete(keys, only), keys
        )

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`."""

        async def second() -> Record | None:
            stored = await self._second.update(key, change)
            return None if stored is None else _marked(stored)

        return await self._change(lambda: self._first.update(key, change), second, [key])

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; one that the first breaks off is not continued."""
        if not self._breaker.is_open:
            begun = False
            try:
                async for heads in self._first.scan(prefix, pattern):
                    begun = True
                    yield heads
            except _AWAY as error:
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
        return await self._change(
            lambda: self._first.clear(prefix),
            lambda: self._second.clear(prefix),
            areas=[prefix],
        )

    async def close(self) -> None:
        """See `Backend.close`: closes both stores."""
        self._breaker.stop()
        await self._first.close()
        await self._second.close()

    def is_current(self, stamp: Any) -> bool:
        """See `Coherent.is_current`: what the other store gave is never current."""
        if self._breaker.is_open:
            return type(stamp) is Substitute and self._second_current(stamp.stamp)
        return type(stamp) is not Substitute and self._first_current(stamp)

    def peek(self, key: str) -> Record | None | Pending:
        """See `Peekable.peek`, of the second store while it serves."""
        if not self._breaker.is_open or _is_counter(key):
            return PENDING
        found = self._peek(key)
        return _marked(found) if isinstance(found, Record) else PENDING

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`."""
        return await self._ask(
            lambda: _totals(self._first, prefix), lambda: _totals(self._second, prefix)
        )

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`; each store keeps that of what it served itself."""
        await self._ask(
            lambda: _add_usage(self._first, usage), lambda: _add_usage(self._second, usage)
        )

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        return await self._ask(lambda: _usage(self._first, key), lambda: _usage(self._second, key))

    async def try_lease(self, key: str) -> Lease | None:
        """See `Leasing.try_lease`; a store that leases nothing leaves everybody a turn."""
        return await self._ask(lambda: _lease(self._first, key), lambda: _lease(self._second, key))

    async def _substitutes(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        found = await self._second.read(keys)
        return {
            key: _marked(result) if isinstance(result, Record) else result
            for key, result in found.items()
        }

    async def _ask(
        self,
        first: Callable[[], Awaitable[T]],
        second: Callable[[], Awaitable[T]],
        *,
        counted: Iterable[str] = (),
    ) -> T:
        if not self._breaker.is_open:
            try:
                return await self._breaker.call(first)
            except _AWAY as error:
                self._breaker.open(error)
        self._breaker.watch()
        self._refuse_counters(counted)
        return await second()

    async def _change(
        self,
        first: Callable[[], Awaitable[T]],
        second: Callable[[], Awaitable[T]],
        keys: Sequence[str] = (),
        areas: Sequence[str] = (),
    ) -> T:
        failed = False
        while True:
            while self._settling:  # noqa: ASYNC110 - an Event is one loop's, this is all loops'
                await asyncio.sleep(_GLANCE)
            if not self._breaker.is_open:
                try:
                    return await self._breaker.call(first)
                except _AWAY as error:
                    failed = True
                    self._breaker.open(error)
            with self._lock:
                if self._settling or not (self._breaker.is_open or failed):
                    continue
                self._under_way += 1
            # Begun is finished, cancelled or not: nothing may come after the settlement.
            work = asyncio.ensure_future(self._noted(second, keys, areas))
            work.add_done_callback(self._done)
            return await asyncio.shield(work)

    async def _noted(
        self, second: Callable[[], Awaitable[T]], keys: Sequence[str], areas: Sequence[str]
    ) -> T:
        self._breaker.watch()
        self._refuse_counters(keys)
        await self._journal.note(keys, areas)
        return await second()

    def _done(self, work: asyncio.Future[Any]) -> None:
        with self._lock:
            self._under_way -= 1
        if not work.cancelled():
            work.exception()  # its caller may have gone

    def _refuse_counters(self, keys: Iterable[str]) -> None:
        """What adds up may not begin anew elsewhere: it waits in the process meanwhile."""
        if any(_is_counter(key) for key in keys):
            raise StoreUnavailableError(f"{self._first!r} is away; its counters wait for it")

    async def _recover(self) -> None:
        """Try the first store; when it answers, settle what it missed and trust it.

        Calls that were let go may still be in the server's buffers and will be carried
        out by it when it wakes; so it is given a moment before it is told what to remove.
        """
        await self._first.read([_PROBE])
        await asyncio.sleep(_GRACE)
        await asyncio.to_thread(self._journal.adopt)
        while len(self._journal) > _FEW:
            await self._settle(self._journal.pending(_CHUNK))
        with self._lock:
            self._settling = True  # changes wait from here on
        try:
            while self._under_way:  # noqa: ASYNC110 - an Event is one loop's
                await asyncio.sleep(_GLANCE)
            while len(self._journal):
                await self._settle(self._journal.pending(_CHUNK))
            await asyncio.to_thread(self._journal.finish)
            self._breaker.close()
        finally:
            self._settling = False

    async def _settle(self, touched: Touched) -> None:
        for area in touched.areas:
            await self._first.clear(area)
        if touched.keys:
            await self._first.delete(touched.keys)
            await self._second.delete(touched.keys)
        self._journal.settled(touched)


def _marked(record: Record) -> Record:
    stamp = None if record.stamp is None else Substitute(record.stamp)
    return Record(record.head, record.payload, stamp)


def _is_counter(key: str) -> bool:
    return key.partition(":")[0].endswith("+stats")


async def _totals(store: Backend, prefix: str) -> tuple[int, int]:
    if isinstance(store, Sized):
        return await store.totals(prefix)
    entries = weight = 0
    async for heads in store.scan(prefix):
        entries += len(heads)
        weight += sum(head.size for head in heads)
    return entries, weight


async def _add_usage(store: Backend, usage: Mapping[str, tuple[int, float]]) -> None:
    if isinstance(store, Usage):
        await store.add_usage(usage)


async def _usage(store: Backend, key: str) -> tuple[int, float | None]:
    return await store.usage(key) if isinstance(store, Usage) else (0, None)


async def _lease(store: Backend, key: str) -> Lease | None:
    return await store.try_lease(key) if isinstance(store, Leasing) else _Free()


class _Free:
    """The lease of a store that has none."""

    is_lost = False

    async def release(self) -> None:
        """Nothing is held."""


def _never(stamp: object) -> bool:
    return False


def _cannot_tell(key: str) -> Pending:
    return PENDING
