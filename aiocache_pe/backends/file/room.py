"""Staying within the bounds of a directory."""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress

from aiocache_pe.backends.file.book import UNBOUNDED, Book, Bounds, Totals
from aiocache_pe.backends.file.candidates import ORDERS, Seen, choose, look_at
from aiocache_pe.backends.file.layout import Layout, lock_slot
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.backends.file.walk import recount
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.record import Head

_IN_VAIN = 10_000  # candidates that others were quicker with, before it is left to the next write


class Room:
    """Makes room, by removing what the order of eviction says.

    Args:
        layout: the directory.
        locks: of its entries.
        bounds: of this process.
        eviction: one of `candidates.ORDERS`.

    Attributes:
        book: what there is.
        evicted: the heads of what had to go, to be told of and taken out by the store.
    """

    __slots__ = ("_bounds", "_candidates", "_layout", "_locks", "_order", "book", "evicted")

    def __init__(self, layout: Layout, locks: ByteLocks, bounds: Bounds, eviction: str) -> None:
        self.book = Book(layout.book, layout.make_root, bounds)
        self.evicted: deque[Head] = deque()
        self._layout = layout
        self._locks = locks
        self._bounds = bounds
        self._order = ORDERS[eviction]
        self._candidates: list[Seen] = []

    def check(self, weight: int) -> None:
        """Refuse what alone is heavier than all may be.

        Raises:
            OSError: it is.
        """
        most = self._bounds.max_bytes
        if most is not None and weight > most:
            raise OSError(errno.EFBIG, f"an entry of {weight} bytes exceeds max_bytes={most}")

    def took(self, path: str, weight: int, replaced: int | None) -> None:
        """An entry was written, in the place of one of ``replaced`` bytes or of none.

        The caller holds no lock of an entry.
        """
        totals = self.book.add(replaced is None, weight - (replaced or 0))
        if totals is None or self._bounds == UNBOUNDED:
            return
        if not self.book.is_whole:  # the directory is older than its bounds
            recount(self._layout, self.book)
            totals = self.book.totals()
        self._make(self._bounds, totals, spare=path)

    def gave(self, weight: int) -> None:
        """An entry was removed."""
        self.book.add(-1, -weight)

    def enforce(self) -> None:
        """Count what there is and remove what exceeds the bounds.

        Without bounds of our own, those count that the directory was last opened with.
        """
        if self.book.look():
            bounds = self.book.noted if self._bounds == UNBOUNDED else self._bounds
            recount(self._layout, self.book)
            self._make(bounds, self.book.totals())

    def _make(self, bounds: Bounds, totals: Totals, spare: str = "") -> None:
        in_vain = 0
        while in_vain < _IN_VAIN and bounds.exceeded_by(totals):
            seen = self._next(spare)
            if seen is None:
                return
            if self._remove(seen):
                totals = self.book.totals()
            else:
                in_vain += 1

    def _next(self, spare: str) -> Seen | None:
        """The next candidate; ``None`` when nothing is there but what is to be spared."""
        with suppress(IndexError):  # other threads take from it as well
            while True:
                seen = self._candidates.pop()
                if seen.path != spare:
                    return seen
        chosen = choose(self._layout, self._order, spare)
        if not chosen:
            return None
        seen = chosen.pop()
        self._candidates = chosen
        return seen

    def _remove(self, seen: Seen) -> bool:
        """Remove an entry, unless it was used or replaced since it was looked at."""
        with self._locks.hold(lock_slot(seen.path)):
            try:
                if look_at(seen.path)[:4] != seen[:4]:
                    return False
                with suppress(CorruptRecordError, OSError):  # or a link that was put there
                    self.evicted.append(read_head(seen.path))
                os.unlink(seen.path)
            except (FileNotFoundError, IsADirectoryError):
                return False
            self.gave(seen.weight)
        return True
