"""An asyncio-native cache for slow, costly calls: LLM completions, embeddings, searches.

>>> from aiocache_pe import CacheManager, cached
>>> @cached(ttl="1h", backend="memory")
... async def answer(question: str) -> str:
...     return f"{question} 42."
>>> import asyncio
>>> asyncio.run(answer("What is six times seven?"))
'What is six times seven? 42.'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiocache_pe._exports import load
from aiocache_pe._version import __version__ as __version__

if TYPE_CHECKING:  # the names of `_exports`, for type checkers
    from aiocache_pe.cache.default_cache import get_cache
    from aiocache_pe.cache.manager import CacheManager
    from aiocache_pe.codecs.classes.registry import register
    from aiocache_pe.context import bypass, fresh, observe, read_only, refresh, sample
    from aiocache_pe.decorators.base import AsyncCachedFunction, CachedFunction
    from aiocache_pe.decorators.batch.functions import AsyncCachedBatch, CachedBatch
    from aiocache_pe.decorators.cached import cached
    from aiocache_pe.decorators.cached_batch import cached_batch
    from aiocache_pe.engine.stats import CacheEntry, CacheInfo, CacheStats
    from aiocache_pe.exceptions import (
        AccessDeniedError,
        BackendError,
        CacheClosedError,
        CacheError,
        ConfigurationError,
        CorruptRecordError,
        DeadlockError,
        InvalidKeyError,
        InvalidTTLError,
        LoadTimeoutError,
        LockTimeoutError,
        MissingDependencyError,
        NewerRecordError,
        SecretRequiredError,
        SerializationError,
        StoreUnavailableError,
        UnrecordedCallError,
        UnstableIdentityError,
    )
    from aiocache_pe.keys.call_key import make_cache_key
    from aiocache_pe.keys.file_digest import FileDigest, file_digest
    from aiocache_pe.keys.value_parts import register_identity
    from aiocache_pe.loading.previous import UNCHANGED, Previous
    from aiocache_pe.metrics.instrument import Instrumentation, instrument
    from aiocache_pe.observation import ObservedCall
    from aiocache_pe.recordings.recorder import recording
    from aiocache_pe.usage.prices import Price
    from aiocache_pe.warming.warm import WarmReport, keep_warm, most_hit, warm_cache
else:

    def __getattr__(name):  # noqa: ANN001, ANN202 - the types are above
        """Import a public name on first use."""
        value = globals()[name] = load(name)
        return value

    def __dir__():  # noqa: ANN202 - the types are above
        return __all__


__all__ = [
    "UNCHANGED",
    "AccessDeniedError",
    "AsyncCachedBatch",
    "AsyncCachedFunction",
    "BackendError",
    "CacheClosedError",
    "CacheEntry",
    "CacheError",
    "CacheInfo",
    "CacheManager",
    "CacheStats",
    "CachedBatch",
    "CachedFunction",
    "ConfigurationError",
    "CorruptRecordError",
    "DeadlockError",
    "FileDigest",
    "Instrumentation",
    "InvalidKeyError",
    "InvalidTTLError",
    "LoadTimeoutError",
    "LockTimeoutError",
    "MissingDependencyError",
    "NewerRecordError",
    "ObservedCall",
    "Previous",
    "Price",
    "SecretRequiredError",
    "SerializationError",
    "StoreUnavailableError",
    "UnrecordedCallError",
    "UnstableIdentityError",
    "WarmReport",
    "bypass",
    "cached",
    "cached_batch",
    "file_digest",
    "fresh",
    "get_cache",
    "instrument",
    "keep_warm",
    "make_cache_key",
    "most_hit",
    "observe",
    "read_only",
    "recording",
    "refresh",
    "register",
    "register_identity",
    "sample",
    "warm_cache",
]
