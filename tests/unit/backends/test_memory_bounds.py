"""The memory store with a bound: what cannot be kept is not said to be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

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


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set("popular", 2),
        lambda cache: cache.touch("popular", ttl=60),
        lambda cache: cache.incr("popular"),
    ],
    ids=["set", "touch", "incr"],
)
async def test_lfu_forgets_no_use_of_what_is_changed(
    change: Callable[[CacheManager], Awaitable[object]],
) -> None:
    async with CacheManager("memory", max_entries=2, eviction="lfu") as cache:
        await cache.set_many({"popular": 1, "other": 1})
        for _ in range(3):
            assert await cache.get("popular") == 1
        assert await cache.get("other") == 1
        await change(cache)
        await cache.set("new", 1)
        assert await cache.get_many(["popular", "other", "new"]) != {}
        assert await cache.get("other") is None
        assert await cache.get("popular") is not None
        stats = await cache.get_stats()
    assert stats.hits == 7  # each of them told once


async def test_the_memory_tier_forgets_no_use_of_what_is_written_anew(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, eviction="lfu") as cache:
        await cache.set("k", 1)
        for number in range(3):
            assert await cache.get("k") == 1 + number
            await cache.set("k", 2 + number)
        tier = cache._shared.engine.tier
        assert tier is not None
        slot = tier.nodes["default:k"]
        assert (slot.hits, slot.counted) == (3, 3)
        stats = await cache.get_stats()
    assert (stats.hits, stats.sets) == (3, 4)
