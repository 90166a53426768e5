"""Process that reads a long cached stream, drops its chunks and prints its growth.

``python -m tests.support.processes.read_long_stream KIND BYTES`` prints the growth of the peak
memory in megabytes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import httpx

from aiocache_pe import CacheManager, cached
from aiocache_pe.integrations.httpx import AsyncCacheTransport, CacheTransport
from tests.support.processes.forge_entries import measure_peak_megabytes

CHUNK = 250_000  # bytes
URL = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "tell all"}]}


def iter_chunks(size: int) -> Iterator[bytes]:
    for number in range(size // CHUNK):
        yield (b"%09d" % number).ljust(CHUNK, b".")


async def iter_chunks_async(size: int) -> AsyncIterator[bytes]:
    for chunk in iter_chunks(size):
        await asyncio.sleep(0)
        yield chunk


async def read_async(stream: Any) -> int:
    return sum([len(chunk) async for chunk in stream])


async def read_decorated(cache: CacheManager, size: int, *, readers: int) -> int:
    """Read a decorated stream with several readers at once."""

    @cached(cache=cache)
    async def stream() -> AsyncIterator[bytes]:
        async for chunk in iter_chunks_async(size):
            yield chunk

    return min(await asyncio.gather(*(read_async(stream()) for _ in range(readers))))


async def read_mutable(cache: CacheManager, size: int) -> int:
    """Read chunks that are lists of strings."""

    @cached(cache=cache)
    async def stream() -> AsyncIterator[list[str]]:
        for chunk in iter_chunks(size):
            yield [chunk[n : n + 50].decode() for n in range(0, CHUNK, 50)]

    return sum([sum(map(len, chunk)) async for chunk in stream()])


async def read_plain(cache: CacheManager, size: int) -> int:
    """Read a plain generator in a thread."""

    @cached(cache=cache)
    def stream() -> Iterator[bytes]:
        yield from iter_chunks(size)

    return await asyncio.to_thread(lambda: sum(map(len, stream())))


class Stream(httpx.AsyncByteStream, httpx.SyncByteStream):
    """The body of a response, which is made while it is read."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        return iter_chunks(self._size)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return iter_chunks_async(self._size)


def respond(size: int, request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(size))


async def read_http(cache: CacheManager, size: int) -> int:
    """Read a streamed response."""
    transport = AsyncCacheTransport(cache, transport=httpx.MockTransport(partial(respond, size)))
    async with (
        httpx.AsyncClient(transport=transport) as client,
        client.stream("POST", URL, json=BODY) as response,
    ):
        return await read_async(response.aiter_bytes())


async def read_http_blocking(cache: CacheManager, size: int) -> int:
    """Read a streamed response of a blocking client in a thread."""
    transport = CacheTransport(cache, transport=httpx.MockTransport(partial(respond, size)))

    def read() -> int:
        with (
            httpx.Client(transport=transport) as client,
            client.stream("POST", URL, json=BODY) as response,
        ):
            return sum(map(len, response.iter_bytes()))

    return await asyncio.to_thread(read)


READERS: dict[str, Callable[[CacheManager, int], Coroutine[Any, Any, int]]] = {
    "async": partial(read_decorated, readers=1),
    "shared": partial(read_decorated, readers=3),
    "mutable": read_mutable,
    "plain": read_plain,
    "http": read_http,
    "blocking http": read_http_blocking,
}


async def main(kind: str, size: int) -> None:
    """Read a short stream, and then a long one."""
    async with CacheManager("memory") as cache:
        await READERS[kind](cache, 4 * CHUNK)
        await cache.clear()
        before = measure_peak_megabytes()
        assert await READERS[kind](cache, size) == size
        assert (await cache.get_stats()).total_entries == 0
    sys.stdout.write(f"{measure_peak_megabytes() - before:.1f}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
