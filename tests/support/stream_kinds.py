"""Async and blocking streams behind one interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from aiocache_pe import CacheManager

ASYNC, PLAIN = "async", "plain"
each_stream_kind = pytest.mark.parametrize("kind", [ASYNC, PLAIN])
Source = Callable[[], Iterator[Any]]


def make_stream(kind: str, source: Source) -> Any:
    """Return a stream of the given kind with the chunks of a plain generator."""
    if kind == PLAIN:

        def stream(a: Any = None) -> Iterator[Any]:
            return (yield from source())  # the stream returns the value that the source returns

        return stream

    async def async_stream(a: Any = None) -> AsyncIterator[Any]:
        chunks = source()
        try:
            for chunk in chunks:
                yield chunk
        finally:
            chunks.close()  # type: ignore[attr-defined]

    return async_stream


async def read_all(stream: Any) -> list[Any]:
    if hasattr(stream, "__anext__"):
        return [chunk async for chunk in stream]
    return list(stream)


async def read_first(stream: Any) -> Any:
    return await anext(stream) if hasattr(stream, "__anext__") else next(stream)


async def close_stream(stream: Any) -> None:
    await (stream.aclose() if hasattr(stream, "aclose") else asyncio.to_thread(stream.close))


async def count_entries(cache: CacheManager) -> int:
    return (await cache.get_stats()).total_entries


class Upstream:
    """A source of chunks that counts its starts and ends and may fail after the last chunk."""

    def __init__(self, *chunks: Any, fails: Exception | None = None) -> None:
        self.chunks = chunks
        self.fails = fails
        self.starts = self.ends = self.chunks_sent = 0

    def source(self) -> Iterator[Any]:
        self.starts += 1
        try:
            for chunk in self.chunks:
                self.chunks_sent += 1
                yield chunk
            if self.fails is not None:
                raise self.fails
        finally:
            self.ends += 1


def iter_chunks(*chunks: Any) -> Iterator[Any]:
    yield from chunks
