"""Changes of one entry that depend on what it is: each a single step in the store."""

from __future__ import annotations

from typing import Any

import msgspec

from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.exceptions import BackendError, SecretRequiredError, SerializationError
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import MISSING, Missing


async def add(space: Namespace, item: Item) -> bool:
    """Store a value unless the key has one; whether it was stored."""
    added = False

    async def work() -> bool:
        record = await space.engine.make_record(item)

        def unless_there(there: Record | None) -> Record:
            nonlocal added
            added = there is None
            return there or record

        return await space.update(item.key, unless_there) is not None and added

    return await space.attempt("write", work(), otherwise=False)


async def touch(space: Namespace, key: str, ttl: float | None) -> bool:
    """Give an entry a new time to live, in seconds from now; whether there was one."""
    now = space.engine.clock.time()
    touched = False

    def renewed(record: Record | None) -> Record | None:
        nonlocal touched
        touched = record is not None
        return None if record is None else Record(_expiring(record.head, now, ttl), record.payload)

    work = space.engine.update(key, renewed, spare_stale=True)
    return await space.attempt("write", work, None) is not None and touched


def _expiring(head: Head, now: float, ttl: float | None) -> Head:
    """A head with a new time to live, and as long to be served stale after it as before."""
    expires_at = stale_until = None
    if ttl is not None:
        expires_at = now + ttl
        if head.stale_until is not None and head.expires_at is not None:
            stale_until = expires_at + head.stale_until - head.expires_at
    return msgspec.structs.replace(head, expires_at=expires_at, stale_until=stale_until)


async def pop(space: Namespace, key: str) -> Any | Missing:
    """Remove an entry and return its value, or `MISSING`; of several callers one gets it.

    Nobody gets what the store could not remove: it is still there for the next one.
    """
    taken: list[Record] = []

    def take(record: Record | None) -> None:
        taken[:] = [] if record is None else [record]

    async def work() -> bool:
        await space.engine.update(key, take)
        return True

    is_done = await space.attempt("delete", work(), otherwise=False)
    if not is_done or not taken:
        space.count_miss(key)
        return MISSING
    space.count_removed("deleted", 1, key=key)
    value = await space.decode_record(taken[0])
    if value is not MISSING:
        space.count_hit(key)
    return value


async def increment(space: Namespace, key: str, delta: int, initial: int, ttl: float | None) -> int:
    """Add to an integer, or begin with ``initial + delta``; returns the new number.

    Raises:
        TypeError: the entry holds something else.
        BackendError: the store failed; a number made up instead would be a lie.
    """
    for name, number in (("delta", delta), ("initial", initial)):
        if type(number) is not int:
            raise TypeError(f"{name} is an int, not {type(number).__name__}: {number!r:.80}")
    engine = space.engine
    first = await engine.make_record(Item(key, initial + delta, ttl))
    result = [initial + delta]

    def added(record: Record | None) -> Record:
        if record is None:
            result[0] = initial + delta
            return first
        try:
            number = engine.pipeline.decode(key, record.head.codec, record.payload)
        except SecretRequiredError:
            number = None  # pickled, so no integer
        if type(number) is not int:
            raise TypeError(
                f"the entry holds a {type(number).__name__}, only an int can be added to"
            )
        result[0] = number + delta
        return engine.make_record_like(key, result[0], record.head)

    try:
        await space.update(key, added)
    except (TypeError, SerializationError):
        raise
    except Exception as error:
        space.count_failure("write", error)
        raise BackendError(f"the store {engine.backend.name} could not add: {error}") from error
    return result[0]
