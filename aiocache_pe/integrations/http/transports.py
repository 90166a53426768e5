"""Base classes of the transports of httpx and httpx2, which have the same interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from aiocache_pe.integrations.http.caching import HttpCaching
from aiocache_pe.integrations.http.exchange_async import AsyncExchange
from aiocache_pe.integrations.http.exchange_sync import SyncExchange

Transport = TypeVar("Transport")
Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncTransport(Generic[Transport, Request, Response]):
    """Base of the async transports.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        transport: the transport that sends requests; by default one of the library.
        settings: see `aiocache_pe.integrations.http.caching.HttpCaching`.
    """

    _library: Any  # the module, set by the subclass

    def __init__(
        self, cache: Any = None, *, transport: Transport | None = None, **settings: Any
    ) -> None:
        library = self._library
        self._inner: Any = library.AsyncHTTPTransport() if transport is None else transport
        stream_class = type("AsyncChunkStream", (_AsyncChunkStream, library.AsyncByteStream), {})
        self._exchange = AsyncExchange(
            HttpCaching(cache, **settings), self._inner.handle_async_request, library, stream_class
        )

    async def handle_async_request(self, request: Request) -> Response:
        """Return the response to a request, from the cache or from the server."""
        return await self._exchange.answer(request)  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        """Close the connections; the cache stays open."""
        await self._inner.aclose()


class SyncTransport(Generic[Transport, Request, Response]):
    """Base of the blocking transports.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        transport: the transport that sends requests; by default one of the library.
        settings: see `aiocache_pe.integrations.http.caching.HttpCaching`.
    """

    _library: Any  # the module, set by the subclass

    def __init__(
        self, cache: Any = None, *, transport: Transport | None = None, **settings: Any
    ) -> None:
        library = self._library
        self._inner: Any = library.HTTPTransport() if transport is None else transport
        stream_class = type("ChunkStream", (_ChunkStream, library.SyncByteStream), {})
        self._exchange = SyncExchange(
            HttpCaching(cache, **settings), self._inner.handle_request, library, stream_class
        )

    def handle_request(self, request: Request) -> Response:
        """Return the response to a request, from the cache or from the server."""
        return self._exchange.answer(request)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connections; the cache stays open."""
        self._inner.close()


class _AsyncChunkStream:
    """Byte stream of chunks: a list of them, or an iterator and the function that closes it."""

    def __init__(
        self,
        chunks: list[bytes] | AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._chunks = chunks
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if isinstance(self._chunks, list):
            for chunk in self._chunks:
                yield chunk
        else:
            async for chunk in self._chunks:
                yield chunk

    async def aclose(self) -> None:
        if self._close is not None:
            await self._close()


class _ChunkStream:
    """Byte stream of chunks: a list of them, or an iterator and the function that closes it."""

    def __init__(
        self, chunks: list[bytes] | Iterator[bytes], close: Callable[[], None] | None = None
    ) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    def close(self) -> None:
        if self._close is not None:
            self._close()
