"""Tags that the store cannot read: their entries are neither served, nor removed or replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.base import Change, ReadResult
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.record import Record


class BackendWithoutTags(MemoryBackend):
    """A store that can fail to read tags while it reads all other entries."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    peek = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        found = {key: MemoryBackend.peek(self, key) for key in keys}
        return {
            key: BackendError("too many open files") if self.fails and "+tags:" in key else record
            for key, record in found.items()
            if record is not None
        }


@pytest.fixture
def store() -> BackendWithoutTags:
    return BackendWithoutTags()


@pytest.fixture
async def cache(store: BackendWithoutTags) -> AsyncIterator[CacheManager]:
    """Yield a cache with a number under a tag that cannot be read any more."""
    async with CacheManager(store, memory_max_bytes=0) as cache:
        await cache.set("n", 5, tags=["t"])
        await cache.set("plain", 1)
        store.fails = True
        yield cache
        store.fails = False
        assert await cache.get("n") == 5


async def test_an_entry_with_an_unreadable_tag_is_not_served(cache: CacheManager) -> None:
    before = (await cache.get_stats()).errors
    assert await cache.get_many(["n", "plain"]) == {"plain": 1}
    assert (await cache.get_stats()).errors == before + 1


async def test_incr_does_not_restart_a_number(cache: CacheManager) -> None:
    with pytest.raises(BackendError, match="too many open files"):
        await cache.incr("n")


async def test_add_does_not_replace_the_entry(cache: CacheManager) -> None:
    assert not await cache.add("n", "another")
    assert not await cache.touch("n", 60)
    assert await cache.pop("n") is None


async def test_cleanup_does_not_remove_the_entry(cache: CacheManager) -> None:
    assert await cache.cleanup_expired() == 0
    assert (await cache.get_stats()).expirations == 0


class ReadOnlyBackend(MemoryBackend):
    """A store that computes a change and then fails to write it."""

    fails = True

    async def update(self, key: str, change: Change) -> Record | None:
        if self.fails and "+" not in key:
            change((await self.read([key]))[key])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            raise OSError("read-only file system")
        return await super().update(key, change)


async def test_pop_of_an_entry_that_cannot_be_removed_returns_nothing() -> None:
    store = ReadOnlyBackend()
    async with CacheManager(store) as cache:
        await cache.set("k", 1)
        assert await cache.pop("k") is None
        assert await cache.pop("k", "none") == "none"
        assert (await cache.get_stats()).deletes == 0
        store.fails = False
        popped: Any = await cache.pop("k")
        assert popped == 1
