"""Transports for httpx2 that cache the responses of model servers.

The official SDKs are cached with one argument::

    from aiocache_pe.integrations.httpx2 import cached_client

    client = AsyncOpenAI(http_client=cached_client(CacheManager()))

For SDKs that use httpx, `aiocache_pe.integrations.httpx` has the same names.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.integrations.http.async_transport import AsyncTransport
from aiocache_pe.integrations.http.clients import make_client
from aiocache_pe.integrations.http.sync_transport import SyncTransport

try:
    import httpx2
except ImportError as error:
    raise MissingDependencyError("caching with httpx2", extra="httpx2") from error


class AsyncCacheTransport(
    AsyncTransport[httpx2.AsyncBaseTransport, httpx2.Request, httpx2.Response],
    httpx2.AsyncBaseTransport,
):
    """Transport for `httpx2.AsyncClient` that caches responses; see `AsyncTransport`."""

    _library = httpx2


class CacheTransport(
    SyncTransport[httpx2.BaseTransport, httpx2.Request, httpx2.Response],
    httpx2.BaseTransport,
):
    """Transport for `httpx2.Client` that caches responses; see `AsyncTransport`."""

    _library = httpx2


def cached_client(
    cache: Any = None,
    *,
    client: httpx2.AsyncClient | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> httpx2.AsyncClient:
    """Return an async client that caches responses, for an SDK: ``AsyncOpenAI(http_client=...)``.

    Redirects, limits, proxies of the environment and of the client, and HTTP/2 work as without
    the cache. The SDK keeps its own time-outs.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        client: the client to change; by default a new one with the limits of the SDKs.
        options: arguments of a new `httpx2.AsyncClient`, such as ``{"proxy": ..., "http2": True}``.
        settings: the settings of the transport; see `HttpCaching`.

    Raises:
        ConfigurationError: a setting cannot work, or both a client and options are given.
    """
    make_transport = partial(AsyncCacheTransport, cache, **settings)
    return make_client(httpx2, httpx2.AsyncClient, make_transport, client, options)


def cached_sync_client(
    cache: Any = None,
    *,
    client: httpx2.Client | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> httpx2.Client:
    """Return a blocking client that caches responses, for an SDK: ``OpenAI(http_client=...)``.

    Redirects, limits, proxies of the environment and of the client, and HTTP/2 work as without
    the cache. The SDK keeps its own time-outs.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        client: the client to change; by default a new one with the limits of the SDKs.
        options: arguments of a new `httpx2.Client`, such as ``{"proxy": ..., "http2": True}``.
        settings: the settings of the transport; see `HttpCaching`.

    Raises:
        ConfigurationError: a setting cannot work, or both a client and options are given.
    """
    make_transport = partial(CacheTransport, cache, **settings)
    return make_client(httpx2, httpx2.Client, make_transport, client, options)
