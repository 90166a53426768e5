"""Leases over Redis: they last as long as their holders."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.key_names import make_entry_name, make_lease_name
from tests.support.polling import poll
from tests.support.servers.redis_server import Server


@pytest.mark.usefixtures("lasting_leases")
async def test_a_held_lease_is_renewed(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    held = await backend.try_lease("renewed")
    assert held is not None
    with Redis.from_url(redis_server.url) as admin:
        admin.pexpire(make_lease_name(make_entry_name("renewed")), 30_000)
        await poll(lambda: admin.pttl(make_lease_name(make_entry_name("renewed"))) > 40_000)
    assert await backend.try_lease("renewed") is None
    await held.release()
    await backend.close()


async def test_the_release_of_a_lost_lease_leaves_the_new_holder_alone(
    redis_server: Server,
) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    held = await backend.try_lease("lost")
    assert held is not None
    with Redis.from_url(redis_server.url) as admin:
        admin.delete(make_lease_name(make_entry_name("lost")))
    other = await backend.try_lease("lost")
    assert other is not None
    await held.release()
    assert await backend.try_lease("lost") is None
    await other.release()
    await backend.close()


async def test_a_lease_of_a_killed_server_is_released_without_an_error(own_redis: Server) -> None:
    backend = RedisBackend(own_redis.url, tracking=False)
    held = await backend.try_lease("k")
    assert held is not None
    own_redis.kill()
    await held.release()
    await asyncio.sleep(0)
    await backend.close()


async def test_many_leases_released_together_can_be_acquired_again(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    for _ in range(2):
        leases = await asyncio.gather(*(backend.try_lease(f"many{n}") for n in range(100)))
        held = [lease for lease in leases if lease is not None]
        assert len(held) == 100
        await asyncio.gather(*(lease.release() for lease in held))
    await backend.close()
