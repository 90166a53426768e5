"""The memory tier's slots: what of an entry is kept in the process, and in which form.

A slot holds the value itself when it is immutable, so every caller shares it, and the
payload otherwise, so every caller decodes a copy of its own and none can spoil what the
next one gets. It does not hold the record: at a million entries every byte counts.
"""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct

from aiocache_pe.record import Head, Record, Savings

OVERHEAD: Final = 352  # bytes a slot takes besides its value and key, in a full tier of 10,000
_GRAIN: Final = 16  # bytes, that memory is given out in
_SHARED: Final = 1 << 16  # bytes; up to this, slots of a weight share the number
_MANY: Final = 64  # moments that are shared at a time
_weights: dict[int, int] = {}
_moments: dict[float, float] = {}


def share(moment: float) -> float:
    """The same number, one for all slots that have it, as those that were written together."""
    if len(_moments) >= _MANY:
        _moments.clear()
    return _moments.setdefault(moment, moment)


class EncodedValue(Struct, gc=False, eq=False):
    """A value that callers could change: what to decode for each of them."""

    codec: str
    payload: bytes


class EntryExtras(Struct, gc=False, eq=False):
    """What most entries have none of.

    Attributes:
        tags: each tag with the token that must still be its own.
        stale_until: until when it may be served stale, at least as long as it is fresh.
        saves: what a hit saves besides the time; ``None`` when not known.
    """

    tags: dict[str, str]
    stale_until: float
    saves: Savings | None


class MemoryEntry:
    """One entry in memory.

    Attributes:
        key: the store key.
        held: the value when it is immutable, else `EncodedValue`.
        stamp: the store's mark of the version this was made from.
        expires_at: seconds since the epoch, infinity for never.
        cost: seconds that the value took to compute.
        size: what the slot weighs, in bytes.
        rare: what most have none of.
        hits: number of hits; ``counted`` of these are already reported.
        used_at: when it was last a hit, seconds since the epoch; to the second, once that
            is reported.
        queue, previous, next, policy_state: see `aiocache_pe.eviction.base.Node`.
    """

    # Not a struct, as the rest: it would not be known to the garbage collector and be smaller
    # by 16 bytes, but to set an attribute, as a hit does twice, takes three times as long.
    __slots__ = (
        "cost",
        "counted",
        "expires_at",
        "held",
        "hits",
        "key",
        "next",
        "policy_state",
        "previous",
        "queue",
        "rare",
        "size",
        "stamp",
        "used_at",
    )

    def __init__(self, record: Record) -> None:
        head = record.head
        self.key = head.key
        self.held: Any = EncodedValue(head.codec, record.payload)
        self.stamp = record.stamp
        self.expires_at = math.inf if head.expires_at is None else share(head.expires_at)
        self.cost = head.cost or 0.0  # one for all
        self.size = _weight(OVERHEAD + len(head.key) + head.size)
        plain = not head.tags and head.stale_until is None and head.saves is None
        self.rare = None if plain else _rare(head)
        self.hits = 0
        self.counted = 0
        self.used_at = 0.0
        self.queue: Any = None
        self.previous: Any = None
        self.next: Any = None
        self.policy_state = 0

    @property
    def admitted_at(self) -> bool:
        """Whether it is in the tier, to be hit again; not when it did not fit, or went."""
        return self.queue is not None

    @property
    def tags(self) -> dict[str, str] | None:
        """Each tag with the token that must still be its own; ``None`` without any."""
        return None if self.rare is None else self.rare.tags or None

    @property
    def stale_until(self) -> float:
        """Until when it may be served stale, at least ``expires_at``."""
        return self.expires_at if self.rare is None else self.rare.stale_until

    @property
    def saves(self) -> Savings | None:
        """What a hit saves besides the time; ``None`` when not known."""
        return None if self.rare is None else self.rare.saves


def _rare(head: Head) -> EntryExtras:
    gone_at = head.removable_at
    return EntryExtras(head.tags, math.inf if gone_at is None else gone_at, head.saves)


def _weight(size: int) -> int:
    size = -(-size // _GRAIN) * _GRAIN
    return size if size > _SHARED else _weights.setdefault(size, size)
