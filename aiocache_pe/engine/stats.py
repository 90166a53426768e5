"""What a user is shown: one entry, and the counters of a namespace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One entry as it is stored now.

    Attributes:
        key: the key, without its namespace.
        value: the stored value.
        created_at: when it was written, seconds since the epoch.
        expires_at: when it expires, seconds since the epoch; ``None`` for never.
        last_access: when it was last read, or written when it never was.
        hit_count: how often it was read, over all processes, as far as it was reported.
        size_bytes: what the record weighs in the store.
        tags: the tags it carries, sorted.
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
        expirations: entries removed because their time was over.
        errors: store failures and damaged records that were survived.
        seconds_saved: what the hits would have cost, by the measured time of their factories.
        total_entries: entries in the store now; expired ones count until they are cleaned up.
        total_size_bytes: what these weigh, headers included.
        stale_hits: those of the hits that were on expired entries (``stale_ttl``).
        load_failures: factories that raised, for a caller or in the background.
        input_tokens_saved: tokens that the hits would have sent to a model, by the ``usage``
            of the answers.
        output_tokens_saved: tokens that it would have answered with.
        money_saved: what these would have cost, by the ``prices`` of the manager that stored
            the answers.
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

    @property
    def hit_rate(self) -> float:
        """Hits as a share of all reads, from 0.0 to 1.0; 0.0 before the first read."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0


class CacheInfo(NamedTuple):
    """What became of one decorated function's calls, in this process.

    Attributes:
        hits: calls that were served without calling the function.
        misses: calls of the function.
    """

    hits: int
    misses: int
