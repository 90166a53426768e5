"""Staying within the bounds of a directory."""

from __future__ import annotations

import errno
import logging
import os
from collections import deque
from contextlib import suppress

from aiocache_pe.backends.file.eviction_order import ORDERS, Candidate, choose, examine
from aiocache_pe.backends.file.layout import Layout, lock_slot
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.backends.file.scan import recount
from aiocache_pe.backends.file.size_ledger import UNBOUNDED, Bounds, SizeLedger, Totals
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.record import Head

logger = logging.getLogger("aiocache_pe")
_IN_VAIN = 64  # candidates that are in use, before it is left to the next write


class DirectoryBounds:
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
        self.book = SizeLedger(layout.book, layout.make_root, bounds)
        self.evicted: deque[Head] = deque()
        self._layout = layout
        self._locks = locks
        self._bounds = bounds
        self._order = ORDERS[eviction]
        self._candidates: list[Candidate] = []

    def check(self, weight: int) -> None:
        """Refuse what alone is heavier than all may be.

        Raises:
            OSError: it is.
        """
        most = self._bounds.max_bytes
        if most is not None and weight > most:
            raise OSError(errno.EFBIG, f"an entry of {weight} bytes exceeds max_bytes={most}")

    def count_added(self, path: str, weight: int, replaced: int | None) -> None:
        """An entry was written, in the place of one of ``replaced`` bytes or of none.

        The caller holds no lock of an entry.
        """
        try:
            self._took(path, replaced is None, weight - (replaced or 0))
        except OSError as error:  # the entry is stored all the same
            self._lost_count(error)

    def _took(self, path: str, entries: int, weight: int) -> None:
        totals = self.book.add(entries, weight)
        if totals is None or self._bounds == UNBOUNDED:
            return
        if self._is_doubtful(Totals(totals.entries - entries, totals.weight - weight)):
            recount(self._layout, self.book)
            totals = self.book.totals()
        self._make(self._bounds, totals, path)

    def _is_doubtful(self, before: Totals) -> bool:
        """Whether what the book said before a write is no reason to remove anything yet.

        Who dies while an area is cleared leaves it too high by all that was in that.
        """
        if not self.book.is_whole:  # the directory is older than its bounds
            return True
        return self.book.was_left and self._bounds.exceeded_by(before)

    def count_removed(self, weight: int, entries: int = 1) -> None:
        """Entries were removed, which weighed so much together."""
        try:
            self.book.add(-entries, -weight)
        except OSError as error:
            self._lost_count(error)

    def refresh_totals(self) -> bool:
        """Open the book before something is removed; whether there is one.

        What cannot be noted, on a full disk say, is removed all the same.
        """
        try:
            return self.book.refresh()
        except OSError as error:
            self._lost_count(error)
            return False

    def _lost_count(self, error: OSError) -> None:
        """Have everything counted anew, for a change could not be noted."""
        if not self.book.was_left:
            logger.warning("%s may exceed its bounds for a while: %s", self._layout.root, error)
        self.book.was_left = True

    def enforce(self) -> None:
        """Count what there is and remove what exceeds the bounds.

        Without bounds of our own, those count that the directory was last opened with.
        """
        if self.book.refresh():
            bounds = self.book.record_noted if self._bounds == UNBOUNDED else self._bounds
            recount(self._layout, self.book)
            self._make(bounds, self.book.totals())

    def _make(self, bounds: Bounds, totals: Totals, *spared: str) -> None:
        spare, in_vain = set(spared), 0
        while in_vain < _IN_VAIN and bounds.exceeded_by(totals):
            seen = self._next(spare)
            if seen is None:
                if not in_vain:  # and the book says that there is more
                    recount(self._layout, self.book)
                return
            if not self._remove(seen):
                spare.add(seen.path)
                in_vain += 1
            totals = self.book.totals()

    def _next(self, spare: set[str]) -> Candidate | None:
        """The next candidate; ``None`` when nothing is there but what is to be spared."""
        with suppress(IndexError):  # other threads take from it as well
            while True:
                seen = self._candidates.pop()
                if seen.path not in spare:
                    return seen
        chosen = choose(self._layout, self._order, spare)
        if not chosen:
            return None
        seen = chosen.pop()
        self._candidates = chosen
        return seen

    def _remove(self, seen: Candidate) -> bool:
        """Remove an entry, unless it was used or replaced since it was looked at."""
        try:
            with self._locks.hold(lock_slot(seen.path), wait=False):
                if examine(seen.path)[:4] != seen[:4]:
                    return False
                head = None
                with suppress(CorruptRecordError, OSError):  # or a link that was put there
                    head = read_head(seen.path)
                os.unlink(seen.path)
                self.count_removed(seen.weight)
        except OSError:  # gone, in use just now, or not ours to remove
            return False
        if head is not None:
            self.evicted.append(head)
        return True
