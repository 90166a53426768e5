"""Transports for httpx that cache the responses of model servers.

The official SDKs are cached with one argument::

    from aiocache_pe.integrations.httpx import AsyncCacheTransport

    transport = AsyncCacheTransport(CacheManager())
    client = AsyncOpenAI(http_client=httpx.AsyncClient(transport=transport))

For SDKs that use httpx2, `aiocache_pe.integrations.httpx2` has the same names.
"""

from __future__ import annotations

from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.integrations.http.transports import AsyncTransport, SyncTransport

try:
    import httpx
except ImportError as error:
    raise MissingDependencyError("caching with httpx", extra="httpx") from error


class AsyncCacheTransport(
    AsyncTransport[httpx.AsyncBaseTransport, httpx.Request, httpx.Response],
    httpx.AsyncBaseTransport,
):
    """Transport that sends requests and caches the responses of model servers.

    Complete, successful responses are stored, whether they are streams or not. Errors are not
    stored. Identical requests at the same time are sent once. The header ``x-aiocache-pe`` of a
    response has its origin: ``hit``, ``miss`` or ``stale``. The headers of a request are neither
    stored nor part of a key, except for the few that change a response, such as
    ``anthropic-version``.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        transport: the transport that sends requests; by default `httpx.AsyncHTTPTransport`.
        settings: the settings of `aiocache_pe.integrations.http.caching.HttpCaching`: ``ttl``,
            ``namespace``, ``tags``, ``vary``, ``store_truncated``, ``cacheable``, ``stale_ttl``
            and ``lock``.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    _library = httpx


class CacheTransport(
    SyncTransport[httpx.BaseTransport, httpx.Request, httpx.Response],
    httpx.BaseTransport,
):
    """Transport of a blocking client that caches the responses of model servers.

    `AsyncCacheTransport` describes which responses are stored, and the settings.

    Args:
        cache: the cache, blocking or async; by default the process's shared cache.
        transport: the transport that sends requests; by default `httpx.HTTPTransport`.
        settings: the settings of `aiocache_pe.integrations.http.caching.HttpCaching`.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    _library = httpx
