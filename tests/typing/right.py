"""The public API used as it is meant; never run, only read by mypy and pyright."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import assert_type

from aiocache_pe import (
    CacheEntry,
    CacheManager,
    CacheStats,
    cached,
    get_cache,
    make_cache_key,
    register,
)
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.events import Hit, Removed
from aiocache_pe.protocols import Backend, Clock
from aiocache_pe.testing.clock import FakeClock


@cached
async def bare(question: str, *, model: str = "gpt") -> list[str]:
    return [question, model]


@cached()
async def called(number: int) -> int | None:
    return number


@cached(ttl="1h", key_prefix="llm", backend="file")
async def with_settings(question: str) -> dict[str, float]:
    return {question: 1.0}


@cached(ttl=lambda result: 60 if result else None)
async def with_function(question: str) -> bool:
    return bool(question)


@register
class Answer:
    text: str = ""


class Service:
    @cached(ttl=timedelta(minutes=1))
    async def method(self, number: int) -> str:
        return str(number)

    @classmethod
    @cached
    async def of_class(cls, number: int) -> bytes:
        return bytes(number)

    @staticmethod
    @cached(cache=CacheManager("memory"))
    async def of_nothing(number: int) -> tuple[int, ...]:
        return (number,)


async def decorated() -> None:
    assert_type(await bare("why?"), list[str])
    assert_type(await bare("why?", model="other"), list[str])
    assert_type(await called(1), int | None)
    assert_type(await with_settings(question="why?"), dict[str, float])
    assert_type(await with_function("why?"), bool)
    assert_type(await Service().method(1), str)
    assert_type(await Service.of_class(1), bytes)
    assert_type(await Service.of_nothing(1), tuple[int, ...])
    assert_type(register(Answer), type[Answer])


async def computed(cache: CacheManager) -> None:
    async def slow() -> set[int]:
        return {1}

    def quick() -> str:
        return "1"

    assert_type(await cache.get_or_set("k", slow), set[int])
    assert_type(await cache.get_or_set("k", quick), str)
    assert_type(await cache.get_or_set("k", slow, "1h", tags=["t"]), set[int])
    assert_type(await cache.get_or_set("k", quick, lambda text: len(text)), str)  # noqa: PLW0108
    assert_type(await cache.get_or_set("k", lambda: 1, timedelta(days=1)), int)


async def verbs() -> None:
    async with CacheManager(directory=Path("cache"), ttl=60, namespace="search") as cache:
        assert_type(cache, CacheManager)
        assert_type(cache.namespace("other"), CacheManager)
        assert_type(await cache.set("k", object(), ttl=None, tags=("a", "b")), bool)
        assert_type(await cache.set("k", 1, math.inf), bool)
        assert_type(await cache.add("k", 1, "30m"), bool)
        assert_type(await cache.set_many({"k": 1}, 60), bool)
        assert_type(await cache.delete("k"), bool)
        assert_type(await cache.delete_many({"k", "l"}), int)
        assert_type(await cache.get_ttl("k"), float | None)
        assert_type(await cache.incr("n", 2, initial=1, ttl="1d"), int)
        assert_type(await cache.invalidate("k*"), int)
        assert_type(await cache.entry("k"), CacheEntry | None)
        assert_type(await cache.get_stats(), CacheStats)
        assert_type((await cache.get_stats()).hit_rate, float)
        assert_type([key async for key in cache.keys("k*")], list[str])
        cache.subscribe(Hit, lambda event: event.key)
        cache.subscribe(Removed, lambda event: event.cause)()
    assert_type(get_cache("memory"), CacheManager)
    assert_type(make_cache_key(1, b=2), str)


def own_parts() -> CacheManager:
    backend: Backend = MemoryBackend(max_entries=10)
    clock: Clock = FakeClock()
    return CacheManager(backend, clock=clock)
