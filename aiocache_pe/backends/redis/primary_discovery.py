"""The primary that Sentinels name."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.exceptions import AuthenticationError, RedisError

_GRACE_SECONDS = 0.1  # for the other Sentinels after the first answer


async def find_primary(sentinels: Sentinel, service: str) -> tuple[str, int]:
    """Return the address of a service's primary in the newest configuration.

    All Sentinels are asked at once. After a failover, some of them still name the old primary for a
    moment, and one that was cut off does so for longer. Each failover has a greater epoch.

    Raises:
        AuthenticationError: redis-py's; a Sentinel refuses the credentials.
        MasterNotFoundError: redis-py's; no Sentinel names a primary. The message has the reason of
            each of them.
    """
    asking = {asyncio.ensure_future(_ask(each, service)): each for each in sentinels.sentinels}
    pending, reasons = set(asking), list[str]()
    best: tuple[int, str, int] | None = None
    is_refused = False
    try:
        while pending:
            timeout = None if best is None else _GRACE_SECONDS
            done, pending = await asyncio.wait(
                pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                try:
                    answer = task.result()
                except (RedisError, OSError) as error:
                    is_refused |= isinstance(error, AuthenticationError)
                    reasons.append(f"{_get_address(asking[task])}: {str(error)[:100]}")
                else:
                    best = answer if best is None else max(best, answer)
    finally:
        for task in pending:
            task.cancel()
    if best is None:
        text = f"no Sentinel names a primary of {service!r} ({'; '.join(reasons)})"
        raise AuthenticationError(text) if is_refused else MasterNotFoundError(text)
    return best[1:]


async def _ask(sentinel: Redis, service: str) -> tuple[int, str, int]:
    """Return the epoch and the address of a service's primary, as one Sentinel sees it."""
    services: Any = await sentinel.sentinel_masters()
    state = services.get(service)
    if state is None:
        raise MasterNotFoundError(f"it knows no service {service!r}")
    if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
        raise MasterNotFoundError(f"the primary {state['ip']}:{state['port']} is down")
    return int(state["config-epoch"]), str(state["ip"]), int(state["port"])


def _get_address(sentinel: Redis) -> str:
    settings = sentinel.connection_pool.connection_kwargs
    return f"{settings['host']}:{settings['port']}"
