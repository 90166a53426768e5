"""Calls of every method of a manager; each must return, even when the store fails."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable

from aiocache_pe import CacheManager, cached
from aiocache_pe.exceptions import BackendError

KEPT = ["what", "was", "stored", "before"]
FAILS = " fails ("


async def call_every_method(cache: CacheManager, *, works: bool) -> None:
    """Call every method of a manager; none may raise.

    Args:
        cache: the manager. Its key ``kept``, if present, holds `KEPT`.
        works: whether the store works, so that all results must be correct.
    """
    calls = 0

    @cached(cache=cache, key_prefix="everything")
    async def compute(number: int) -> list[int]:
        nonlocal calls
        calls += 1
        return [number]

    async def incr() -> int | None:
        try:
            return await cache.incr("n")  # the only method that raises: any number would be wrong
        except BackendError:
            return None

    kept = await cache.get("kept")
    assert kept in ([KEPT] if works else [KEPT, None])
    small, large = {"answer": 42}, "x" * 200_000
    right = [
        await cache.clear() >= 0,
        await cache.set("kept", KEPT, ttl="1h", tags=["tag"]),
        await cache.get("kept") == KEPT,
        await cache.set_many({"a": small, "b": large}),
        await cache.get_many(["a", "b", "c"]) == {"a": small, "b": large},
        await cache.add("d", 1),
        await cache.exists("d"),
        await cache.get_ttl("d") == math.inf,
        await cache.touch("d", 60),
        await incr() == 1,
        await cache.pop("d") == 1,
        await cache.delete("a"),
        await cache.delete_many(["b", "c"]) == 1,
        await cache.get_or_set("e", lambda: small) == small,
        await compute(7) == [7] and await compute(7) == [7],
        calls == 1,
        sorted([key async for key in cache.keys("[en]")]) == ["e", "n"],
        (await cache.entry("e")) is not None,
        await cache.invalidate("e") == 1,
        await cache.delete_by_tag("tag"),
        await cache.get("kept") is None,
        await cache.cleanup_expired() == 1,
        (await cache.get_stats()).total_entries > 0,
        await cache.set("kept", KEPT),
    ]
    if works:
        assert all(right), f"result {right.index(False)} is wrong: {right}"
    several = await asyncio.gather(*[cache.get_or_set("f", lambda: [1]) for _ in range(8)])
    assert several == [[1]] * 8, "a computed value must be returned, also without a store"


def find_repeated_failures(messages: Iterable[str]) -> dict[str, int]:
    """Return the failures that were logged more than once, with their numbers."""
    return {text: n for text, n in Counter(m for m in messages if FAILS in m).items() if n > 1}
