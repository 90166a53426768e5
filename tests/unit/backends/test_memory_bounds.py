"""The memory store with a bound: what cannot be kept is not said to be."""

from __future__ import annotations

import pytest

from aiocache_pe import BackendError, CacheManager, cached

HEAVY = "x" * 1000


async def test_what_alone_is_too_heavy_is_not_stored(caplog: pytest.LogCaptureFixture) -> None:
    async with CacheManager("memory", max_bytes=500) as cache:
        assert await cache.set_many({"k": "small", "other": 1})
        assert not await cache.set("k", HEAVY)
        assert await cache.get("k") is None  # what was to be replaced is not right any more
        assert not await cache.add("new", HEAVY)
        assert not await cache.set_many({"a": 1, "heavy": HEAVY, "b": 2})
        assert await cache.get_many(["other", "a", "heavy", "b"]) == {"other": 1, "a": 1, "b": 2}
        stats = await cache.get_stats()
    assert (stats.errors, stats.total_entries) == (3, 3)
    assert caplog.text.count("exceeds max_bytes=500") == 1  # it is logged once


async def test_a_number_that_cannot_be_kept_is_not_made_up() -> None:
    async with CacheManager("memory", max_bytes=1) as cache:
        with pytest.raises(BackendError, match="exceeds max_bytes=1"):
            await cache.incr("n")


async def test_a_function_gives_its_result_all_the_same() -> None:
    async with CacheManager("memory", max_bytes=500) as cache:

        @cached(cache=cache)
        async def answer(length: int) -> str:
            return "x" * length

        assert [await answer(1000), await answer(1000)] == [HEAVY, HEAVY]
        assert answer.cache_info() == (0, 2)
        assert (await cache.get_stats()).errors == 2
