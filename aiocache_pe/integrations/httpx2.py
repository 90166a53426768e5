"""Transports for httpx2 that cache the responses of model servers.

The official SDKs are cached with one argument::

    from aiocache_pe.integrations.httpx2 import AsyncCacheTransport

    transport = AsyncCacheTransport(CacheManager())
    client = AsyncOpenAI(http_client=httpx2.AsyncClient(transport=transport))

For SDKs that use httpx, `aiocache_pe.integrations.httpx` has the same names.
"""

from __future__ import annotations

from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.integrations.http.transports import AsyncTransport, SyncTransport

try:
    import httpx2
except ImportError as error:
    raise MissingDependencyError("caching with httpx2", extra="httpx2") from error


class AsyncCacheTransport(
    AsyncTransport[httpx2.AsyncBaseTransport, httpx2.Request, httpx2.Response],
    httpx2.AsyncBaseTransport,
):
    """Transport that sends requests and caches the responses of model servers.

    Complete, successful responses are stored, whether they are streams or not. Errors are not
    stored. Identical requests at the same time are sent once. The header ``x-aiocache-pe`` of a
    response has its origin: ``hit``, ``miss`` or ``stale``. The headers of a request are neither
    stored nor part of a key, except for the few that change a response, such as
    ``anthropic-version``.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        transport: the transport that sends requests; by default `httpx2.AsyncHTTPTransport`.
        settings: the settings of `aiocache_pe.integrations.http.caching.HttpCaching`: ``ttl``,
            ``namespace``, ``tags``, ``vary``, ``store_truncated``, ``cacheable``, ``stale_ttl``
            and ``lock``.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    _library = httpx2


class CacheTransport(
    SyncTransport[httpx2.BaseTransport, httpx2.Request, httpx2.Response],
    httpx2.BaseTransport,
):
    """Transport of a blocking client that caches the responses of model servers.

    `AsyncCacheTransport` describes which responses are stored, and the settings.

    Args:
        cache: the cache, blocking or async; by default the process's shared cache.
        transport: the transport that sends requests; by default `httpx2.HTTPTransport`.
        settings: the settings of `aiocache_pe.integrations.http.caching.HttpCaching`.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    _library = httpx2
