"""Entries of the memory tier, and the form in which they hold their values.

An immutable value is held itself, and all callers share it. Any other value is held as its
payload, and every caller decodes a copy. A caller that changes its copy therefore cannot affect
other callers. The record itself is not held, because at a million entries every byte counts.
"""

from __future__ import annotations

import math
from sys import getsizeof
from typing import Any, Final, TypeVar

from msgspec import Struct

from aiocache_pe.codecs.object_size import measure_texts
from aiocache_pe.record import Head, Record, Savings

T = TypeVar("T")

ENTRY_OVERHEAD: Final = 512
"""Bytes that an entry takes besides the bytes of its key and payload, in a full tier of 10,000."""

_USUAL_STAMP: Final = 107  # bytes; `ENTRY_OVERHEAD` contains a stamp of this size
_EMPTY_TEXT: Final = getsizeof("")
_ALLOCATION_UNIT: Final = 16  # bytes; the allocator rounds sizes up to it
_MAX_SHARED_SIZE: Final = 1 << 16  # bytes; entries of equal size up to this share the number
_MAX_SHARED: Final = 64  # times, and names of codecs
_shared_sizes: dict[int, int] = {}
_shared_times: dict[float, float] = {}
_shared_codecs: dict[str, str] = {}


def share_time(time: float) -> float:
    """Return an equal number that all entries of this time share, to save memory.

    Entries that were written together expire at the same time. The last 64 times are shared.
    """
    return _share(time, _shared_times)


def _share(value: T, shared: dict[T, T]) -> T:
    if len(shared) >= _MAX_SHARED:
        shared.clear()
    return shared.setdefault(value, value)


class EncodedValue(Struct, gc=False, eq=False):
    """A payload that is decoded for every caller."""

    codec: str
    payload: bytes

    def measure(self) -> int:
        """Return the memory that it takes, in bytes."""
        return getsizeof(self) + getsizeof(self.payload)


class EntryExtras(Struct, gc=False, eq=False):
    """Facts that most entries lack.

    Attributes:
        tags: each tag with the token that it must still have.
        stale_until: end of stale serving, not before the entry expires.
        saves: the savings of a hit besides the time; ``None`` if unknown.
    """

    tags: dict[str, str]
    stale_until: float
    saves: Savings | None


class MemoryEntry:
    """An entry in memory.

    Attributes:
        key: the store key.
        content: the value if it is immutable, otherwise an `EncodedValue`.
        stamp: the store's stamp of the version from which the entry was made.
        created_at: time at which the value was stored, rounded down to a second since the epoch.
        expires_at: seconds since the epoch, infinity for no end.
        cost: seconds that the computation of the value took.
        size: size of the entry in bytes, with its key, content, stamp and extras.
        extras: facts that most entries lack; ``None`` without any.
        hits: number of hits.
        counted_hits: the part of ``hits`` that `Counters` has counted.
        last_access: time of the last hit in seconds since the epoch; rounded down to the second
            once it is counted.
        queue, previous, next, policy_state: see `aiocache_pe.eviction.base.Node`.
    """

    # A msgspec struct without garbage collection would be 16 bytes smaller. But setting an
    # attribute, which a hit does twice, takes three times as long there.
    __slots__ = (
        "content",
        "cost",
        "counted_hits",
        "created_at",
        "expires_at",
        "extras",
        "hits",
        "key",
        "last_access",
        "next",
        "policy_state",
        "previous",
        "queue",
        "size",
        "stamp",
    )

    def __init__(self, record: Record) -> None:
        head = record.head
        self.key = head.key
        self.content: Any = EncodedValue(_share(head.codec, _shared_codecs), record.payload)
        self.stamp = record.stamp
        self.created_at = share_time(head.created_at // 1.0)
        self.expires_at = math.inf if head.expires_at is None else share_time(head.expires_at)
        self.cost = head.cost or 0.0  # one object for all zeros
        self.size = _compute_size(head, record.stamp)
        self.extras = _make_extras(head)
        self.hits = 0
        self.counted_hits = 0
        self.last_access = 0.0
        self.queue: Any = None
        self.previous: Any = None
        self.next: Any = None
        self.policy_state = 0

    @property
    def is_in_tier(self) -> bool:
        """Return whether the memory tier holds the entry, so that it can be hit again."""
        return self.queue is not None

    @property
    def stale_until(self) -> float:
        """Return the end of stale serving, not before ``expires_at``."""
        return self.expires_at if self.extras is None else self.extras.stale_until

    @property
    def saves(self) -> Savings | None:
        """Return the savings of a hit besides the time; ``None`` if unknown."""
        return None if self.extras is None else self.extras.saves


def _make_extras(head: Head) -> EntryExtras | None:
    if not head.tags and head.stale_until is None and head.saves is None:
        return None
    end = head.removable_at
    return EntryExtras(head.tags, math.inf if end is None else end, head.saves)


def _compute_size(head: Head, stamp: object) -> int:
    exact = ENTRY_OVERHEAD + getsizeof(head.key) - _EMPTY_TEXT + head.size
    extra = getsizeof(stamp) - _USUAL_STAMP
    if extra > 0:  # the stamp of a file contains its path
        exact += extra
    if head.tags:
        exact += measure_texts(head.tags)
    size = -(-exact // _ALLOCATION_UNIT) * _ALLOCATION_UNIT
    return size if size > _MAX_SHARED_SIZE else _shared_sizes.setdefault(size, size)
