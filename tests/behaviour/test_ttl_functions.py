"""Times to live that depend on the value, where the value cannot be told just like that."""

from __future__ import annotations

from ctypes import c_int
from pathlib import Path
from typing import Any

import msgspec

from aiocache_pe import CacheManager
from aiocache_pe.engine.engine import Item
from aiocache_pe.record import Record


async def test_what_only_pickle_holds_is_served_in_a_new_process_whatever_its_ttl_asks(
    cache_dir: Path,
) -> None:
    def opened() -> CacheManager:  # as a new process does, which does not know the secret yet
        return CacheManager(directory=cache_dir)

    options: dict[str, Any] = {"ttl": lambda value: value.value, "refresh_ahead": 0.5}
    for _ in range(2):
        async with opened() as cache:
            value = await cache.get_or_set("k", lambda: c_int(100), **options)
            assert value.value == 100
    async with opened() as cache:
        assert (await cache.get_stats()).sets == 1


async def test_what_cannot_be_decoded_any_more_is_computed_whatever_its_ttl_asks(
    cache_dir: Path,
) -> None:
    options: dict[str, Any] = {"ttl": lambda value: len(value) + 100, "refresh_ahead": 0.5}
    async with CacheManager(directory=cache_dir) as cache:
        engine = cache._shared.engine
        record = await engine.make_record(Item("default:k", [1]))
        head = msgspec.structs.replace(record.head, codec="of another version")
        await engine.backend.write([Record(head, record.payload)])
        assert await cache.get_or_set("k", lambda: [2], **options) == [2]
