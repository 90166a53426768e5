"""Copies and pickles of a manager: one cache, or another one over the same store."""

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

COPIED = {"copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIED.values(), ids=COPIED)
async def test_a_copy_is_the_same_cache(copied: Any) -> None:
    async with CacheManager("memory") as cache:
        assert copied(cache) is cache
        twin = copied(sync.CacheManager.of(cache))
        assert twin == sync.CacheManager.of(cache)
        assert copy.deepcopy({"view": cache.namespace("other")})[
            "view"
        ].loader.namespace.engine is (cache.loader.namespace.engine)


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
def test_a_pickle_makes_one_with_the_same_settings(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = CacheManager(**settings)
    other = pickle.loads(pickle.dumps(cache))
    assert repr(other) == repr(cache)
    assert pickle.dumps(other) == pickle.dumps(cache)
    assert list(tmp_path.iterdir()) == []


async def test_what_one_stores_the_other_reads(tmp_path: Path) -> None:
    clock = FakeClock()
    async with CacheManager(directory=tmp_path, ttl=60, max_entries=3, clock=clock) as cache:
        view = cache.namespace("view")
        await view.set("k", [1])
        async with pickle.loads(pickle.dumps(view)) as other:
            assert await other.get("k") == [1]
            await other.set_many({"a": 1, "b": 2, "c": 3})
            assert await other.get_ttl("c") == 60
            assert (await other.get_stats()).total_entries == 3
        await cache.set("for ever", 1, ttl=None)
        assert await cache.get_ttl("for ever") == math.inf


def look(cache: sync.CacheManager) -> Any:
    with cache:
        return cache.get("k"), cache.incr("n")


def test_it_is_sent_to_a_process_that_was_not_forked(tmp_path: Path) -> None:
    with sync.CacheManager(directory=tmp_path) as cache:
        cache.set("k", {"a": (1, 2)})
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply_async(look, (cache,)).get(60) == ({"a": (1, 2)}, 1)
        assert cache.get("n") == 1


@pytest.mark.parametrize("backend", ["memory", MemoryBackend()], ids=["memory", "object"])
def test_what_lives_in_its_process_is_not_pickled(backend: Any) -> None:
    for cache in (CacheManager(backend), sync.CacheManager(backend)):
        with pytest.raises(TypeError, match=r"MemoryBackend.* cannot be pickled: its entries are"):
            pickle.dumps(cache)
