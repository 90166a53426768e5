"""A copy of a manager is the same cache; a pickle restores one over the same store."""

from __future__ import annotations

import copy
import math
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, sync
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.testing.fake_clock import FakeClock

COPY_FUNCTIONS = {"copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("make_copy", COPY_FUNCTIONS.values(), ids=COPY_FUNCTIONS)
async def test_a_copy_is_the_same_cache(make_copy: Any) -> None:
    async with CacheManager("memory") as cache:
        assert make_copy(cache) is cache
        blocking = sync.CacheManager.of(cache)
        assert make_copy(blocking) == blocking
        view = copy.deepcopy({"view": cache.namespace("other")})["view"]
        assert view.loader.namespace.engine is cache.loader.namespace.engine


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"backend": "file", "namespace": "own", "ttl": "1h"},
        {"backend": "null"},
        {"backend": "redis://:secret@host/2", "compression": "gzip", "secret": b"own"},
        {"redis_url": "redis+cluster://a,b", "fallback": None},
    ],
    ids=str,
)
def test_a_pickle_restores_a_manager_with_the_same_settings(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = CacheManager(**settings)
    other = pickle.loads(pickle.dumps(cache))
    assert repr(other) == repr(cache)
    assert pickle.dumps(other) == pickle.dumps(cache)
    assert list(tmp_path.iterdir()) == []


async def test_a_restored_manager_reads_the_entries_of_the_original(tmp_path: Path) -> None:
    clock = FakeClock()
    async with CacheManager(directory=tmp_path, ttl=60, max_entries=3, clock=clock) as cache:
        view = cache.namespace("view")
        await view.set("k", [1])
        async with pickle.loads(pickle.dumps(view)) as other:
            assert await other.get("k") == [1]
            await other.set_many({"a": 1, "b": 2, "c": 3})
            assert await other.get_ttl("c") == 60
            assert (await other.get_stats()).total_entries == 3
        await cache.set("permanent", 1, ttl=None)
        assert await cache.get_ttl("permanent") == math.inf


def read_and_increment(cache: sync.CacheManager) -> Any:
    with cache:
        return cache.get("k"), cache.incr("n")


def test_a_manager_can_be_sent_to_a_spawned_process(tmp_path: Path) -> None:
    with sync.CacheManager(directory=tmp_path) as cache:
        cache.set("k", {"a": (1, 2)})
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply_async(read_and_increment, (cache,)).get(60) == (
                {"a": (1, 2)},
                1,
            )
        assert cache.get("n") == 1


@pytest.mark.parametrize("backend", ["memory", MemoryBackend()], ids=["memory", "object"])
def test_a_cache_in_memory_cannot_be_pickled(backend: Any) -> None:
    for cache in (CacheManager(backend), sync.CacheManager(backend)):
        with pytest.raises(TypeError, match=r"; got MemoryBackend.*, which exists in this process"):
            pickle.dumps(cache)


async def test_habits_of_blocking_code_get_an_error_that_says_what_to_write(
    memory: CacheManager,
) -> None:
    cache: Any = memory
    with pytest.raises(TypeError, match=r"needs `async with`; .*aiocache_pe\.sync\."), cache:
        pass
    with pytest.raises(TypeError, match=r"write `await cache\.exists"):
        assert "a" in cache
    with pytest.raises(TypeError, match=r"write `await cache\.set\(key, value\)"):
        cache["a"] = 1
    with pytest.raises(TypeError, match=r"write `await cache\.delete"):
        del cache["a"]
    blocking: Any = sync.CacheManager("memory")
    with pytest.raises(TypeError, match=r"needs `with`; aiocache_pe\.CacheManager supports"):
        async with blocking:
            pass
    for read in (lambda: cache["a"], lambda: list(cache)):
        with pytest.raises(TypeError, match=r"write `await cache\.get"):
            read()
