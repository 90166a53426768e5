"""Opening and closing of a manager: by `close`, by ``async with``, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aiocache_pe import CacheClosedError, CacheManager
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.polling import poll


async def list_keys(cache: CacheManager) -> list[str]:
    return [key async for key in cache.keys("*")]


VERBS: dict[str, Callable[[CacheManager], Awaitable[object]]] = {
    "get": lambda cache: cache.get("k"),
    "set": lambda cache: cache.set("k", 1),
    "add": lambda cache: cache.add("k", 1),
    "delete": lambda cache: cache.delete("k"),
    "exists": lambda cache: cache.exists("k"),
    "get_ttl": lambda cache: cache.get_ttl("k"),
    "touch": lambda cache: cache.touch("k", 1),
    "pop": lambda cache: cache.pop("k"),
    "incr": lambda cache: cache.incr("n"),
    "decr": lambda cache: cache.decr("n"),
    "get_many": lambda cache: cache.get_many(["k"]),
    "set_many": lambda cache: cache.set_many({"k": 1}),
    "delete_many": lambda cache: cache.delete_many(["k"]),
    "get_or_set": lambda cache: cache.get_or_set("k", lambda: 1),
    "invalidate": lambda cache: cache.invalidate("*"),
    "delete_by_tag": lambda cache: cache.delete_by_tag("t"),
    "clear": lambda cache: cache.clear(),
    "cleanup_expired": lambda cache: cache.cleanup_expired(),
    "keys": list_keys,
    "entry": lambda cache: cache.entry("k"),
    "get_stats": lambda cache: cache.get_stats(),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("view", [False, True], ids=["manager", "view"])
async def test_every_operation_on_a_closed_cache_raises(verb: str, view: bool) -> None:
    cache = CacheManager("memory")
    used = cache.namespace("view") if view else cache
    await cache.close()
    with pytest.raises(CacheClosedError, match="cache is closed; entering it with"):
        await VERBS[verb](used)


async def test_closing_twice_has_no_further_effect(cache: CacheManager) -> None:
    await cache.set("k", 1)
    await asyncio.gather(cache.close(), cache.close())
    await cache.close()


async def test_async_with_reopens_a_closed_cache(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir)
    for number in range(3):
        async with cache as opened:
            assert opened is cache
            assert await cache.incr("n") == number + 1
        with pytest.raises(CacheClosedError):
            await cache.get("n")


async def test_an_error_in_the_block_closes_the_cache_and_is_raised(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir)

    async def application() -> None:
        async with cache:
            await cache.set("k", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await application()
    with pytest.raises(CacheClosedError):
        await cache.get("k")
    async with cache:
        assert await cache.get("k") == 1


async def test_a_store_created_by_the_user_is_not_closed() -> None:
    recorder = SpyBackend(MemoryBackend())
    async with CacheManager(recorder) as cache:
        await cache.set("k", 1)
    assert "close" not in [verb for verb, _ in recorder.calls]
    async with CacheManager(recorder) as cache:
        assert await cache.get("k") == 1


async def test_entries_are_readable_after_close(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir)
    writes = [asyncio.create_task(cache.set(str(n), n)) for n in range(20)]
    await asyncio.sleep(0)
    await cache.close()
    await asyncio.gather(*writes)
    async with cache:
        assert len(await cache.get_many(map(str, range(20)))) == 20


def test_a_cache_at_module_level_works_in_many_loops(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir)

    async def use(number: int) -> int:
        await cache.set(str(number), [number])
        return len(await cache.get_many(map(str, range(10))))

    assert [asyncio.run(use(n)) for n in range(5)] == [1, 2, 3, 4, 5]


async def test_a_read_sees_the_latest_write_of_another_manager(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as one, CacheManager(directory=cache_dir) as two:
        for number in range(20):
            await one.set("k", [number])
            assert await two.get("k") == [number]
            await two.set("k", [number, "back"])
            assert await one.get("k") == [number, "back"]
        await one.delete("k")
        assert await two.get("k") is None
        await one.set("k", 1, tags=["t"])
        assert await two.get("k") == 1
        await one.delete_by_tag("t")
        assert await two.get("k") is None
        await two.set("k", 2)
        await one.clear()
        assert await two.get("k") is None


async def test_counters_are_written_shortly_after_a_change(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir)
    await cache.get("absent")
    counters = cache_dir / "default+stats"
    await poll(lambda: list(counters.rglob("*-counters")))
    await cache.close()


def test_the_repr_names_store_and_namespace(cache_dir: Path) -> None:
    cache = CacheManager(FileBackend(cache_dir), namespace="a:b")
    assert repr(cache) == f"CacheManager(FileBackend({str(cache_dir)!r}), namespace='a:b')"
    assert "secret" not in repr(CacheManager("memory", secret="hunter2"))
