"""Async calls outside asyncio, as under trio: a clear error, and no failure of the store."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, cached_batch
from aiocache_pe.events import BackendFailed

CALLS: dict[str, Callable[[CacheManager], Coroutine[Any, Any, Any]]] = {
    "set": lambda cache: cache.set("a", 1),
    "delete": lambda cache: cache.delete("a"),
    "incr": lambda cache: cache.incr("n"),
    "get_or_set": lambda cache: cache.get_or_set("a", lambda: 1),
    "lock": lambda cache: cache.lock("a").__aenter__(),
    "get_stats": lambda cache: cache.get_stats(),
    "namespaces": lambda cache: cache.namespaces(),
    "close": lambda cache: cache.close(),
}


def run_without_asyncio(call: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine as another framework does; a future of asyncio means nothing to it."""
    try:
        call.send(None)
    finally:
        call.close()


@pytest.mark.parametrize("verb", CALLS)
def test_a_call_without_asyncio_says_what_it_needs_and_how_to_bridge(
    verb: str, cache_dir: Path
) -> None:
    cache, failures = CacheManager(directory=cache_dir), list[object]()
    cache.subscribe(BackendFailed, failures.append)
    with pytest.raises(RuntimeError, match=r"asyncio event loop.*trio\.to_thread\.run_sync"):
        run_without_asyncio(CALLS[verb](cache))
    assert failures == []


@pytest.mark.parametrize("store", ["memory", "file"])
def test_a_decorated_call_without_asyncio_says_what_it_needs(store: str, cache_dir: Path) -> None:
    settings: Any = {"directory": cache_dir} if store == "file" else {}
    cache = CacheManager(store, **settings)

    @cached(cache=cache)
    async def ask(prompt: str) -> str:
        raise AssertionError("the function must not be called")

    @cached_batch(cache=cache)
    async def embed(texts: list[str]) -> list[str]:
        raise AssertionError("the function must not be called")

    for call in (ask("Hello"), embed(["Hello"])):
        with pytest.raises(RuntimeError, match="needs a running asyncio event loop"):
            run_without_asyncio(call)
