"""The managers that a process shares."""

from __future__ import annotations

import os

from aiocache_pe.cache.manager import CacheManager

_managers: dict[tuple[str | None, str | None], CacheManager] = {}


def get_cache(backend: str | None = None, redis_url: str | None = None) -> CacheManager:
    """The process's manager for a store, made when it is first asked for.

    Args:
        backend: ``"file"``, ``"redis"``, ``"memory"``, ``"null"`` or a URL; by default what
            ``AIOCACHE_PE_BACKEND`` says, else ``"file"``.
        redis_url: the Redis server, which is the store then; see `CacheManager`.

    Returns:
        The same manager for the same arguments, for all tasks, threads and loops.

    Raises:
        ConfigurationError: a setting cannot work.

    Example:
        >>> get_cache("memory") is get_cache("memory")
        True
    """
    default = os.environ.get("AIOCACHE_PE_BACKEND") or "file"
    key = (default if backend is None else backend, redis_url)
    manager = _managers.get(key)
    if manager is None:  # of two threads one is first; the other's holds nothing yet
        manager = _managers.setdefault(key, CacheManager(backend, redis_url=redis_url))
    return manager
