"""Locks of keys for users: a lease of the store that lasts for a block.

A lock has a lease of its own, in an internal area of the store. The lease of a computation would be
released by a change of the entry, and a block usually changes the entry.
"""

from __future__ import annotations

import asyncio
import os

from aiocache_pe.backends.base import Lease, Leasing
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.exceptions import (
    ConfigurationError,
    DeadlockError,
    LockTimeoutError,
)
from aiocache_pe.keys.store_keys import make_internal_prefix
from aiocache_pe.loading.lease_wait import iter_pauses
from aiocache_pe.runtime.loops import get_loop


class KeyLock:
    """The lock of a key, held by an ``async with`` block; see `CacheManager.lock`.

    Args:
        namespace: the namespace of the key.
        key: the key.
        max_wait: seconds to wait for other holders.
        owner: the thread that acquires the lock, which cannot wait for itself; by default the task.

    Raises:
        ConfigurationError: the store has no leases.
    """

    def __init__(
        self,
        namespace: Namespace,
        key: str,
        max_wait: float,
        owner: object = None,
    ) -> None:
        store = namespace.engine.backend
        # Without caching, a lock still holds among the tasks and threads of the process.
        if not isinstance(store, Leasing) and store.name != "null":
            raise ConfigurationError(
                f"lock needs a store with leases; the {store.name} store has none; use the file, "
                "the Redis or the memory store"
            )
        self._namespace = namespace
        self._key = key
        self._store_key = make_internal_prefix(namespace.prefix, "locks") + key
        self._max_wait = max_wait
        self._lease: Lease | None = None
        self._owner = owner
        self._process = 0
        self._was_entered = False

    async def __aenter__(self) -> None:
        time = get_loop().time
        if self._was_entered:
            raise RuntimeError("each block needs a lock of its own; call lock() again")
        self._was_entered = True
        self._owner, self._process = self._owner or asyncio.current_task(), os.getpid()
        pauses, deadline = iter_pauses(), time() + self._max_wait
        while not await self._try_acquire():
            time_left = deadline - time()
            if time_left <= 0:
                raise LockTimeoutError(
                    f"the lock of key {self._key!r:.200} in namespace {self._namespace.name!r} "
                    f"was not released within {self._max_wait:g} s"
                )
            await asyncio.sleep(min(time_left, next(pauses)))

    async def __aexit__(self, *error: object) -> None:
        """Release the lock, unless it is not held; a forked child leaves it to its parent."""
        lease, self._lease = self._lease, None
        try:
            if lease is not None and self._process == os.getpid():
                await self._namespace.attempt("lease", lease.release(), None)
        finally:
            self._leave()

    async def _try_acquire(self) -> bool:
        holder = self._enter()
        if holder is not self:
            if holder._owner == self._owner:  # noqa: SLF001 - of the same class
                raise DeadlockError(
                    f"the lock of key {self._key!r:.200} is held by the same task or thread, "
                    "which would wait for itself"
                )
            return False
        try:
            self._lease = await self._try_lease()
        finally:
            if self._lease is None:
                self._leave()
        return self._lease is not None

    async def _try_lease(self) -> Lease | None:
        namespace = self._namespace
        try:
            return await namespace.engine.try_lease(self._store_key, "")
        except Exception as error:
            raise namespace.make_failure("lease", "lock", error) from error

    def _enter(self) -> KeyLock:
        """Return the holder of the lock in this process, which is this one if there is no other."""
        holders = self._namespace.lock_holders
        holder: KeyLock = holders.setdefault(self._store_key, self)
        if holder._process != self._process:
            holder = holders[self._store_key] = self
        return holder

    def _leave(self) -> None:
        holders = self._namespace.lock_holders
        if holders.get(self._store_key) is self:
            del holders[self._store_key]
