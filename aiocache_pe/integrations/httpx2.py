"""Transports for httpx2 that cache the answers of model servers.

So the official SDKs are cached with one argument::

    from aiocache_pe.integrations.httpx2 import AsyncCacheTransport

    transport = AsyncCacheTransport(CacheManager())
    client = AsyncOpenAI(http_client=httpx2.AsyncClient(transport=transport))

SDKs that use httpx take `aiocache_pe.integrations.httpx`, which has the same names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.integrations.http.caching import HttpCaching
from aiocache_pe.integrations.http.exchange_async import AsyncExchange
from aiocache_pe.integrations.http.exchange_sync import BlockingExchange

try:
    import httpx2
except ImportError as error:
    raise MissingDependencyError("caching what httpx2 fetches", extra="httpx2") from error


class AsyncCacheTransport(httpx2.AsyncBaseTransport):
    """Sends requests, and keeps the answers of model servers, streamed or not.

    Kept are answers that are whole and successful; errors never are. Identical requests
    that are made at once are sent once, those for streams too. The header
    ``x-aiocache-pe`` of a response tells where it is from: ``hit``, ``miss`` or ``stale``.
    What is in the request's headers is neither stored nor part of a key, but for the few
    that change an answer, such as ``anthropic-version``.

    Args:
        cache: where answers are kept; by default the process's shared cache.
        transport: what sends requests; by default httpx2's own.
        settings: those of `aiocache_pe.integrations.http.caching.HttpCaching`: ``ttl``,
            ``namespace``, ``tags``, ``vary``, ``store_truncated``, ``cacheable``,
            ``stale_ttl``, ``lock``.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    def __init__(
        self,
        cache: Any = None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        **settings: Any,
    ) -> None:
        self._caching = HttpCaching(cache, **settings)
        self._inner = httpx2.AsyncHTTPTransport() if transport is None else transport
        self._exchange = AsyncExchange(
            self._caching, self._inner.handle_async_request, httpx2, _AsyncStream
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, from the cache or from the server."""
        response: httpx2.Response = await self._exchange.answer(request)
        return response

    async def aclose(self) -> None:
        """Close the connections; the cache is the caller's own."""
        await self._inner.aclose()


class CacheTransport(httpx2.BaseTransport):
    """The same for blocking clients, see `AsyncCacheTransport`.

    Args:
        cache: where answers are kept, a blocking manager or an async one.
        transport: what sends requests; by default httpx2's own.
        settings: those of `aiocache_pe.integrations.http.caching.HttpCaching`.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    def __init__(
        self, cache: Any = None, *, transport: httpx2.BaseTransport | None = None, **settings: Any
    ) -> None:
        self._caching = HttpCaching(cache, **settings)
        self._inner = httpx2.HTTPTransport() if transport is None else transport
        self._exchange = BlockingExchange(
            self._caching, self._inner.handle_request, httpx2, _Stream
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, from the cache or from the server."""
        response: httpx2.Response = self._exchange.answer(request)
        return response

    def close(self) -> None:
        """Close the connections; the cache is the caller's own."""
        self._inner.close()


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(
        self, chunks: AsyncIterator[bytes], close: Callable[[], Awaitable[None]] | None
    ) -> None:
        self._chunks = chunks
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        if self._close is not None:
            await self._close()


class _Stream(httpx2.SyncByteStream):
    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None] | None) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    def close(self) -> None:
        if self._close is not None:
            self._close()
