"""Checks of a Redis server for ``aiocache-pe doctor``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.key_names import ENTRY_PREFIX
from aiocache_pe.exceptions import BackendError, StoreUnavailableError

_LATENCY_SAMPLES = 20
_SLOW_SECONDS = 0.01  # above that, many cached values are computed as fast
_MIN_VERSION = (6, 2)  # SET ... PX with GET, tracking, RESP3


async def examine(commands: Commands) -> AsyncIterator[Check]:
    """Yield the result of each check; only the first one if the server cannot be reached."""
    try:
        await commands.call("GET", ENTRY_PREFIX)
    except BackendError as error:
        yield Check("reachable", "failure", str(error))
        return
    yield Check("reachable", "ok", commands.server)

    checks = {
        "version": _check_version,
        "memory": _check_memory,
        "tracking": _check_tracking,
        "scripts": _check_scripts,
        "latency": _check_latency,
    }
    for name, check in checks.items():
        try:
            yield await check(commands)
        except StoreUnavailableError as error:
            yield Check(name, "failure", str(error))
        except BackendError as error:
            yield Check(name, "warning", f"cannot be determined: {error}")


async def _check_version(commands: Commands) -> Check:
    info = await commands.call_without_key("INFO", "server")
    version = str(info.get("valkey_version") or info.get("redis_version", "unknown"))
    name = "Valkey" if "valkey_version" in info else "Redis"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _MIN_VERSION:
        return Check("version", "failure", f"{name} {version}; 6.2 or later is needed")
    return Check("version", "ok", f"{name} {version}")


async def _check_memory(commands: Commands) -> Check:
    info = await commands.call_without_key("INFO", "memory")
    policy, limit = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0))
    if not limit:
        return Check("memory", "warning", "maxmemory is not set, so the cache has no limit")
    setting = f"maxmemory {limit:,} bytes, policy {policy}"
    if policy == "noeviction":
        return Check("memory", "warning", f"{setting}: a full server stores no more entries")
    if policy.startswith("volatile"):
        return Check("memory", "warning", f"{setting}: entries without a TTL are never evicted")
    if policy == "allkeys-random":
        return Check("memory", "warning", f"{setting}: evicts used entries as often as unused ones")
    return Check("memory", "ok", setting)


async def _check_tracking(commands: Commands) -> Check:
    refusal = Check("tracking", "warning", "not permitted, so no memory tier")
    return await _check_permission(refusal, commands.call_without_key("CLIENT", "TRACKING", "OFF"))


async def _check_scripts(commands: Commands) -> Check:
    refusal = Check("scripts", "failure", "EVAL is not permitted, and atomic changes need it")
    script = "return redis.call('GET', KEYS[1])"
    return await _check_permission(refusal, commands.call("EVAL", script, 1, ENTRY_PREFIX))


async def _check_permission(refusal: Check, attempt: Awaitable[object]) -> Check:
    try:
        await attempt
    except StoreUnavailableError:
        raise
    except BackendError as error:
        return refusal._replace(detail=f"{refusal.detail}: {error}")
    return Check(refusal.name, "ok", "permitted")


async def _check_latency(commands: Commands) -> Check:
    durations: list[float] = []
    for _ in range(_LATENCY_SAMPLES):
        began = time.perf_counter()
        await commands.call("GET", ENTRY_PREFIX)
        durations.append(time.perf_counter() - began)
    median = sorted(durations)[_LATENCY_SAMPLES // 2]
    text = f"{median * 1000:.2f} ms for a read, median of {_LATENCY_SAMPLES}"
    return Check("latency", "ok" if median < _SLOW_SECONDS else "warning", text)
