"""Leases by the `Lock` of `redis.asyncio`: a name with a token that expires unless renewed.

The token makes sure that nobody gives back what is another's by now; the short life,
that others need not wait long for a holder that died; the renewal, that a holder may
work for as long as it likes (redis.io, "Distributed Locks with Redis").
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from uuid import uuid4

from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisClusterException, RedisError

from aiocache_pe.backends.redis.clients import Clients
from aiocache_pe.backends.redis.errors import translated
from aiocache_pe.backends.redis.names import lease_name

LIFE = 3.0
"""Seconds that a lease outlives its holder."""

_RENEWED = 0.5  # seconds between two renewals
_TROUBLE = (RedisError, RedisClusterException, OSError)


class RedisLease:
    """A lease that is held, and renewed in the loop that took it.

    Args:
        lock: just acquired.
    """

    def __init__(self, lock: Lock, until: float) -> None:
        self._lock = lock
        self._until = until
        self._owned = True
        self._renewal = asyncio.ensure_future(self._renew())

    @property
    def is_lost(self) -> bool:
        """See `Lease.is_lost`."""
        return not self._owned or time.monotonic() >= self._until

    async def release(self) -> None:
        """See `Lease.release`."""
        self._renewal.cancel()
        if self._owned:
            self._owned = False
            await asyncio.shield(asyncio.ensure_future(_release(self._lock)))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEWED)
            begun = time.monotonic()
            try:
                await self._lock.reacquire()
            except LockError:
                self._owned = False
                return
            except _TROUBLE:  # it may come back before the lease is over
                continue
            self._until = begun + LIFE


async def take(clients: Clients, key: str, place: str) -> RedisLease | None:
    """See `Leasing.try_lease`; one that comes after the caller has gone is given back."""
    lock = Lock(
        clients.link().client, lease_name(key), timeout=LIFE, blocking=False, thread_local=False
    )
    taking = asyncio.ensure_future(_take(clients, lock, place))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        taking.add_done_callback(_give_back)
        raise


async def _take(clients: Clients, lock: Lock, place: str) -> RedisLease | None:
    begun = time.monotonic()
    with translated(place):
        async with clients.link().limit:
            taken = await lock.acquire(token=uuid4().hex)
    return RedisLease(lock, begun + LIFE) if taken else None


_returning: set[asyncio.Task[None]] = set()


def _give_back(taking: asyncio.Future[RedisLease | None]) -> None:
    if taking.cancelled() or taking.exception() is not None:
        return
    lease = taking.result()
    if lease is not None:
        task = asyncio.ensure_future(lease.release())
        _returning.add(task)
        task.add_done_callback(_returning.discard)


async def _release(lock: Lock) -> None:
    with suppress(*_TROUBLE):  # lost, or out of reach: then it ends by itself
        await lock.release()
