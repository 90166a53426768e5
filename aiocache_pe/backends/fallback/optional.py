"""What a store does that may lack a capability."""

from __future__ import annotations

from collections.abc import Mapping

from aiocache_pe.protocols import Backend, Lease, Leasing, Sized, Usage


async def totals(store: Backend, prefix: str) -> tuple[int, int]:
    """See `Sized.totals`; counted by a scan otherwise."""
    if isinstance(store, Sized):
        return await store.totals(prefix)
    entries = weight = 0
    async for heads in store.scan(prefix):
        entries += len(heads)
        weight += sum(head.size for head in heads)
    return entries, weight


async def add_usage(store: Backend, usage: Mapping[str, tuple[int, float]]) -> None:
    """See `Usage.add_usage`; nothing otherwise."""
    if isinstance(store, Usage):
        await store.add_usage(usage)


async def usage_of(store: Backend, key: str) -> tuple[int, float | None]:
    """See `Usage.usage`; none otherwise."""
    return await store.usage(key) if isinstance(store, Usage) else (0, None)


async def lease(store: Backend, key: str) -> Lease | None:
    """See `Leasing.try_lease`; everybody has a turn otherwise."""
    return await store.try_lease(key) if isinstance(store, Leasing) else _Free()


class _Free:
    """The lease of a store that has none."""

    is_lost = False

    async def release(self) -> None:
        """Nothing is held."""
