"""Correct uses of the public API, read by mypy and pyright and never run."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

from aiocache_pe import (
    CacheEntry,
    CacheInfo,
    CacheManager,
    CacheStats,
    Price,
    bypass,
    cached,
    cached_batch,
    get_cache,
    make_cache_key,
    read_only,
    refresh,
    register,
    sync,
)
from aiocache_pe.backends.base import Backend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.clock import Clock
from aiocache_pe.events import Hit, Removed
from aiocache_pe.testing.fake_clock import FakeClock


@cached
async def bare(question: str, *, model: str = "gpt") -> list[str]:
    return [question, model]


@cached()
async def called(number: int) -> int | None:
    return number


@cached(ttl="1h", key_prefix="llm", backend="file")
async def with_settings(question: str) -> dict[str, float]:
    return {question: 1.0}


@cached(
    ttl=timedelta(hours=1),
    stale_ttl="1d",
    refresh_ahead=0.8,
    jitter=0.1,
    soft_timeout=2,
    hard_timeout=timedelta(seconds=30),
    lock="10m",
)
async def with_stale_values(question: str) -> tuple[str, int]:
    return question, 1


@cached(ttl="1h", stale_ttl=None, jitter="30s", lock=False)
def with_jitter(question: str) -> tuple[str, int]:
    return question, 1


@cached(ttl=lambda result: 60 if result else None)
async def with_function(question: str) -> bool:
    return bool(question)


@cached(
    key="{question}:{model}",
    version=2,
    namespace="chat",
    tags=["llm", "user:{user}"],
    cache_if=lambda answer: answer != "",
    cache_none=False,
)
async def with_many_settings(question: str, model: str, user: int = 0) -> str | None:
    return question + model


@cached(ignore=("session",), key_prefix="db")
def plain(session: object, number: int, *, times: int = 2) -> dict[str, int]:
    return {"product": number * times}


@cached
def bare_plain(number: int) -> int:
    return number


@cached(key=lambda number: number % 2)
def built(number: int) -> int:
    return number


@cached
async def stream(prompt: str) -> AsyncIterator[bytes]:
    yield prompt.encode()


@cached(ttl=60)
async def generating_stream(prompt: str) -> AsyncGenerator[str, None]:
    yield prompt


@cached
def plain_stream(count: int) -> Iterator[int]:
    yield count


@cached()
def returning_stream(count: int) -> Generator[int, None, str]:
    yield count
    return "end"


@cached_batch
async def embed(texts: list[str], *, model: str = "small") -> list[list[float]]:
    return [[float(len(text + model))] for text in texts]


@cached_batch(batch="texts", batch_size=100, concurrency=4, ttl="30d", cache_if=bool)
async def scores(query: str, texts: list[str]) -> tuple[float, ...]:
    return tuple(float(query == text) for text in texts)


@cached_batch(ignore=["limit"])
def plain_batch(numbers: list[int], limit: int = 1) -> list[str]:
    return [str(number + limit) for number in numbers]


@register
class Answer:
    text: str = ""


class Service:
    @cached(ttl=timedelta(minutes=1))
    async def method(self, number: int) -> str:
        return str(number)

    @cached
    def plain_method(self, number: int, *, times: int = 2) -> float:
        return number * times / 2

    @cached
    async def nothing(self) -> None:
        return None

    @cached
    async def stream(self, count: int) -> AsyncIterator[int]:
        yield count

    @cached(ttl=1)
    def plain_stream(self, count: int) -> Iterator[int]:
        yield count

    @classmethod
    @cached
    async def of_class(cls, number: int) -> bytes:
        return bytes(number)

    @staticmethod
    @cached(cache=CacheManager("memory"))
    async def of_nothing(number: int) -> tuple[int, ...]:
        return (number,)

    @cached_batch
    async def embed(self, texts: list[str]) -> list[bytes]:
        return [text.encode() for text in texts]

    @cached_batch(batch_size=10)
    def plain_embed(self, texts: list[str]) -> list[bytes]:
        return [text.encode() for text in texts]

    @cached
    @classmethod
    def above_classmethod(cls, number: int) -> set[int]:
        return {number}

    @cached
    @staticmethod
    def above_staticmethod(number: int) -> list[int]:
        return [number]


async def decorated() -> None:
    assert_type(await bare("why?"), list[str])
    assert_type(await bare("why?", model="other"), list[str])
    assert_type(await called(1), int | None)
    assert_type(await with_settings(question="why?"), dict[str, float])
    assert_type(await with_function("why?"), bool)
    assert_type(await with_stale_values("why?"), tuple[str, int])
    assert_type(await with_many_settings("why?", "gpt", user=7), str | None)
    assert_type(plain(None, 21, times=2), dict[str, int])
    assert_type(bare_plain(number=1), int)
    assert_type(built(1), int)
    assert_type(register(Answer), type[Answer])


async def batches() -> None:
    assert_type(await embed(["why?"], model="large"), list[list[float]])
    assert_type(await scores("why?", texts=["because"]), tuple[float, ...])
    assert_type(plain_batch([1], limit=2), list[str])
    assert_type(await Service().embed(["why?"]), list[bytes])
    assert_type(Service().plain_embed(["why?"]), list[bytes])
    assert_type(embed.cache_keys(["why?"]), list[str])
    assert_type(embed.cache_info(), CacheInfo)
    assert_type(await embed.invalidate(["why?"]), int)
    assert_type(await embed.refresh(["why?"]), list[list[float]])
    assert_type(await embed.cache_clear(), int)
    assert_type(plain_batch.invalidate([1]), int)
    assert_type(plain_batch.cache, sync.CacheManager)
    assert_type(await Service().embed.invalidate(["why?"]), int)
    assert_type(Service().plain_embed.cache_keys(["why?"]), list[str])


async def streams() -> None:
    assert_type([chunk async for chunk in stream("why?")], list[bytes])
    assert_type([chunk async for chunk in generating_stream(prompt="why?")], list[str])
    assert_type(list(plain_stream(1)), list[int])
    assert_type([chunk async for chunk in Service().stream(1)], list[int])
    assert_type(list(Service().plain_stream(1)), list[int])
    assert_type(list(returning_stream(1)), list[int])


def delegate() -> Generator[int, None, None]:
    assert_type((yield from returning_stream(1)), str)


async def in_classes() -> None:
    assert_type(await Service().method(1), str)
    assert_type(await Service.method(Service(), 1), str)
    assert_type(await Service().nothing(), None)
    assert_type(Service().plain_method(1, times=3), float)
    assert_type(await Service.of_class(1), bytes)
    assert_type(await Service().of_class(1), bytes)
    assert_type(await Service.of_nothing(1), tuple[int, ...])
    assert_type(await Service().of_nothing(1), tuple[int, ...])
    assert_type(Service.above_classmethod(1), set[int])
    assert_type(Service.above_staticmethod(1), list[int])


async def methods_of_functions() -> None:
    assert_type(bare.cache_key("why?", model="gpt"), str)
    assert_type(bare.cache_info(), CacheInfo)
    assert_type(bare.cache, CacheManager)
    assert_type(await bare.invalidate("why?"), bool)
    assert_type(await bare.refresh("why?"), list[str])
    assert_type(await bare.cache_clear(), int)
    assert_type(plain.invalidate(None, 1), bool)
    assert_type(plain.refresh(None, 1), dict[str, int])
    assert_type(plain.cache_clear(), int)
    assert_type([chunk async for chunk in stream.refresh("why?")], list[bytes])
    assert_type(await stream.invalidate("why?"), bool)
    assert_type(await Service().method.invalidate(1), bool)
    assert_type(await Service().method.refresh(number=1), str)
    assert_type(Service().method.cache_key(1), str)
    assert_type(Service().plain_method.invalidate(1), bool)
    assert_type(Service().plain_method.cache_info(), CacheInfo)
    assert_type(await Service.method.cache_clear(), int)


def call_modes() -> None:
    with bypass(), refresh(), read_only():
        assert_type(bare_plain(1), int)


async def computations(cache: CacheManager) -> None:
    async def slow() -> set[int]:
        return {1}

    def quick() -> str:
        return "1"

    assert_type(await cache.get_or_set("k", slow), set[int])
    assert_type(await cache.get_or_set("k", quick), str)
    assert_type(await cache.get_or_set("k", slow, "1h", tags=["t"]), set[int])
    assert_type(await cache.get_or_set("k", quick, lambda text: len(text)), str)  # noqa: PLW0108
    assert_type(await cache.get_or_set("k", lambda: 1, timedelta(days=1)), int)


async def methods() -> None:
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


def blocking(cache: sync.CacheManager) -> None:
    async def slow() -> set[int]:
        return {1}

    with cache as same:
        assert_type(same, sync.CacheManager)
    assert_type(sync.CacheManager("memory", ttl="1h", namespace="n"), sync.CacheManager)
    assert_type(cache.namespace("other"), sync.CacheManager)
    assert_type(cache.set("k", object(), ttl=None, tags=("a", "b")), bool)
    assert_type(cache.add("k", 1, "30m"), bool)
    assert_type(cache.set_many({"k": 1}, 60), bool)
    assert_type(cache.get_many(["k"]), dict[str, Any])
    assert_type(cache.delete("k"), bool)
    assert_type(cache.delete_many({"k", "l"}), int)
    assert_type(cache.get_ttl("k"), float | None)
    assert_type(cache.incr("n", 2, initial=1, ttl="1d"), int)
    assert_type(cache.invalidate("k*"), int)
    assert_type(cache.entry("k"), CacheEntry | None)
    assert_type(cache.get_stats(), CacheStats)
    assert_type(cache.get_or_set("k", slow, "1h", tags=["t"]), set[int])
    assert_type(cache.get_or_set("k", lambda: 1, stale_ttl="1h"), int)
    assert_type(with_jitter("q"), tuple[str, int])
    assert_type(list(cache.keys("k*")), list[str])
    assert_type(sync.get_cache("memory"), sync.CacheManager)
    assert_type(sync.warm_cache(cache, {"k": 1}, concurrency=2), sync.WarmReport)
    assert_type(sync.most_hit(cache), list[str])
    assert_type(sync.CacheManager.of(get_cache()).asynchronous, CacheManager)
    cache.subscribe(Hit, lambda event: event.key)()


def make_custom_manager() -> CacheManager:
    backend: Backend = MemoryBackend(max_entries=10)
    clock: Clock = FakeClock()
    prices = {"small": Price(input=0.15, output=0.6)}
    return CacheManager(backend, clock=clock, prices=prices)
