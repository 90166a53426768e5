"""Checks of a Redis server for ``aiocache-pe doctor``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import suppress

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.key_names import ENTRY_PREFIX
from aiocache_pe.backends.redis.rights import (
    BASIC_RIGHTS,
    CLUSTER_RIGHTS,
    NAME_RIGHTS,
    TIER_RIGHTS,
)
from aiocache_pe.exceptions import AccessDeniedError, BackendError, StoreUnavailableError

_LATENCY_SAMPLES = 20
_SLOW_SECONDS = 0.01  # above that, many cached values are computed as fast
_MAX_CLOCK_DIFFERENCE = 1.0  # seconds; times are translated, but logs of two machines disagree
_MIN_VERSION = (6, 2)  # SET ... PX with GET, tracking, RESP3


async def examine(commands: Commands) -> AsyncIterator[Check]:
    """Yield the result of each check; only the first one if the server cannot be reached."""
    try:
        with suppress(AccessDeniedError):
            await commands.call("GET", ENTRY_PREFIX)
    except BackendError as error:
        yield Check("reachable", "failure", str(error))
        return
    yield Check("reachable", "ok", commands.server)

    checks = {
        "version": _check_version,
        "memory": _check_memory,
        "rights": _check_rights,
        "tracking": _check_tracking,
        "clock": _check_clock,
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


async def _check_rights(commands: Commands) -> Check:
    rights = {**BASIC_RIGHTS, **(CLUSTER_RIGHTS if commands.is_cluster else {})}
    missing = await commands.find_missing_rights(rights)
    if "+get" not in missing:
        missing += await commands.find_missing_rights(NAME_RIGHTS)
    if missing:
        detail = f"the user lacks {' '.join(missing)}: grant them with ACL SETUSER"
        return Check("rights", "failure", detail)
    return Check("rights", "ok", f"all {len(rights)} rights are granted")


async def _check_tracking(commands: Commands) -> Check:
    missing = await commands.find_missing_rights(TIER_RIGHTS)
    if missing:
        detail = f"the user lacks {' '.join(missing)}, so there is no memory tier"
        return Check("tracking", "warning", detail)
    return Check("tracking", "ok", "permitted")


async def _check_clock(commands: Commands) -> Check:
    began = time.time()
    seconds, microseconds = await commands.call_without_key("TIME")
    ended = time.time()
    difference = int(seconds) + int(microseconds) / 1e6 - (began + ended) / 2
    text = f"the server's clock differs by {abs(difference):.3f} s; lifetimes count by it"
    is_far = abs(difference) > _MAX_CLOCK_DIFFERENCE + (ended - began)
    return Check("clock", "warning" if is_far else "ok", text)


async def _check_latency(commands: Commands) -> Check:
    durations: list[float] = []
    for _ in range(_LATENCY_SAMPLES):
        began = time.perf_counter()
        await commands.call("GET", ENTRY_PREFIX)
        durations.append(time.perf_counter() - began)
    median = sorted(durations)[_LATENCY_SAMPLES // 2]
    text = f"{median * 1000:.2f} ms for a read, median of {_LATENCY_SAMPLES}"
    return Check("latency", "ok" if median < _SLOW_SECONDS else "warning", text)
