"""The memory tier's slots: what of an entry is kept in the process, and in which form.

A slot holds the value itself when it is immutable, so every caller shares it, and the
payload otherwise, so every caller decodes a copy of its own and none can spoil what the
next one gets. It does not hold the record: at a million entries that is what counts.
"""

from __future__ import annotations

import math
from typing import Any, Final

from aiocache_pe.record import Record
from aiocache_pe.sentinels import MISSING

OVERHEAD: Final = 400  # bytes a slot takes besides its value and key, measured


class Slot:
    """One entry in memory.

    Attributes:
        key: the store key.
        value: the value when it is immutable, else `MISSING`.
        codec, payload: what to decode for each caller when there is no shared value.
        stamp: the store's mark of the version this was made from.
        expires_at: seconds since the epoch, infinity for never.
        stale_until: until when it may be served stale, at least ``expires_at``.
        tags: each tag with the token that must still be its own.
        cost: seconds that the value took to compute.
        saves: what a hit saves besides; ``None`` when not known.
        size: what the slot weighs, in bytes.
        uses: how often it was a hit; ``counted`` of these are already reported.
        kept: whether it is in the tier, to be hit again; not when it did not fit.
        used_at: when it was last a hit, seconds since the epoch.
    """

    __slots__ = (
        "codec",
        "cost",
        "counted",
        "expires_at",
        "kept",
        "key",
        "payload",
        "saves",
        "size",
        "stale_until",
        "stamp",
        "tags",
        "used_at",
        "uses",
        "value",
    )

    def __init__(self, record: Record, value: Any = MISSING) -> None:
        head = record.head
        self.key = head.key
        self.value = value
        self.codec = head.codec
        self.payload = record.payload
        self.stamp = record.stamp
        self.expires_at = math.inf if head.expires_at is None else head.expires_at
        stale_until = head.stale_until  # nearly always none, and then no number of its own
        self.stale_until = self.expires_at if stale_until is None else stale_until
        self.tags = head.tags or None
        self.cost = head.cost
        self.saves = head.saves
        self.size = OVERHEAD + len(head.key) + head.size
        self.kept = False
        self.uses = 0
        self.counted = 0
        self.used_at = 0.0

    def share(self, value: Any) -> None:
        """Keep an immutable value in the place of the payload it was decoded from."""
        self.value = value
        self.payload = b""
