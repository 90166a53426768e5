"""What a store cannot tell just now is no reason to remove or to replace anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.base import Change, ReadResult
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.record import Record


class Forgetful(MemoryBackend):
    """A store that sometimes cannot read tags, while it can read everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    peek = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        found = {key: self._place(key).nodes.get(key) for key in keys}
        return {
            key: BackendError("too many open files")
            if self.fails and "+tags:" in key
            else cell.record()
            for key, cell in found.items()
            if cell is not None
        }


@pytest.fixture
def store() -> Forgetful:
    return Forgetful()


@pytest.fixture
async def cache(store: Forgetful) -> AsyncIterator[CacheManager]:
    """One with a tagged number in it; its tag cannot be read any more."""
    async with CacheManager(store, memory_max_bytes=0) as cache:
        await cache.set("n", 5, tags=["t"])
        await cache.set("plain", 1)
        store.fails = True
        yield cache
        store.fails = False
        assert await cache.get("n") == 5


async def test_it_is_not_served_and_the_rest_is(cache: CacheManager) -> None:
    before = (await cache.get_stats()).errors
    assert await cache.get_many(["n", "plain"]) == {"plain": 1}
    assert (await cache.get_stats()).errors == before + 1


async def test_a_number_is_not_counted_anew(cache: CacheManager) -> None:
    with pytest.raises(BackendError, match="too many open files"):
        await cache.incr("n")


async def test_nothing_is_added_in_its_place(cache: CacheManager) -> None:
    assert not await cache.add("n", "another")
    assert not await cache.touch("n", 60)
    assert await cache.pop("n") is None


async def test_it_is_not_cleaned_up(cache: CacheManager) -> None:
    assert await cache.cleanup_expired() == 0
    assert (await cache.get_stats()).expirations == 0


class Stubborn(MemoryBackend):
    """A store in which a change is asked for and cannot be made."""

    fails = True

    async def update(self, key: str, change: Change) -> Record | None:
        if self.fails and "+" not in key:
            change((await self.read([key]))[key])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            raise OSError("read-only file system")
        return await super().update(key, change)


async def test_nobody_gets_what_could_not_be_removed() -> None:
    store = Stubborn()
    async with CacheManager(store) as cache:
        await cache.set("k", 1)
        assert await cache.pop("k") is None
        assert await cache.pop("k", "none") == "none"
        assert (await cache.get_stats()).deletes == 0
        store.fails = False
        popped: Any = await cache.pop("k")
        assert popped == 1
