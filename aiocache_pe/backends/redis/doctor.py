"""Whether a Redis server is fit to be a cache, for ``aiocache-pe doctor``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import RedisCluster

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.redis.clients import Client, Clients
from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.errors import translate_errors
from aiocache_pe.backends.redis.key_names import ENTRIES
from aiocache_pe.exceptions import BackendError, StoreUnavailableError

_ASKED = 20
_SLOW = 0.01  # seconds; above that, much of what is cached is computed as fast
_OLDEST = (6, 2)  # SET ... PX with GET, tracking, RESP3


async def examine(clients: Clients, commands: Commands) -> AsyncIterator[Check]:
    """Ask the server about itself."""
    try:
        await commands.call("GET", ENTRIES)
    except BackendError as error:
        yield Check("reachable", "failure", str(error))
        return
    yield Check("reachable", "ok", commands.place)
    for look in (_version, _memory, _tracking, _scripts, _latency):
        try:
            yield await look(clients, commands)
        except StoreUnavailableError as error:
            yield Check(look.__name__.strip("_"), "failure", str(error))
        except BackendError as error:
            yield Check(look.__name__.strip("_"), "warning", f"cannot be told: {error}")


async def _version(clients: Clients, commands: Commands) -> Check:
    info = await _info(clients, commands, "server")
    version = str(info.get("valkey_version") or info.get("redis_version", "unknown"))
    name = "Valkey" if "valkey_version" in info else "Redis"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        return Check("version", "failure", f"{name} {version}; 6.2 or later is needed")
    return Check("version", "ok", f"{name} {version}")


async def _memory(clients: Clients, commands: Commands) -> Check:
    info = await _info(clients, commands, "memory")
    policy, limit = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0))
    if not limit:
        return Check("memory", "warning", "no maxmemory is set, so nothing bounds the cache")
    shown = f"maxmemory {limit:,} bytes, policy {policy}"
    if policy == "noeviction":
        return Check("memory", "warning", f"{shown}: when it is full, nothing more is stored")
    if policy.startswith("volatile"):
        return Check("memory", "warning", f"{shown}: entries without a TTL are never evicted")
    if policy == "allkeys-random":
        return Check("memory", "warning", f"{shown}: evicts what is used as much as what is not")
    return Check("memory", "ok", shown)


async def _tracking(clients: Clients, commands: Commands) -> Check:
    try:
        await _asked(clients, commands, "CLIENT", "TRACKING", "OFF")
    except StoreUnavailableError:
        raise
    except BackendError as error:
        return Check("tracking", "warning", f"not permitted, so no memory tier: {error}")
    return Check("tracking", "ok", "permitted")


async def _scripts(clients: Clients, commands: Commands) -> Check:
    try:
        await commands.call("EVAL", "return redis.call('GET', KEYS[1])", 1, ENTRIES)
    except StoreUnavailableError:
        raise
    except BackendError as error:
        return Check(
            "scripts", "failure", f"EVAL is not permitted, and atomic changes need it: {error}"
        )
    return Check("scripts", "ok", "permitted")


async def _latency(clients: Clients, commands: Commands) -> Check:
    times: list[float] = []
    for _ in range(_ASKED):
        begun = time.perf_counter()
        await commands.call("GET", ENTRIES)
        times.append(time.perf_counter() - begun)
    middle = sorted(times)[_ASKED // 2]
    return Check(
        "latency",
        "ok" if middle < _SLOW else "warning",
        f"{middle * 1000:.2f} ms for a read, median of {_ASKED}",
    )


async def _asked(clients: Clients, commands: Commands, *command: str) -> None:
    """A command that concerns no key; of a Cluster, any primary is asked."""
    link = clients.link()
    client = link.client
    if not isinstance(client, RedisCluster):
        await commands.call(*command)
        return
    with translate_errors(commands.place):
        async with link.limit:
            await client.initialize()
            await client.get_random_primary_node().execute_command(*command)


async def _info(clients: Clients, commands: Commands, section: str) -> dict[str, Any]:
    link = clients.link()
    client = link.client
    with translate_errors(commands.place):
        async with link.limit:
            return await _info_of(client, section)


async def _info_of(client: Client, section: str) -> dict[str, Any]:
    if isinstance(client, RedisCluster):
        await client.initialize()
        node = client.get_random_primary_node()
        return dict(await client.info(section, target_nodes=node))
    return dict(await client.info(section))
