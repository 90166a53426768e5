"""Transports for httpx that cache the responses of model servers.

The official SDKs are cached with one argument::

    from aiocache_pe.integrations.httpx import cached_client

    client = AsyncOpenAI(http_client=cached_client(CacheManager()))

For SDKs that use httpx2, `aiocache_pe.integrations.httpx2` has the same names.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.integrations.http.async_transport import AsyncTransport
from aiocache_pe.integrations.http.clients import make_client
from aiocache_pe.integrations.http.sync_transport import SyncTransport

try:
    import httpx
except ImportError as error:
    raise MissingDependencyError("caching with httpx", extra="httpx") from error


class AsyncCacheTransport(
    AsyncTransport[httpx.AsyncBaseTransport, httpx.Request, httpx.Response],
    httpx.AsyncBaseTransport,
):
    """Transport for `httpx.AsyncClient` that caches responses; see `AsyncTransport`."""

    _library = httpx


class CacheTransport(
    SyncTransport[httpx.BaseTransport, httpx.Request, httpx.Response],
    httpx.BaseTransport,
):
    """Transport for `httpx.Client` that caches responses; see `AsyncTransport`."""

    _library = httpx


def cached_client(
    cache: Any = None,
    *,
    client: httpx.AsyncClient | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> httpx.AsyncClient:
    """Return an async client that caches responses, for an SDK: ``AsyncOpenAI(http_client=...)``.

    Redirects, limits, proxies of the environment and of the client, and HTTP/2 work as without
    the cache. The SDK keeps its own time-outs.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        client: the client to change; by default a new one with the limits of the SDKs.
        options: arguments of a new `httpx.AsyncClient`, such as ``{"proxy": ..., "http2": True}``.
        settings: the settings of the transport; see `HttpCaching`.

    Raises:
        ConfigurationError: a setting cannot work, or both a client and options are given.
    """
    make_transport = partial(AsyncCacheTransport, cache, **settings)
    return make_client(httpx, httpx.AsyncClient, make_transport, client, options)


def cached_sync_client(
    cache: Any = None,
    *,
    client: httpx.Client | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> httpx.Client:
    """Return a blocking client that caches responses, for an SDK: ``OpenAI(http_client=...)``.

    Redirects, limits, proxies of the environment and of the client, and HTTP/2 work as without
    the cache. The SDK keeps its own time-outs.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        client: the client to change; by default a new one with the limits of the SDKs.
        options: arguments of a new `httpx.Client`, such as ``{"proxy": ..., "http2": True}``.
        settings: the settings of the transport; see `HttpCaching`.

    Raises:
        ConfigurationError: a setting cannot work, or both a client and options are given.
    """
    make_transport = partial(CacheTransport, cache, **settings)
    return make_client(httpx, httpx.Client, make_transport, client, options)
