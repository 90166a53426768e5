"""Optional capabilities of a store, with a default for a store that lacks them.

The check of a protocol takes microseconds. So the functions for operations of every miss take the
store only, and return its method, which the caller keeps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from aiocache_pe.backends.base import (
    Backend,
    Coherent,
    Generational,
    Lease,
    Leasing,
    Partitioned,
    Peekable,
    ReadResult,
    Sized,
    Usage,
)
from aiocache_pe.record import Head, Record, pack_head
from aiocache_pe.sentinels import PENDING, Pending


def is_current(store: Backend) -> Callable[[object], bool]:
    """Return a store's `Coherent.is_current`; without it, no copy is current."""
    return store.is_current if isinstance(store, Coherent) else lambda stamp: False


def peek(store: Backend) -> Callable[[str], Record | Pending | None]:
    """Return a store's `Peekable.peek`; without it, every answer is `PENDING`."""
    return store.peek if isinstance(store, Peekable) else lambda key: PENDING


async def totals(store: Backend, prefix: str) -> tuple[int, int]:
    """Return `Sized.totals`; without it, count the records by a scan."""
    if isinstance(store, Sized):
        return await store.totals(prefix)

    count = size = 0
    async for heads in store.scan(prefix):
        count += len(heads)
        size += sum(len(pack_head(head, b"")) + head.size for head in heads)
    return count, size


async def list_areas(store: Backend) -> Collection[str]:
    """Return `Partitioned.areas`; without it, find the areas by a scan."""
    if isinstance(store, Partitioned):
        return await store.areas()
    return {head.key.partition(":")[0] async for heads in store.scan("") for head in heads}


async def add_usage(store: Backend, usage: Mapping[str, tuple[int, float]]) -> None:
    """Call `Usage.add_usage`; without it, drop the hits."""
    if isinstance(store, Usage):
        await store.add_usage(usage)


async def usage(store: Backend, key: str) -> tuple[int, float | None]:
    """Return `Usage.usage`; without it, no hits."""
    return await store.usage(key) if isinstance(store, Usage) else (0, None)


class _FreeLease:
    """The lease of a store without leases: every caller holds it."""

    async def release(self) -> None:
        """Return at once: no caller waits."""


FREE_LEASE = _FreeLease()
"""A lease that keeps no other caller waiting."""


def try_lease(store: Backend) -> Callable[[str, str], Awaitable[Lease | None]]:
    """Return a store's `Leasing.try_lease`; without it, each call returns `FREE_LEASE`."""
    if not isinstance(store, Leasing):
        return _give_free_lease

    def try_lease(key: str, version: str = "") -> Awaitable[Lease | None]:
        return store.try_lease(key, version) if version else store.try_lease(key)

    return try_lease


async def _give_free_lease(key: str, version: str) -> Lease | None:
    return FREE_LEASE


def begin(store: Backend) -> Callable[[str], object | Pending]:
    """Return a store's `Generational.begin`; without it, every generation is ``None``."""
    return store.begin if isinstance(store, Generational) else lambda key: None


def is_raised(store: Backend) -> Callable[[str, Any], bool]:
    """Return a store's `Generational.is_raised`; without it, no generation is raised."""
    return store.is_raised if isinstance(store, Generational) else lambda key, generation: False


class BeginAndRead(Protocol):
    """The signature of `Generational.begin_and_read`."""

    async def __call__(
        self, keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[object], Mapping[str, ReadResult]]:
        """Begin computations of store keys, and read their entries."""


def begin_and_read(store: Backend) -> BeginAndRead:
    """Return a store's `Generational.begin_and_read`; without it, a call only reads."""
    if isinstance(store, Generational):
        return store.begin_and_read

    async def read(
        keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[object], Mapping[str, ReadResult]]:
        return [None] * len(keys), await store.read(keys)

    return read


async def write_computed(
    store: Backend, records: Sequence[Record], generations: Sequence[Any]
) -> Sequence[Record | None]:
    """Return `Generational.write_computed`; without it, store all records."""
    if isinstance(store, Generational):
        return await store.write_computed(records, generations)
    return await store.write(records)


async def invalidate(store: Backend, prefix: str, pattern: str) -> AsyncIterator[Sequence[Head]]:
    """Yield from `Generational.invalidate`; without it, scan for keys and delete them."""
    if isinstance(store, Generational):
        async for heads in store.invalidate(prefix, pattern):
            yield heads
        return
    async for heads in store.scan(prefix, pattern):
        if heads:
            yield await store.delete([head.key for head in heads])
