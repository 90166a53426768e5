"""Transports for httpx2 that cache the responses of model servers.

The official SDKs are cached with one argument::

    from aiocache_pe.integrations.httpx2 import AsyncCacheTransport

    transport = AsyncCacheTransport(CacheManager())
    client = AsyncOpenAI(http_client=httpx2.AsyncClient(transport=transport))

For SDKs that use httpx, `aiocache_pe.integrations.httpx` has the same names.
"""

from __future__ import annotations

from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.integrations.http.async_transport import AsyncTransport
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
