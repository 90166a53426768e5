"""The store that keeps nothing: caching switched off without a change in the code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from aiocache_pe.backends.base import Change, Condition, ReadResult
from aiocache_pe.record import Head, Record


class NullBackend:
    """Takes everything and holds none of it; every read is a miss.

    Example:
        >>> import asyncio
        >>> asyncio.run(NullBackend().read(["default:k"]))
        {}
    """

    name = "null"

    def __repr__(self) -> str:
        return "NullBackend()"

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """Nothing is ever there."""
        return {}

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """Accepted and forgotten, so nothing is there afterwards."""
        return ()

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """There was nothing to remove."""
        return ()

    async def update(self, key: str, change: Change) -> Record | None:
        """The change is asked for, as always from nothing, and forgotten."""
        change(None)
        return None

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """No batches."""
        nothing: tuple[Sequence[Head], ...] = ()
        for batch in nothing:
            yield batch

    async def clear(self, prefix: str) -> int:
        """There was nothing to clear."""
        return 0

    async def close(self) -> None:
        """Nothing is held."""

    def peek(self, key: str) -> None:
        """Surely absent."""

    async def secret(self) -> bytes:
        """Any will do: nothing that is signed with it is ever read."""
        return b"nothing is kept"
