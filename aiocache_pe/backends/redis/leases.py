"""Leases over the `Lock` of `redis.asyncio`: a name with a token that expires unless it is renewed.

The token ensures that no holder releases the lease of another one. The short lifetime ensures that
callers need not wait long after a holder has died. The renewal lets a holder work for as long as it
needs (redis.io, "Distributed Locks with Redis").

The token of an entry with tags ends with their version. A caller with another version takes the
lease away: a tag was deleted since the holder began, so its result would be a miss. The generation
is raised at the same time, so that this result does not replace a newer one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import uuid4

from redis.asyncio.lock import Lock
from redis.exceptions import LockError

from aiocache_pe.backends.redis.clients import Clients, LoopLink
from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.errors import (
    CLIENT_ERRORS,
    is_denied,
    translate_error,
    translate_errors,
)
from aiocache_pe.backends.redis.key_names import (
    make_entry_name,
    make_generation_name,
    make_lease_name,
)
from aiocache_pe.backends.redis.scripts import TAKE_LEASE
from aiocache_pe.exceptions import AccessDeniedError, CacheError

LEASE_SECONDS = 3.0
"""Seconds after its holder's death until a lease expires."""

RENEWAL_SECONDS = 0.5
"""Seconds between two renewals."""


class RedisLease:
    """A held lease, which is renewed in the event loop that acquired it.

    Args:
        clients: give another client if the present one is closed while the lease is held.
        link: the link over which the lease was acquired.
        lock: the acquired lock.
        commands: commands to the server, which name a missing right.
    """

    def __init__(self, clients: Clients, link: LoopLink, lock: Lock, commands: Commands) -> None:
        self._clients = clients
        self._link = link
        self._lock = lock
        self._is_held = True
        self._commands = commands
        self._denial: BaseException | None = None
        self._renewal = asyncio.ensure_future(self._renew())

    async def release(self) -> None:
        """See `Lease.release`.

        Raises:
            AccessDeniedError: the server refuses to renew or to release the lease.
        """
        self._renewal.cancel()
        if self._is_held:
            self._is_held = False
            await asyncio.shield(self._get_link().start(self._release_lock()))
        denial, self._denial = self._denial, None
        if denial is not None:
            error = translate_error(denial, self._commands.server)
            if isinstance(error, AccessDeniedError) and not error.right:
                error = await self._commands.name_rights(error)
            raise error

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            try:
                async with self._get_link().limit:
                    await self._lock.reacquire()
            except LockError:
                self._is_held = False
                return
            except CLIENT_ERRORS as error:  # the server may return before the lease expires
                self._note(error)

    async def _release_lock(self) -> None:
        try:
            async with self._get_link().limit:
                await self._lock.release()
        except CLIENT_ERRORS as error:  # a lease that cannot be released expires
            self._note(error)

    def _note(self, error: Exception) -> None:
        if is_denied(error):
            self._denial = error

    def _get_link(self) -> LoopLink:
        if self._link.is_closed:
            self._link = self._clients.get_link()
            self._lock.redis = self._link.client
        return self._link


async def try_acquire(
    commands: Commands, key: str, version: str, generation: bytes
) -> RedisLease | None:
    """See `Leasing.try_lease`; a lease acquired after its caller was cancelled is released.

    Args:
        commands: commands to the server.
        key: a store key.
        version: the version of the entry's tags.
        generation: a new token for the generation, if the lease is taken from another caller.
    """
    link = commands.clients.get_link()
    acquiring = link.start(_acquire(commands, link, key, version, generation))
    try:
        return await asyncio.shield(acquiring)
    except asyncio.CancelledError:
        link.start(_release_unclaimed(acquiring))
        raise


async def _acquire(
    commands: Commands, link: LoopLink, key: str, version: str, generation: bytes
) -> RedisLease | None:
    name, token = make_lease_name(make_entry_name(key)), uuid4().hex
    lock = Lock(link.client, name, timeout=LEASE_SECONDS, blocking=False, thread_local=False)
    if version:
        names = [name, make_generation_name(make_entry_name(key))]
        args = (token, version, str(round(LEASE_SECONDS * 1000)), generation)
        is_acquired = bool(await commands.run(TAKE_LEASE, (names, args)))
        lock.local.token = f"{token} {version}".encode()
    else:
        with translate_errors(commands.server):
            async with link.limit:
                is_acquired = await lock.acquire(token=token)
    return RedisLease(commands.clients, link, lock, commands) if is_acquired else None


async def _release_unclaimed(acquiring: asyncio.Task[RedisLease | None]) -> None:
    with suppress(CacheError):  # the lease was not acquired
        if (lease := await acquiring) is not None:
            await lease.release()
