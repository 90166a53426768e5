"""Operations on many entries of a namespace: listing, removal and cleanup."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Condition, Sweeper
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.engine.stats import CacheEntry
from aiocache_pe.exceptions import CacheError
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.keys.store_keys import unquote
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


async def list_namespaces(namespace: Namespace) -> list[str]:
    """Return the names of all namespaces with entries, sorted."""
    work = capabilities.list_areas(namespace.engine.backend)
    names: list[str] = []
    for area in await namespace.attempt("scan", work, ()):
        with suppress(ValueError):  # of another program, with other rules for names
            names.append(unquote(area))
    return sorted(names)


async def invalidate(namespace: Namespace, pattern: str) -> int:
    """Remove the entries that match a pattern, and return the number of live ones."""
    engine, now, total = namespace.engine, namespace.time(), 0

    async def work() -> None:
        nonlocal total
        async for heads in capabilities.invalidate(engine.backend, namespace.prefix, pattern):
            engine.discard([head.key for head in heads])
            check = await engine.check_heads(heads, stale=True)
            servable = check.live | check.undecided
            total += sum(not head.is_expired(now) for head in servable.values())

    matches = compile_glob(pattern)
    engine.generations.raise_matching(namespace.prefix, matches)
    try:
        await namespace.attempt("delete", work(), None)
    finally:
        engine.generations.raise_matching(namespace.prefix, matches)
    namespace.count_removed("deleted", total)
    return total


async def remove_expired(namespace: Namespace) -> int:
    """Remove entries that cannot be served any more, and the remains of crashed processes.

    These are entries that expired and may not be served stale, and entries that were invalidated
    through their tags. Their number is returned.
    """
    engine, total = namespace.engine, 0

    async def work() -> None:
        nonlocal total
        async for heads in engine.backend.scan(namespace.prefix):
            check = await engine.check_heads(heads, stale=True)
            servable = check.live | check.undecided
            selected = {head.key: head for head in heads if head.key not in servable}
            if selected:
                engine.discard(selected)
                # Only the version that was seen is removed. A newer record stays.
                condition = _make_condition(selected)
                total += len(await engine.backend.delete(list(selected), condition))

    await namespace.attempt("delete", work(), None)
    namespace.count_removed("expired", total)
    backend = engine.backend
    if isinstance(backend, Sweeper):
        await namespace.attempt("sweep", backend.sweep(namespace.time()), None)
    return total


def _make_condition(heads: Mapping[str, Head]) -> Condition:
    return lambda head: heads.get(head.key) == head


async def clear(namespace: Namespace) -> int:
    """Remove all entries of the namespace, and return their number."""
    engine = namespace.engine
    engine.generations.raise_matching(namespace.prefix, None)
    try:
        removed = await namespace.attempt("clear", engine.backend.clear(namespace.prefix), 0)
    finally:
        engine.generations.raise_matching(namespace.prefix, None)
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
