"""Store that records the calls of its methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from aiocache_pe.backends.base import Backend, Change, Condition, ReadResult
from aiocache_pe.record import Head, Record


class SpyBackend:
    """A store that passes every call to another store and records it, to count round trips.

    It has no capabilities of the other store. Therefore the memory tier keeps no copies, nothing
    is peeked, and every operation of the store reaches it.

    Args:
        backend: the other store.

    Attributes:
        calls: the method and the keys of each call, in order.
        failing: an exception to raise in every call, for tests of outages.

    Example:
        >>> import asyncio
        >>> from aiocache_pe.backends.memory import MemoryBackend
        >>> spy = SpyBackend(MemoryBackend())
        >>> asyncio.run(spy.read(["default:k"]))
        {}
        >>> spy.calls
        [('read', ('default:k',))]
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name = f"recorded {backend.name}"
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.failing: Exception | None = None

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """Record the call and pass it on."""
        self._record("read", *keys)
        return await self._backend.read(keys)

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """Record the call and pass it on."""
        self._record("write", *(record.head.key for record in records))
        return await self._backend.write(records)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """Record the call and pass it on."""
        self._record("delete", *keys)
        return await self._backend.delete(keys, only)

    async def update(self, key: str, change: Change) -> Record | None:
        """Record the call and pass it on."""
        self._record("update", key)
        return await self._backend.update(key, change)

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """Record the call and pass it on."""
        self._record("scan", prefix)
        async for heads in self._backend.scan(prefix, pattern):
            yield heads

    async def clear(self, prefix: str) -> int:
        """Record the call and pass it on."""
        self._record("clear", prefix)
        return await self._backend.clear(prefix)

    async def close(self) -> None:
        """Record the call and pass it on."""
        self._record("close")
        await self._backend.close()

    def _record(self, method: str, *keys: str) -> None:
        self.calls.append((method, keys))
        if self.failing is not None:
            raise self.failing
