"""``cache.cached``: the decorator with the cache as a setting, for both managers."""

from __future__ import annotations

import pytest

from aiocache_pe import CacheManager, ConfigurationError
from aiocache_pe import sync as blocking


async def test_the_decorator_of_a_cache_stores_results_there(cache: CacheManager) -> None:
    @cache.cached
    async def double(number: int) -> int:
        return 2 * number

    @cache.cached(key="{number}", key_prefix="half")
    async def half(number: int) -> float:
        return number / 2

    assert [await double(2), await double(2), await half(1)] == [4, 4, 0.5]
    assert double.cache_info()[:2] == (1, 1)
    assert double.cache is cache
    assert await cache.get("half:1") == 0.5


def test_the_decorator_of_a_blocking_cache_stores_results_there() -> None:
    with blocking.CacheManager("memory") as cache:

        @cache.cached(ttl="1h")
        def double(number: int) -> int:
            return 2 * number

        assert [double(2), double(2)] == [4, 4]
        assert double.cache == cache
        assert len(list(cache)) == 1


def test_the_decorator_of_a_cache_takes_no_other_store() -> None:
    with pytest.raises(ConfigurationError, match="cache= and backend= name two stores"):
        CacheManager("memory").cached(backend="file")
