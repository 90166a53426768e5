"""Copies of a shared result for further callers."""

from __future__ import annotations

from aiocache_pe import CacheManager
from aiocache_pe.loading.copying import Outcome
from tests.support.internals import get_engine
from tests.support.servers.redis_server import Server


async def test_a_copy_is_not_that_of_a_replaced_entry_in_memory(own_redis: Server) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, fallback=None) as cache:
        engine, key = get_engine(cache), "default:k"
        await cache.set("k", ["old"])
        while engine.get_current_entry(key) is None:  # until the listener is connected
            assert await cache.get("k") == ["old"]
        await cache.set("k", ["new"])
        assert engine.get_tier_entry(key) is not None
        outcome = Outcome(["new"], "miss", is_stored=True)
        outcome.prepare_copies(engine, key)
        assert outcome.copy(engine) == ["new"]
