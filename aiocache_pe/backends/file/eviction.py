"""Bounds of a directory: records every change and evicts entries when a bound is exceeded."""

from __future__ import annotations

import errno
import logging
from collections import deque
from contextlib import suppress
from typing import Literal

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.file.eviction_order import ORDERS, Candidate, choose, examine
from aiocache_pe.backends.file.layout import Layout, get_lock_slot
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.backends.file.regular_files import remove_entry
from aiocache_pe.backends.file.scan import count_entries, list_areas, recount
from aiocache_pe.backends.file.size_ledger import (
    NOT_CHOSEN,
    UNBOUNDED,
    Bounds,
    SizeLedger,
    Totals,
)
from aiocache_pe.exceptions import ConfigurationError, CorruptRecordError, NewerRecordError
from aiocache_pe.record import Head

logger = logging.getLogger("aiocache_pe")
_TOLERATED_EXCESS = 8  # by one part in so many, totals may exceed the bounds without a recount
_WARNING_PART = 0.9  # of ``max_bytes``
_MAX_FAILURES = 64  # candidates in use, until the eviction is left to the next write


class DirectoryBounds:
    """The bounds that `Disk` receives, and the evictions that they require.

    Attributes:
        ledger: number and size of the entries.
        evicted: heads of evicted entries; the store removes and reports them.

    Raises:
        ConfigurationError: the eviction order is unknown.
    """

    def __init__(self, layout: Layout, locks: ByteLocks, bounds: Bounds, eviction: str) -> None:
        if eviction not in ORDERS:
            names = ", ".join(map(repr, ORDERS))
            raise ConfigurationError(
                f"eviction of a file store must be one of {names}; got {eviction!r}"
            )
        self.ledger = SizeLedger(
            layout.ledger, layout.make_root, bounds, lambda: bool(list_areas(layout))
        )
        self.evicted: deque[Head] = deque()
        self._layout = layout
        self._locks = locks
        self._bounds = bounds
        self._order = ORDERS[eviction]
        self._candidates: list[Candidate] = []
        self._has_warned = False
        self._opening_error: OSError | None = None

    def check_size(self, size: int) -> None:
        """Raise an `OSError` if one entry of this size in bytes exceeds ``max_bytes``."""
        max_bytes = self._bounds.max_bytes
        if max_bytes is not None and size > max_bytes:
            raise OSError(errno.EFBIG, f"an entry of {size} bytes exceeds max_bytes={max_bytes}")

    def ensure_ledger(self) -> bool:
        """Open the ledger before entries are removed; return whether there is one.

        Entries are removed even if the ledger cannot be opened, for instance on a full disk.
        """
        try:
            return self.ledger.ensure_open()
        except OSError as error:
            self._opening_error = error  # logged if an entry can be written nevertheless
            return False

    def record_write(self, path: str, size: int, replaced_size: int | None) -> None:
        """Record that an entry was written, and evict entries if a bound is exceeded.

        The caller holds no lock of an entry.

        Args:
            path: the entry's file, which is not evicted.
            size: size of the file in bytes.
            replaced_size: size of the file that it replaced; ``None`` if there was none.
        """
        entries, growth = int(replaced_size is None), size - (replaced_size or 0)
        try:
            totals = self.ledger.add(entries, growth)
            if totals is None and self._opening_error is not None:
                raise self._opening_error
            if totals is None or self._bounds == UNBOUNDED:
                return
            if self._is_unreliable(Totals(totals.entries - entries, totals.size - growth)):
                recount(self._layout, self.ledger)
                totals = self.ledger.get_totals()
            self._warn_once(totals)
            self._evict(self._bounds, totals, path)
        except OSError as error:  # the entry is stored nevertheless
            self._report_lost_change(error)

    def record_removal(self, size: int, entries: int = 1) -> None:
        """Record that entries with a total size in bytes were removed."""
        try:
            self.ledger.add(-entries, -size)
        except OSError as error:
            self._report_lost_change(error)

    def enforce(self) -> None:
        """Recount the directory and evict entries if a bound is exceeded.

        A process without chosen bounds applies those that the directory was last opened with.
        """
        if self.ledger.ensure_open():
            is_chosen = self._bounds not in NOT_CHOSEN
            bounds = self._bounds if is_chosen else self.ledger.recorded_bounds
            recount(self._layout, self.ledger)
            self._evict(bounds, self.ledger.get_totals())

    def _warn_once(self, totals: Totals) -> None:
        """Log in time, once, that entries will be evicted before they expire."""
        max_bytes = self._bounds.max_bytes
        if max_bytes is None or self._has_warned or totals.size < _WARNING_PART * max_bytes:
            return
        self._has_warned = True
        logger.warning(
            "file store: %s holds %s of at most max_bytes=%s bytes; at the bound, entries are "
            "evicted before they expire",
            *(self._layout.root, totals.size, max_bytes),
        )

    def examine_size(self) -> Check:
        """Return the check of the size for ``doctor``; it leaves no file behind.

        A process without chosen bounds shows those that the directory was last opened with.
        """
        bounds = self._bounds
        if self.ledger.ensure_open() and bounds in NOT_CHOSEN:
            bounds = self.ledger.recorded_bounds
        sizes = [count_entries(area).size for area in list_areas(self._layout)]
        size, max_bytes = sum(sizes), bounds.max_bytes
        if max_bytes is None:
            return Check("size", "ok", f"{size:,} bytes; no bound (max_bytes=None)")
        level: Literal["ok", "warning"] = "warning" if size >= _WARNING_PART * max_bytes else "ok"
        return Check("size", level, f"{size:,} of at most {max_bytes:,} bytes (max_bytes)")

    def _is_unreliable(self, before: Totals) -> bool:
        """Return whether a recount must precede an eviction; given the totals before the write."""
        # The directory is older than its bounds, or something else has written to the ledger.
        if not self.ledger.is_complete or min(before) < 0:
            return True
        # A process that is killed while it clears an area leaves totals that are far too high.
        if not self.ledger.needs_recount:
            before = Totals(*(total - total // _TOLERATED_EXCESS for total in before))
        return self._bounds.is_exceeded_by(before)

    def _report_lost_change(self, error: OSError) -> None:
        """Request a recount, because a change could not be recorded."""
        if not self.ledger.needs_recount:
            logger.warning(
                "file store: %s may exceed its bounds until a recount: %s", self._layout.root, error
            )
        self.ledger.needs_recount = True

    def _evict(self, bounds: Bounds, totals: Totals, *spared: str) -> None:
        excluded, failures = set(spared), 0
        while failures < _MAX_FAILURES and bounds.is_exceeded_by(totals):
            candidate = self._take_candidate(excluded)
            if candidate is None:
                if not failures:  # the ledger records more entries than there are
                    recount(self._layout, self.ledger)
                return
            if not self._try_evict(candidate):
                excluded.add(candidate.path)
                failures += 1
            totals = self.ledger.get_totals()

    def _take_candidate(self, excluded: set[str]) -> Candidate | None:
        """Return the next candidate; ``None`` if all entries are excluded."""
        with suppress(IndexError):  # other threads take candidates as well
            while True:
                candidate = self._candidates.pop()
                if candidate.path not in excluded:
                    return candidate

        candidates = choose(self._layout, self._order, excluded)
        best = candidates.pop() if candidates else None
        self._candidates = candidates
        return best

    def _try_evict(self, candidate: Candidate) -> bool:
        """Remove an entry, unless it was used or replaced since it was examined."""
        try:
            with self._locks.hold(get_lock_slot(candidate.path), wait=False):
                if examine(candidate.path)[:4] != candidate[:4]:
                    return False
                head = None
                with suppress(CorruptRecordError, NewerRecordError, OSError):  # or a planted link
                    head = read_head(candidate.path)
                remove_entry(candidate.path)
                self.record_removal(candidate.size)
        except OSError:  # absent, locked, or of another user
            return False

        if head is not None:
            self.evicted.append(head)
        return True
