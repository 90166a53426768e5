"""Results that users read: one entry, the counters of a namespace, the calls of a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One entry as it is stored now.

    Attributes:
        key: the key, without its namespace.
        value: the stored value.
        created_at: time of writing, in seconds since the epoch.
        expires_at: time of expiry, in seconds since the epoch; ``None`` for no expiry.
        last_access: time of the last read, or of writing before the first read.
        hit_count: number of reads in all processes that were reported so far.
        size_bytes: size of the record in the store, in bytes.
        tags: the tags of the entry, sorted.

    Example:
        >>> run(cache.set("user:1", {"name": "Ada"}, tags=["users"]))
        True
        >>> entry = run(cache.entry("user:1"))
        >>> entry.value, entry.tags, entry.expires_at
        ({'name': 'Ada'}, ('users',), None)
    """

    key: str
    value: Any
    created_at: float
    expires_at: float | None
    last_access: float
    hit_count: int
    size_bytes: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The counters of one namespace, over all processes and restarts.

    Attributes:
        hits: reads that found a live entry.
        misses: reads that found none.
        sets: entries written.
        deletes: entries removed by a caller.
        evictions: entries removed to stay within a bound.
        expirations: entries removed because they had expired.
        errors: store failures and damaged records, in spite of which the calls continued.
        seconds_saved: time that the hits saved, by the measured duration of their factories.
        total_entries: entries in the store now; expired ones count until they are removed.
        total_size_bytes: size of these entries in bytes, headers included.
        stale_hits: the part of ``hits`` that was served from expired entries (``stale_ttl``).
        load_failures: factories that raised, for a caller or in the background.
        input_tokens_saved: tokens that the hits saved sending to a model, by the ``usage`` of
            its responses.
        output_tokens_saved: tokens that the model did not have to generate.
        money_saved: cost of these tokens, by the ``prices`` of the manager that stored the
            responses.
        unstorable: results that were computed and that no codec can hold; the log names the
            functions and the remedies.

    Example:
        >>> run(cache.get("absent"))
        >>> stats = run(cache.get_stats())
        >>> stats.hits, stats.misses, stats.hit_rate
        (0, 1, 0.0)
    """

    hits: int = 0
    misses: int = 0
    sets: int = 0
    deletes: int = 0
    evictions: int = 0
    expirations: int = 0
    errors: int = 0
    seconds_saved: float = 0.0
    total_entries: int = 0
    total_size_bytes: int = 0
    stale_hits: int = 0
    load_failures: int = 0
    input_tokens_saved: int = 0
    output_tokens_saved: int = 0
    money_saved: float = 0.0
    unstorable: int = 0

    @property
    def hit_rate(self) -> float:
        """Return hits as a share of all reads, from 0.0 to 1.0; 0.0 before the first read."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0


class CacheInfo(NamedTuple):
    """The calls of one decorated function in this process.

    Attributes:
        hits: calls that were served without calling the function.
        misses: calls of the function.
        maxsize: the ``max_entries`` of the cache, which bounds the results of all functions
            together; ``None`` for no bound.
        currsize: results of the function that this process holds in memory.
        unstorable: results that no codec can hold, so that they are computed again at each call.

    Example:
        >>> @cache.cached(ttl="1h")
        ... async def double(number: int) -> int:
        ...     return 2 * number
        >>> [run(double(21)), run(double(21))]
        [42, 42]
        >>> double.cache_info()
        CacheInfo(hits=1, misses=1, maxsize=None, currsize=1, unstorable=0)
    """

    hits: int
    misses: int
    maxsize: int | None = None
    currsize: int = 0
    unstorable: int = 0
