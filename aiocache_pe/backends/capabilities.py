"""What a store does that may lack a capability, and what is done instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiocache_pe.backends.base import Backend, Coherent, Lease, Leasing, Peekable, Sized, Usage
from aiocache_pe.record import Record, pack_head
from aiocache_pe.sentinels import PENDING, Pending


def is_current(store: Backend) -> Callable[[object], bool]:
    """`Coherent.is_current` of a store; no copy is current otherwise."""
    return store.is_current if isinstance(store, Coherent) else _never


def peek(store: Backend) -> Callable[[str], Record | Pending | None]:
    """`Peekable.peek` of a store; nothing can be told without waiting otherwise."""
    return store.peek if isinstance(store, Peekable) else _cannot_tell


async def totals(store: Backend, prefix: str) -> tuple[int, int]:
    """See `Sized.totals`; counted by a scan otherwise."""
    if isinstance(store, Sized):
        return await store.totals(prefix)
    entries = weight = 0
    async for heads in store.scan(prefix):
        entries += len(heads)
        weight += sum(len(pack_head(head, b"")) + head.size for head in heads)
    return entries, weight


async def add_usage(store: Backend, usage: Mapping[str, tuple[int, float]]) -> None:
    """See `Usage.add_usage`; nothing otherwise."""
    if isinstance(store, Usage):
        await store.add_usage(usage)


async def usage(store: Backend, key: str) -> tuple[int, float | None]:
    """See `Usage.usage`; none otherwise."""
    return await store.usage(key) if isinstance(store, Usage) else (0, None)


async def try_lease(store: Backend, key: str) -> Lease | None:
    """See `Leasing.try_lease`; everybody has a turn otherwise."""
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
