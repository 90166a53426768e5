"""Leases: a name with a token that expires unless it is renewed.

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

from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.key_names import (
    make_entry_name,
    make_generation_name,
    make_lease_name,
)
from aiocache_pe.backends.redis.scripts import RELEASE_LEASE, RENEW_LEASE, TAKE_LEASE
from aiocache_pe.exceptions import AccessDeniedError, BackendError, CacheError

LEASE_SECONDS = 3.0
"""Seconds after its holder's death until a lease expires."""

RENEWAL_SECONDS = 0.5
"""Seconds between two renewals."""


class RedisLease:
    """A held lease, which is renewed in the event loop that acquired it.

    Args:
        commands: commands to the server.
        name: the name of the lease.
        token: the token of this holder.
    """

    def __init__(self, commands: Commands, name: bytes, token: str) -> None:
        self._commands = commands
        self._name = name
        self._token = token
        self._is_held = True
        self._denial: AccessDeniedError | None = None
        self._renewal = asyncio.ensure_future(self._renew())

    async def release(self) -> None:
        """See `Lease.release`.

        Raises:
            AccessDeniedError: the server refuses to renew or to release the lease.
        """
        self._renewal.cancel()
        if self._is_held:
            self._is_held = False
            await asyncio.shield(self._commands.clients.get_link().start(self._give_back()))
        denial, self._denial = self._denial, None
        if denial is not None:
            raise denial if denial.right else await self._commands.name_rights(denial)

    async def _renew(self) -> None:
        call = ([self._name], [self._token, _format_lifetime()])
        while self._is_held:
            await asyncio.sleep(RENEWAL_SECONDS)
            try:
                self._is_held = bool(await self._commands.run(RENEW_LEASE, call))
            except BackendError as error:  # the server may return before the lease expires
                self._note(error)

    async def _give_back(self) -> None:
        try:
            await self._commands.run(RELEASE_LEASE, ([self._name], [self._token]))
        except BackendError as error:  # a lease that cannot be released expires
            self._note(error)

    def _note(self, error: BackendError) -> None:
        if isinstance(error, AccessDeniedError):
            self._denial = error


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
    acquiring = link.start(_acquire(commands, key, version, generation))
    try:
        return await asyncio.shield(acquiring)
    except asyncio.CancelledError:
        link.start(_release_unclaimed(acquiring))
        raise


async def _acquire(
    commands: Commands, key: str, version: str, generation: bytes
) -> RedisLease | None:
    entry, token = make_entry_name(key), uuid4().hex
    name = make_lease_name(entry)
    if version:
        args = (token, version, _format_lifetime(), generation)
        is_acquired = await commands.run(TAKE_LEASE, ([name, make_generation_name(entry)], args))
        token = f"{token} {version}"
    else:
        is_acquired = await commands.call("SET", name, token, "NX", "PX", _format_lifetime())
    return RedisLease(commands, name, token) if is_acquired else None


def _format_lifetime() -> str:
    return str(round(LEASE_SECONDS * 1000))


async def _release_unclaimed(acquiring: asyncio.Task[RedisLease | None]) -> None:
    with suppress(CacheError):  # the lease was not acquired
        if (lease := await acquiring) is not None:
            await lease.release()
