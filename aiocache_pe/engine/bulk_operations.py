"""Operations on many entries of a namespace: listing, removal and cleanup."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Condition, Sweeper
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.engine.stats import CacheEntry
from aiocache_pe.events import Cause
from aiocache_pe.exceptions import CacheError
from aiocache_pe.record import Head, Record, pack_head
from aiocache_pe.sentinels import MISSING


async def iter_live_keys(namespace: Namespace, pattern: str | None) -> AsyncIterator[str]:
    """Yield the keys of live entries that match a pattern, without the namespace."""
    try:
        async for heads in namespace.engine.backend.scan(namespace.prefix, pattern):
            for key in await namespace.engine.select_live(heads):
                yield key[len(namespace.prefix) :]
    except Exception as error:  # whatever the store raises, the caller's loop ends normally
        namespace.count_failure("scan", error)


async def _remove_matching(
    namespace: Namespace,
    pattern: str | None,
    cause: Cause,
    select: Callable[[Sequence[Head], Mapping[str, Head]], list[Head]],
    counts: Callable[[Head], bool],
) -> int:
    """Remove selected entries in batches, and return the number of those that count.

    ``select`` gets a batch of heads, and those of them by store key that may be served, if only
    stale. Heads with tags that cannot be read are among the latter.
    """
    engine, total = namespace.engine, 0

    async def work() -> None:
        nonlocal total
        async for heads in engine.backend.scan(namespace.prefix, pattern):
            check = await engine.check_heads(heads, stale=True)
            selected = {head.key: head for head in select(heads, check.live | check.undecided)}
            if selected:
                engine.discard(selected)
                # Only the version that was seen is removed. A newer record stays.
                removed = await engine.backend.delete(list(selected), _make_condition(selected))
                total += sum(map(counts, removed))

    await namespace.attempt("delete", work(), None)
    namespace.count_removed(cause, total)
    return total


def _make_condition(heads: Mapping[str, Head]) -> Condition:
    return lambda head: heads.get(head.key) == head


async def invalidate(namespace: Namespace, pattern: str) -> int:
    """Remove the entries that match a pattern, and return the number of live ones."""
    engine, total = namespace.engine, 0

    async def work() -> None:
        nonlocal total
        async for heads in capabilities.invalidate(engine.backend, namespace.prefix, pattern):
            engine.discard(head.key for head in heads)
            total += len(await engine.select_live(heads))

    await namespace.attempt("delete", work(), None)
    namespace.count_removed("deleted", total)
    return total


async def remove_expired(namespace: Namespace) -> int:
    """Remove entries that cannot be served any more, and the remains of crashed processes.

    These are entries that expired and may not be served stale, and entries that were invalidated
    through their tags. Their number is returned.
    """

    def select(heads: Sequence[Head], servable: Mapping[str, Head]) -> list[Head]:
        return [head for head in heads if head.key not in servable]

    removed = await _remove_matching(namespace, None, "expired", select, lambda _: True)
    backend = namespace.engine.backend
    if isinstance(backend, Sweeper):
        await namespace.attempt("sweep", backend.sweep(namespace.time()), None)
    return removed


async def clear(namespace: Namespace) -> int:
    """Remove all entries of the namespace, and return their number."""
    engine = namespace.engine
    removed = await namespace.attempt("clear", engine.backend.clear(namespace.prefix), 0)
    if engine.tier is not None:
        engine.tier.clear(namespace.prefix)
    namespace.count_removed("cleared", removed)
    return removed


async def describe_entry(namespace: Namespace, key: str) -> CacheEntry | None:
    """Return a live entry with all its facts, or ``None``; the read is not counted as a hit."""
    engine = namespace.engine

    async def work() -> Record | None:
        record = (await engine.backend.read([key])).get(key)
        if record is None:
            return None
        if isinstance(record, CacheError):
            raise record
        return record if await engine.select_live([record.head]) else None

    record = await namespace.attempt("read", work(), None)
    if record is None:
        return None
    value = await namespace.decode(MemoryEntry(record))
    if value is MISSING:
        return None

    hits, last_access = await namespace.get_usage(key)
    head = record.head
    return CacheEntry(
        key=key[len(namespace.prefix) :],
        value=value,
        created_at=head.created_at,
        expires_at=head.expires_at,
        last_access=head.created_at if last_access is None else last_access,
        hit_count=hits,
        size_bytes=len(pack_head(head, record.payload)) + head.size,
        tags=tuple(sorted(head.tags)),
    )
