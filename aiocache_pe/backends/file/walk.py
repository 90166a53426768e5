"""Going through a directory, all at once or a little at a time: what is over, how much is there.

While it is counted, folder after folder, others change it, and what they change is in
the count when it happened before its folder's turn, and not when it happened after. But
entries are in folders by digest, so each folder gets a 256th of all changes: what the
book says at each folder's turn tells on the average what the count is ahead or behind.
Where nobody changes anything it is exact. Otherwise chance is in it, the more the more is
replaced meanwhile, so counting is done apart from the much slower reading, and a book that
chance alone may differ from is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from math import sqrt

from aiocache_pe.backends.file import survey
from aiocache_pe.backends.file.book import Book
from aiocache_pe.backends.file.layout import FOLDERS, Layout
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.exceptions import CorruptRecordError

_STEP = 64  # entries to read at a time: a millisecond or two
_FOLDERS_STEP = 64  # folders to list at a time, if there is less in them
_COUNT_STEP = 2048  # entries to count at a time
_CHANCE = 4  # standard deviations that a count may be wrong by while others change things


class Count:
    """A count under way, to put the book right by."""

    __slots__ = ("_ahead", "_book", "_changes", "_counts", "_found", "_layout")

    def __init__(self, layout: Layout, book: Book) -> None:
        self._layout = layout
        self._book = book
        self._counts = book.counts
        self._changes = book.changes
        self._found = [0, 0]
        self._ahead = [0, 0]

    def folder(self, name: str) -> int:
        """Count the entries of one folder of each area; how many there are."""
        found = [survey.count_folder(f"{area}/{name}") for area in survey.areas(self._layout)]
        for at, by_book in enumerate(self._book.totals()):
            self._found[at] += sum(one[at] for one in found)
            self._ahead[at] += by_book
        return sum(entries for entries, _ in found)

    def settle(self) -> None:
        """Put the book right, after the last folder, unless chance may be all that is wrong."""
        entries, weight = (
            found - round(ahead / len(FOLDERS))
            for found, ahead in zip(self._found, self._ahead, strict=True)
        )
        if not self._book.is_whole or self._is_sure(entries, weight):
            self._book.settle(self._counts, entries, weight)
        self._book.was_left = False

    def _is_sure(self, entries: int, weight: int) -> bool:
        """Whether more is wrong than chance would have it."""
        found, size = self._found
        meanwhile = max(0, self._book.changes - self._changes)  # less than none: it was emptied
        replaced = min(meanwhile, found)
        chance = _CHANCE * sqrt(replaced)
        heavy = 2 * size / max(1, found)  # as few, or one in four, are the heavy ones
        return abs(entries) > chance or abs(weight) > chance * heavy


def recount(layout: Layout, book: Book) -> None:
    """Count all entries at once."""
    count = Count(layout, book)
    for folder in FOLDERS:
        count.folder(folder)
    count.settle()


def steps(layout: Layout, now: float) -> Iterator[list[str]]:
    """Look at every entry, some at a time.

    Args:
        layout: the directory.
        now: seconds since the epoch.

    Yields:
        The keys of those that nobody may be served any more, to be removed.
    """
    over: list[str] = []
    looked = 0
    for number, folder in enumerate(FOLDERS, 1):
        for area in survey.areas(layout):
            for name in survey.names(f"{area}/{folder}"):
                with suppress(OSError, CorruptRecordError):
                    head = read_head(f"{area}/{folder}/{name}")
                    if head.is_over(now, stale=True):
                        over.append(head.key)
                looked += 1
                if looked % _STEP == 0:
                    yield over
                    over = []
        if number % _FOLDERS_STEP == 0:
            yield over
            over = []


def counting(layout: Layout, book: Book) -> Iterator[None]:
    """Count the entries, some at a time, and put the book right at the end."""
    count, looked = Count(layout, book), 0
    for folder in FOLDERS:
        looked += count.folder(folder)
        if looked >= _COUNT_STEP:
            looked = 0
            yield
    count.settle()
