"""The public API used wrongly; every line that is marked must be refused by both checkers.

An ignore that is not needed is an error for both (`test_types`), so this file is free of
errors only if each of these uses is one.
"""

from __future__ import annotations

from aiocache_pe import CacheManager, CacheStats, cached, get_cache
from aiocache_pe.events import Hit


@cached
async def double(number: int) -> int:
    return 2 * number


@cached(ttl="1h")
async def answer(question: str, *, model: str = "gpt") -> str:
    return question + model


def plain(number: int) -> int:
    return number


async def wrong_calls() -> None:
    await double("21")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await double()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await double(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await answer("why?", "gpt")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await answer("why?", temperature=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    text: str = await double(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    await answer(text).real  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def wrong_decorations(cache: CacheManager) -> None:
    cached(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached()(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cached(ttl=[1])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(cache="file")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(tll=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def wrong_verbs(cache: CacheManager) -> None:
    await cache.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.set("k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await cache.set("k", 1, ttl=b"1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.set("k", 1, 60, ["t"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await cache.set_many([("k", 1)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.incr("k", "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.get_or_set("k", 1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cache.subscribe(Hit, 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.subscribe("hit", print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for _ in cache.keys("*"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


def wrong_settings() -> None:
    CacheManager("memory", "cache")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CacheManager(max_entries="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CacheManager(clock=60)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CacheManager(object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CacheManager(fallback="memory")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    get_cache(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def wrong_changes(stats: CacheStats) -> None:
    stats.hits = 7  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
