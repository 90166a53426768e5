"""A store that tells what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from aiocache_pe.backends.base import Backend, Change, Condition, ReadResult
from aiocache_pe.record import Head, Record


class SpyBackend:
    """Hands every verb to another store and notes it, so that round trips can be counted.

    It has none of that store's capabilities: nothing is kept in memory in front of it
    and nothing is peeked, so every verb that is meant for a store arrives at it.

    Args:
        backend: the store that does the work.

    Attributes:
        calls: verb and keys of every call, in order.
        failing: an error to raise instead of working, for tests of outages.

    Example:
        >>> import asyncio
        >>> from aiocache_pe.backends.memory import MemoryBackend
        >>> recorder = Recorder(MemoryBackend())
        >>> asyncio.run(recorder.read(["default:k"]))
        {}
        >>> recorder.calls
        [('read', ('default:k',))]
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name = f"recorded {backend.name}"
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.failing: Exception | None = None

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """Note and pass on."""
        self._note("read", *keys)
        return await self._backend.read(keys)

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """Note and pass on."""
        self._note("write", *(record.head.key for record in records))
        return await self._backend.write(records)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """Note and pass on."""
        self._note("delete", *keys)
        return await self._backend.delete(keys, only)

    async def update(self, key: str, change: Change) -> Record | None:
        """Note and pass on."""
        self._note("update", key)
        return await self._backend.update(key, change)

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """Note and pass on."""
        self._note("scan", prefix)
        async for heads in self._backend.scan(prefix, pattern):
            yield heads

    async def clear(self, prefix: str) -> int:
        """Note and pass on."""
        self._note("clear", prefix)
        return await self._backend.clear(prefix)

    async def close(self) -> None:
        """Note and pass on."""
        self._note("close")
        await self._backend.close()

    def _note(self, verb: str, *keys: str) -> None:
        self.calls.append((verb, keys))
        if self.failing is not None:
            raise self.failing
