"""Changes of one entry that depend on its state; each is a single atomic step in the store."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.exceptions import SecretRequiredError, SerializationError
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import MISSING, Missing


async def add(namespace: Namespace, item: Item) -> bool:
    """Store a value if its key has no entry, and return whether it was stored."""
    is_added = False

    async def work() -> bool:
        record = await namespace.engine.make_record(item)

        def store_if_absent(present: Record | None) -> Record:
            nonlocal is_added
            is_added = present is None
            return present or record

        return await namespace.update(item.key, store_if_absent) is not None and is_added

    return await namespace.attempt("write", work(), otherwise=False)


async def touch(namespace: Namespace, key: str, ttl: float | None) -> bool:
    """Give an entry a new lifetime in seconds from now on, and return whether there is one."""
    now = namespace.time()
    is_touched = False

    def extend(record: Record | None) -> Record | None:
        nonlocal is_touched
        is_touched = record is not None
        return None if record is None else Record(_extend(record.head, now, ttl), record.payload)

    work = namespace.engine.update(key, extend, keep_dead=True)
    return await namespace.attempt("write", work, None) is not None and is_touched


def _extend(head: Head, now: float, ttl: float | None) -> Head:
    """Return a head with a new lifetime, and with the same stale time after it as before."""
    expires_at = stale_until = None
    if ttl is not None:
        expires_at = now + ttl
        if head.stale_until is not None and head.expires_at is not None:
            stale_until = expires_at + head.stale_until - head.expires_at
    return replace(head, expires_at=expires_at, stale_until=stale_until)


async def pop(namespace: Namespace, key: str) -> Any | Missing:
    """Remove an entry and return its value, or `MISSING`; one of several callers gets it.

    If the store cannot remove the entry, no caller gets the value, because the entry remains.
    """
    taken: list[Record] = []

    def take(record: Record | None) -> None:
        taken[:] = [] if record is None else [record]

    async def work() -> bool:
        engine = namespace.engine
        with namespace.changing([key]):
            await engine.update(key, take)
            if not taken and engine.is_generational:
                # The removal of an absent entry is a change, too. An earlier computation may have
                # stored its value before the generation is raised.
                await engine.begin_and_read([key], supersede=True)
                await engine.update(key, take)
        return True

    is_done = await namespace.attempt("delete", work(), otherwise=False)
    if not is_done or not taken:
        namespace.count_miss(key)
        return MISSING

    namespace.count_removed("deleted", 1, key=key)
    value = await namespace.decode(MemoryEntry(taken[0]))
    if value is not MISSING:
        namespace.count_hit(key, namespace.store_name)
    return value


async def increment(
    namespace: Namespace, key: str, delta: int, initial: int, ttl: float | None
) -> int:
    """Add to an integer and return the sum; an absent entry counts as ``initial``.

    A new entry gets the lifetime in seconds; an existing entry keeps its own.

    Raises:
        TypeError: a number is no int, or the entry holds a value of another type.
        BackendError: the store failed. There is no correct number to return instead.
    """
    for name, number in (("delta", delta), ("initial", initial)):
        if type(number) is not int:
            raise TypeError(f"{name} must be an int; got {type(number).__name__}: {number!r:.80}")
    engine = namespace.engine
    new_record = await engine.make_record(Item(key, initial + delta, ttl))
    result = initial + delta

    def add_delta(record: Record | None) -> Record:
        nonlocal result
        if record is None:
            result = initial + delta
            return new_record
        try:
            number = engine.pipeline.decode_small(key, record.head.codec, record.payload)
        except SecretRequiredError:
            number = None  # a pickled value, which is no int
        if type(number) is not int:
            raise TypeError(
                "the entry must hold an int to be incremented; "
                f"it holds a value of type {type(number).__name__}"
            )
        result = number + delta
        return engine.make_record_like(key, result, record.head)

    try:
        await namespace.update(key, add_delta)
    except (TypeError, SerializationError):
        raise
    except Exception as error:
        raise namespace.make_failure("write", "increment", error) from error
    return result
