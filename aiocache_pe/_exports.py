"""Table of the public names and their modules, for imports on first use.

``import aiocache_pe`` imports none of the modules. A name is imported when it is first used
(PEP 562), so a program pays only for the parts that it uses, and the command line starts
fast. A test imports every name.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES_BY_MODULE = {
    "aiocache_pe.keys.call_key": ("make_cache_key",),
    "aiocache_pe.codecs.classes.registry": ("register",),
    "aiocache_pe.decorators.batch.functions": ("AsyncCachedBatch", "CachedBatch"),
    "aiocache_pe.decorators.cached": ("cached",),
    "aiocache_pe.decorators.cached_batch": ("cached_batch",),
    "aiocache_pe.decorators.base": ("AsyncCachedFunction", "CachedFunction"),
    "aiocache_pe.keys.file_digest": ("FileDigest", "file_digest"),
    "aiocache_pe.keys.value_parts": ("register_identity",),
    "aiocache_pe.engine.stats": ("CacheEntry", "CacheInfo", "CacheStats"),
    "aiocache_pe.exceptions": (
        "AccessDeniedError",
        "BackendError",
        "CacheClosedError",
        "CacheError",
        "ConfigurationError",
        "CorruptRecordError",
        "DeadlockError",
        "InvalidKeyError",
        "InvalidTTLError",
        "LoadTimeoutError",
        "LockTimeoutError",
        "MissingDependencyError",
        "NewerRecordError",
        "SecretRequiredError",
        "SerializationError",
        "StoreUnavailableError",
        "UnrecordedCallError",
        "UnstableIdentityError",
    ),
    "aiocache_pe.cache.manager": ("CacheManager",),
    "aiocache_pe.loading.previous": ("UNCHANGED", "Previous"),
    "aiocache_pe.usage.prices": ("Price",),
    "aiocache_pe.recordings.recorder": ("recording",),
    "aiocache_pe.cache.default_cache": ("get_cache",),
    "aiocache_pe.context": ("bypass", "fresh", "observe", "read_only", "refresh", "sample"),
    "aiocache_pe.metrics.instrument": ("Instrumentation", "instrument"),
    "aiocache_pe.observation": ("ObservedCall",),
    "aiocache_pe.warming.warm": ("WarmReport", "keep_warm", "most_hit", "warm_cache"),
}
MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}
"""The module of each public name."""


def load(name: str) -> Any:
    """Import and return the object of a public name."""
    if name not in MODULES:
        raise AttributeError(f"module 'aiocache_pe' has no attribute {name!r}")
    return getattr(importlib.import_module(MODULES[name]), name)
