"""Functions of the value as ttl, for values that cannot be decoded at once."""

from __future__ import annotations

from ctypes import c_int
from pathlib import Path
from typing import Any

import msgspec

from aiocache_pe import CacheManager
from aiocache_pe.engine.engine import Item
from aiocache_pe.record import Record
from tests.support.internals import get_engine


async def test_a_pickled_value_with_a_ttl_function_is_a_hit_in_a_new_process(
    cache_dir: Path,
) -> None:
    def open_cache() -> CacheManager:  # like a new process, which has not read the secret yet
        return CacheManager(directory=cache_dir)

    options: dict[str, Any] = {"ttl": lambda value: value.value, "refresh_ahead": 0.5}
    for _ in range(2):
        async with open_cache() as cache:
            value = await cache.get_or_set("k", lambda: c_int(100), **options)
            assert value.value == 100
    async with open_cache() as cache:
        assert (await cache.get_stats()).sets == 1


async def test_a_value_that_cannot_be_decoded_is_computed_again(
    cache_dir: Path,
) -> None:
    options: dict[str, Any] = {"ttl": lambda value: len(value) + 100, "refresh_ahead": 0.5}
    async with CacheManager(directory=cache_dir) as cache:
        engine = get_engine(cache)
        record = await engine.make_record(Item("default:k", [1]))
        head = msgspec.structs.replace(record.head, codec="of another version")
        await engine.backend.write([Record(head, record.payload)])
        assert await cache.get_or_set("k", lambda: [2], **options) == [2]
