"""Null store: it keeps nothing, so caching is off without a change in the code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from aiocache_pe.backends.base import Change, Condition, ReadResult
from aiocache_pe.record import Head, Record


class NullBackend:
    """A store that accepts every record and keeps none, so that every read is a miss.

    Example:
        >>> import asyncio
        >>> asyncio.run(NullBackend().read(["default:k"]))
        {}
    """

    name = "null"

    def __repr__(self) -> str:
        return "NullBackend()"

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """Return no record."""
        return {}

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """Drop the records, so none is stored afterwards."""
        return ()

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """Return no head."""
        return ()

    async def update(self, key: str, change: Change) -> Record | None:
        """Call ``change`` without a record, and drop its result."""
        change(None)
        return None

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """Yield no batch."""
        batches: tuple[Sequence[Head], ...] = ()
        for batch in batches:
            yield batch

    async def clear(self, prefix: str) -> int:
        """Return zero."""
        return 0

    async def close(self) -> None:
        """Return at once: the store holds no resource."""

    def peek(self, key: str) -> None:
        """Return ``None``: the record is certainly absent."""

    async def secret(self) -> bytes:
        """Return a constant: a signature made with it is never checked."""
        return b"nothing is kept"
