"""Work on many entries of a namespace: listing, removing, cleaning up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Condition, Sweeper
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.engine.stats import CacheEntry
from aiocache_pe.events import Cause
from aiocache_pe.exceptions import CacheError
from aiocache_pe.record import Head, Record, pack_head
from aiocache_pe.sentinels import MISSING


async def iter_live_keys(space: Namespace, pattern: str | None) -> AsyncIterator[str]:
    """The keys of live entries that match, without the namespace."""
    try:
        async for heads in space.engine.backend.scan(space.prefix, pattern):
            for key in await space.engine.select_live(heads):
                yield key[len(space.prefix) :]
    except Exception as error:  # whatever a store raises, its caller goes on
        space.count_failure("scan", error)


async def remove_matching(
    space: Namespace,
    pattern: str | None,
    cause: Cause,
    select: Callable[[Sequence[Head], Mapping[str, Head]], list[Head]],
    counts: Callable[[Head], bool],
) -> int:
    """Remove the entries that are selected, a batch at a time; how many there were.

    Args:
        space: the namespace.
        pattern: a glob over keys; ``None`` for all.
        cause: what to count them as.
        select: given a batch of heads and those of them that may be served, be it stale, as
            far as that can be told, says which go.
        counts: whether one that went is to be counted.
    """
    engine, total = space.engine, 0

    async def work() -> None:
        nonlocal total
        async for heads in engine.backend.scan(space.prefix, pattern):
            judged = await engine.check_heads(heads, stale=True)
            served = judged.live | judged.doubtful
            chosen = {head.key: head for head in select(heads, served)}
            if chosen:
                engine.discard(chosen)
                # Only the very version that was seen: what was written since stays.
                gone = await engine.backend.delete(list(chosen), _one_of(chosen))
                total += sum(map(counts, gone))

    await space.attempt("delete", work(), None)
    space.count_removed(cause, total)
    return total


def _one_of(heads: Mapping[str, Head]) -> Condition:
    return lambda head: heads.get(head.key) == head


async def invalidate(space: Namespace, pattern: str) -> int:
    """Remove the entries whose key matches; how many live ones there were."""
    now = space.engine.clock.time()
    return await remove_matching(
        space,
        pattern,
        "deleted",
        lambda _, served: list(served.values()),
        lambda head: not head.is_expired(now),
    )


async def remove_expired(space: Namespace) -> int:
    """Remove what nobody will be served any more, and what dead processes left.

    That is what is expired, unless it may still be served stale, or dead by its tags.
    """

    def dead(heads: Sequence[Head], served: Mapping[str, Head]) -> list[Head]:
        return [head for head in heads if head.key not in served]

    removed = await remove_matching(space, None, "expired", dead, lambda _: True)
    engine = space.engine
    if isinstance(engine.backend, Sweeper):
        await space.attempt("sweep", engine.backend.sweep(engine.clock.time()), None)
    return removed


async def clear(space: Namespace) -> int:
    """Remove all entries of the namespace; how many there were."""
    engine = space.engine
    removed = await space.attempt("clear", engine.backend.clear(space.prefix), 0)
    if engine.tier is not None:
        engine.tier.clear(space.prefix)
    space.count_removed("cleared", removed)
    return removed


async def describe_entry(space: Namespace, key: str) -> CacheEntry | None:
    """One live entry with all that is known of it; it does not count as a hit."""
    engine = space.engine

    async def work() -> Record | None:
        record = (await engine.backend.read([key])).get(key)
        if isinstance(record, CacheError):
            raise record
        live = isinstance(record, Record) and await engine.select_live([record.head])
        return record if live and isinstance(record, Record) else None

    record = await space.attempt("read", work(), None)
    if record is None:
        return None
    value = await space.decode_record(record)
    if value is MISSING:
        return None
    nothing: tuple[int, float | None] = 0, None
    hits, last = await space.attempt("usage", capabilities.usage(engine.backend, key), nothing)
    head = record.head
    return CacheEntry(
        key=key[len(space.prefix) :],
        value=value,
        created_at=head.created_at,
        expires_at=head.expires_at,
        last_access=head.created_at if last is None else last,
        hit_count=hits,
        size_bytes=len(pack_head(head, record.payload)) + head.size,
        tags=tuple(sorted(head.tags)),
    )
