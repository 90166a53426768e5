"""Transports for httpx that cache the responses of model servers.

The official SDKs are cached with one argument::

    from aiocache_pe.integrations.httpx import AsyncCacheTransport

    transport = AsyncCacheTransport(CacheManager())
    client = AsyncOpenAI(http_client=httpx.AsyncClient(transport=transport))

For SDKs that use httpx2, `aiocache_pe.integrations.httpx2` has the same names.
"""

from __future__ import annotations

from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.integrations.http.async_transport import AsyncTransport
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
