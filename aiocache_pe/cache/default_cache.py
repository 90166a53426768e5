"""Managers that all code of a process shares, one for each store."""

from __future__ import annotations

import os

from aiocache_pe.cache.manager import CacheManager

_managers: dict[tuple[str | None, str | None], CacheManager] = {}


def get_cache(backend: str | None = None, redis_url: str | None = None) -> CacheManager:
    """Return the process's manager for a store; the first call creates it.

    Args:
        backend: ``"file"``, ``"redis"``, ``"memory"``, ``"null"`` or a URL. Default:
            ``AIOCACHE_PE_BACKEND``, else ``"file"``.
        redis_url: URL of a Redis server, which selects the Redis store; see `CacheManager`.

    Returns:
        The same manager for the same arguments, for all tasks, threads and loops.

    Raises:
        ConfigurationError: a setting is invalid.

    Example:
        >>> get_cache("memory") is get_cache("memory")
        True
    """
    default = os.environ.get("AIOCACHE_PE_BACKEND") or "file"
    key = (default if backend is None else backend, redis_url)
    manager = _managers.get(key)
    if manager is None:  # of two threads one is first; the other one's manager is dropped unused
        manager = _managers.setdefault(key, CacheManager(backend, redis_url=redis_url))
    return manager
