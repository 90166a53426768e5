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

from aiocache_pe.backends.redis.clients import Clients, LoopLink
from aiocache_pe.backends.redis.errors import translate_errors
from aiocache_pe.backends.redis.key_names import make_lease_name
from aiocache_pe.exceptions import CacheError

LIFE = 3.0
"""Seconds that a lease outlives its holder."""

_RENEWED = 0.5  # seconds between two renewals
_TROUBLE = (RedisError, RedisClusterException, OSError)


class RedisLease:
    """A lease that is held, and renewed in the loop that took it.

    Args:
        clients: where another client is from, if this one is closed while the lease is held.
        link: the loop's, by which it was taken.
        lock: just acquired.
        until: when it ends unless renewed, on the monotonic clock.
    """

    def __init__(self, clients: Clients, link: LoopLink, lock: Lock, until: float) -> None:
        self._clients = clients
        self._link = link
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
            await asyncio.shield(self._current().begin(self._give_back()))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEWED)
            begun = time.monotonic()
            try:
                link = self._current()
                self._lock.redis = link.client
                async with link.limit:
                    await self._lock.reacquire()
            except LockError:
                self._owned = False
                return
            except _TROUBLE:  # it may come back before the lease is over
                continue
            self._until = begun + LIFE

    async def _give_back(self) -> None:
        with suppress(*_TROUBLE):  # lost, or out of reach: then it ends by itself
            link = self._current()
            self._lock.redis = link.client
            async with link.limit:
                await self._lock.release()

    def _current(self) -> LoopLink:
        if self._link.is_closed:
            self._link = self._clients.link()
        return self._link


async def try_acquire(clients: Clients, key: str, place: str) -> RedisLease | None:
    """See `Leasing.try_lease`; one that comes after the caller has gone is given back."""
    link = clients.link()
    taking = link.begin(_take(clients, link, key, place))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        link.begin(_unwanted(taking))
        raise


async def _take(clients: Clients, link: LoopLink, key: str, place: str) -> RedisLease | None:
    begun = time.monotonic()
    lock = Lock(link.client, make_lease_name(key), timeout=LIFE, blocking=False, thread_local=False)
    with translate_errors(place):
        async with link.limit:
            taken = await lock.acquire(token=uuid4().hex)
    return RedisLease(clients, link, lock, begun + LIFE) if taken else None


async def _unwanted(taking: asyncio.Task[RedisLease | None]) -> None:
    with suppress(CacheError):  # it was not to be had anyway
        if (lease := await taking) is not None:
            await lease.release()
