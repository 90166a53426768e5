"""The library for code without an event loop: same names, blocking.

An existing script changes one line, ``from aiocache_pe.sync import CacheManager``. The
decorator is the same one: a plain function stays blocking.

Example:
    >>> from aiocache_pe.sync import CacheManager, cached
    >>> cache = CacheManager("memory")
    >>> @cached(ttl="1h", cache=cache)
    ... def double(number: int) -> int:
    ...     print("computing")
    ...     return 2 * number
    >>> double(21), double(21)
    computing
    (42, 42)
    >>> cache.set("greeting", "hello"), cache.get("greeting")
    (True, 'hello')
"""

from __future__ import annotations

from aiocache_pe import shared
from aiocache_pe.callkey import make_cache_key
from aiocache_pe.decorators.cached import cached
from aiocache_pe.steering import bypass, read_only, refresh
from aiocache_pe.twin import CacheManager

__all__ = [
    "CacheManager",
    "bypass",
    "cached",
    "get_cache",
    "make_cache_key",
    "read_only",
    "refresh",
]


def get_cache(backend: str | None = None, redis_url: str | None = None) -> CacheManager:
    """The process's manager for a store, made when it is first asked for.

    Args:
        backend: ``"file"``, ``"redis"``, ``"memory"``, ``"null"`` or a URL; by default what
            ``AIOCACHE_PE_BACKEND`` says, else ``"file"``.
        redis_url: the Redis server, which is the store then; see `CacheManager`.

    Returns:
        The twin of what `aiocache_pe.get_cache` returns, so both share everything.

    Raises:
        ConfigurationError: a setting cannot work.

    Example:
        >>> get_cache("memory") == get_cache("memory")
        True
    """
    return CacheManager.of(shared.get_cache(backend, redis_url))
