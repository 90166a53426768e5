"""Leases on the miss path: one of all processes, threads and event loops computes a key.

A caller that finds no entry asks the store for the key's lease (`backends.base.Leasing`) before
it computes. Callers that fail to acquire the lease poll the store, every 20 ms at first and
every 200 ms at most. They stop when the value is stored, when the lease becomes free because
its holder failed or died, or when their time to wait has passed. A caller does not wait for a
holder in its own process that waits for this caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Self, TypeVar

from aiocache_pe.backends.base import Lease
from aiocache_pe.engine.computation import Computation
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.runtime import wait_graph
from aiocache_pe.runtime.randomness import vary
from aiocache_pe.runtime.wait_graph import WaitNode
from aiocache_pe.sentinels import MISSING, Missing

T = TypeVar("T")
_MIN_PAUSE, _MAX_PAUSE = 0.02, 0.2  # seconds between two attempts
_PAUSE_GROWTH = 1.5


class HeldLease(WaitNode):
    """The right to compute a key; an ``async with`` block releases it.

    A nested call for the same key computes at once: waiting for itself would never end. Without
    a lease of the store, no other process is kept waiting. The namespace knows the holder of each
    lease of the store in this process.

    Args:
        namespace: the namespace.
        lease: the lease of the store; ``None`` without one.
        computation: the computation of the key.

    Attributes:
        key: the store key; ``None`` once the lease is released. Tasks that were started while
            the lease was held can outlive it.
    """

    __slots__ = ("_computation", "_lease", "_namespace", "key")

    def __init__(self, namespace: Namespace, lease: Lease | None, computation: Computation) -> None:
        super().__init__(asyncio.get_running_loop())
        self._namespace = namespace
        self._lease = lease
        self._computation = computation
        self.key: str | None = computation.key
        if lease is not None:
            namespace.lease_holders[computation.key] = self

    @property
    def is_outdated(self) -> bool:
        """Return whether this process has changed the key, so that no caller needs to wait."""
        return self._computation.is_raised_here

    def enter(self) -> None:
        """Mark the current context, so that nested calls find the lease."""
        wait_graph.enter(self)

    async def release(self) -> None:
        """Release the lease; a second call does nothing."""
        key, self.key, lease, self._lease = self.key, None, self._lease, None
        if lease is not None:
            if key is not None and self._namespace.lease_holders.get(key) is self:
                del self._namespace.lease_holders[key]
            await self._namespace.attempt("lease", lease.release(), None)

    async def __aenter__(self) -> Self:
        self.enter()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.release()


def iter_pauses() -> Iterator[float]:
    """Yield the pauses between attempts, in seconds, without an end."""
    pause = _MIN_PAUSE
    while True:
        yield vary(pause)
        pause = min(pause * _PAUSE_GROWTH, _MAX_PAUSE)


class LeaseWaiter:
    """Acquires the leases of a namespace, or waits until their holders have stored a value."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def get_or_acquire(
        self,
        computation: Computation,
        get: Callable[[], Awaitable[T | Missing]],
        max_wait: float | None,
    ) -> tuple[T | Missing, HeldLease]:
        """Return the value of a key, or the lease to compute it.

        Args:
            computation: the computation of the key.
            get: begins the computation, and returns the value or `MISSING`.
            max_wait: seconds to wait for other holders, after which the caller computes without
                the store's lease; ``None`` does not ask the store for a lease.

        Returns:
            The value and a lease that is released, or `MISSING` and a lease that is held.
        """
        pauses, time = iter_pauses(), asyncio.get_running_loop().time
        deadline = time() + (max_wait or 0.0)
        while True:
            lease = await self._try_acquire(computation, max_wait)
            try:
                found = await get()
            except BaseException:
                if lease is not None:
                    await lease.release()
                raise

            time_left = deadline - time()
            holders = (
                self._find_holders(computation.key) if lease is None and found is MISSING else ()
            )
            if any(map(wait_graph.depends_on_caller, holders)):
                time_left = 0.0  # the holder waits for this caller
            if lease is None and (found is not MISSING or time_left <= 0):
                lease = HeldLease(self._namespace, None, computation)
            if lease is not None:
                if found is not MISSING:
                    await lease.release()
                return found, lease

            with wait_graph.wait_for(holders):
                await asyncio.sleep(min(time_left, next(pauses)))

    def _find_holders(self, key: str) -> tuple[WaitNode, ...]:
        """Return the holder of a lease if it is known, as it is in this process."""
        holder = self._namespace.lease_holders.get(key)
        return () if holder is None else (holder,)

    async def _try_acquire(
        self, computation: Computation, max_wait: float | None
    ) -> HeldLease | None:
        namespace, key = self._namespace, computation.key
        if max_wait is None or is_held_by_caller(key):
            return HeldLease(namespace, None, computation)
        lease = await namespace.try_lease(computation)
        if lease is None:
            holder = namespace.lease_holders.get(key)
            if not isinstance(holder, HeldLease) or not holder.is_outdated:
                return None
        return HeldLease(namespace, lease, computation)


def is_held_by_caller(key: str) -> bool:
    """Return whether the calling code runs, at any depth, inside the computation of a key."""
    callers = wait_graph.get_callers()
    return any(isinstance(each, HeldLease) and each.key == key for each in callers)
