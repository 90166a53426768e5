"""Stores, and the protocols that a store implements.

`Backend` and the capabilities are defined in `aiocache_pe.backends.base`. The stores are imported
on first use, because some of them import a client library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from aiocache_pe.backends.base import (
    Backend,
    Change,
    Check,
    Coherent,
    Condition,
    Evicting,
    Examinable,
    Expiring,
    Generational,
    Lease,
    Leasing,
    Located,
    Maintainable,
    Partitioned,
    Peekable,
    Probed,
    ReadResult,
    SecretKeeper,
    Settleable,
    Sized,
    Sweeper,
    Usage,
)

if TYPE_CHECKING:
    from aiocache_pe.backends.fallback.backend import FallbackBackend
    from aiocache_pe.backends.file.backend import FileBackend
    from aiocache_pe.backends.memory import MemoryBackend
    from aiocache_pe.backends.null import NullBackend
    from aiocache_pe.backends.redis.backend import RedisBackend
else:
    _STORES = {
        "FallbackBackend": "aiocache_pe.backends.fallback.backend",
        "FileBackend": "aiocache_pe.backends.file.backend",
        "MemoryBackend": "aiocache_pe.backends.memory",
        "NullBackend": "aiocache_pe.backends.null",
        "RedisBackend": "aiocache_pe.backends.redis.backend",
    }

    def __getattr__(name):  # noqa: ANN001, ANN202 - the types are above
        """Return a store's class, and import its module on first use."""
        try:
            module = _STORES[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        value = globals()[name] = getattr(importlib.import_module(module), name)
        return value

    def __dir__():  # noqa: ANN202 - the types are above
        return __all__


__all__ = [
    "Backend",
    "Change",
    "Check",
    "Coherent",
    "Condition",
    "Evicting",
    "Examinable",
    "Expiring",
    "FallbackBackend",
    "FileBackend",
    "Generational",
    "Lease",
    "Leasing",
    "Located",
    "Maintainable",
    "MemoryBackend",
    "NullBackend",
    "Partitioned",
    "Peekable",
    "Probed",
    "ReadResult",
    "RedisBackend",
    "SecretKeeper",
    "Settleable",
    "Sized",
    "Sweeper",
    "Usage",
]
