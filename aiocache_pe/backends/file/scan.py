"""Going through a directory, all at once or a little at a time: what is over, how much is there.

While it is counted, folder after folder, others change it, and what they change is in
the count when it happened before its folder's turn, and not when it happened after. But
entries are in folders by digest, so each folder gets a 256th of all changes: what the
book says at each folder's turn tells on the average what the count is ahead or behind.
Where nobody changes anything it is exact. Otherwise chance is in it, the more the more is
replaced meanwhile, so counting is done apart from the much slower reading, and a book that
chance alone may differ from is left as it is.

Going through a whole cache directory, a folder at a time.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from math import sqrt

from aiocache_pe.backends.file.atomic_write import TEMPORARY
from aiocache_pe.backends.file.layout import FOLDERS, Layout, display_key, is_entry
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.backends.file.size_ledger import SizeLedger
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.store_keys import is_side
from aiocache_pe.record import Head

_ABANDONED_AFTER = 3600.0  # seconds; a write takes milliseconds
_ENTRY = re.compile(r"(?P<area>[^/]+)/(?P<folder>[0-9a-f]{2})/(?P<file>[0-9a-f]{8}[^/\0]+)")
_COUNTED_AFTER = 60.0  # seconds; who clears an area counts first what was in it
_DAMAGED_KEPT = 7 * 86400.0  # seconds, for whoever wants to know what happened


def iter_heads(
    layout: Layout, prefix: str, folder: str, matches: Callable[[str], object] | None
) -> list[Head]:
    """The heads of one folder's entries whose key matches; damaged ones are passed over."""
    base = f"{layout.area(prefix)}/{folder}"
    found: list[Head] = []
    for name in _listed(base):
        shown = display_key(name)
        if matches is not None and shown is not None and not matches(shown):
            continue
        try:
            head = read_head(f"{base}/{name}")
        except (OSError, CorruptRecordError):
            continue
        if not head.key.startswith(prefix):
            continue
        if matches is None or shown is not None or matches(head.key[len(prefix) :]):
            found.append(head)
    return found


def totals(layout: Layout, prefix: str) -> tuple[int, int]:
    """How many entries an area has, and what their files weigh, without opening any."""
    return count(layout.area(prefix))


def count(area: str) -> tuple[int, int]:
    """The entries below a folder, and their bytes."""
    counts = [count_folder(f"{area}/{folder}") for folder in _listed(area)]
    return sum(entries for entries, _ in counts), sum(weight for _, weight in counts)


def count_folder(folder: str) -> tuple[int, int]:
    """The entries in a folder, and their bytes."""
    entries = weight = 0
    with suppress(OSError), os.scandir(folder) as listing:
        for item in listing:
            if not is_entry(item.name) or item.is_dir(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):
                weight += item.stat(follow_symlinks=False).st_size
                entries += 1
    return entries, weight


def list_areas(layout: Layout) -> list[str]:
    """The folders of all areas that hold entries of users."""
    with suppress(FileNotFoundError), os.scandir(layout.root) as listing:
        return [
            item.path
            for item in listing
            if item.is_dir(follow_symlinks=False)
            and not item.name.startswith(".")
            and not is_side(item.name)
        ]
    return []


def entry_path(layout: Layout, areas: Container[str], name: str) -> str | None:
    """The file that a path in the directory stands for, if it may be an entry of an area.

    Args:
        layout: the directory.
        areas: what `areas` tells of it, none of which is a link.
        name: the path, as somebody wrote it down: it may be anything.
    """
    found = _ENTRY.fullmatch(name)
    if found is None or not is_entry(found["file"]):
        return None
    area = f"{layout.root}/{found['area']}"
    if area not in areas or os.path.islink(f"{area}/{found['folder']}"):
        return None
    return f"{layout.root}/{name}"


def sweep(layout: Layout) -> None:
    """Remove what killed processes left: drafts, cleared areas; and damage of long ago."""
    now = time.time()
    with suppress(FileNotFoundError), os.scandir(layout.root) as listing:
        for item in list(listing):
            if item.name.startswith(".trash-"):
                if _changed_before(item, now - _COUNTED_AFTER):
                    remove_tree(item.path)
            elif item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
                for folder in list_names(item.path):
                    _remove_old(f"{item.path}/{folder}", TEMPORARY, now - _ABANDONED_AFTER)
    _remove_old(layout.damaged, "", now - _DAMAGED_KEPT)


def remove_tree(folder: str) -> None:
    """Remove an area that was cleared."""
    if os.path.islink(folder) or not os.path.isdir(folder):  # planted in the place of an area
        with suppress(OSError):
            os.unlink(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_old(folder: str, beginning: str, before: float) -> None:
    with suppress(OSError), os.scandir(folder) as listing:
        for item in listing:
            if item.name.startswith(beginning) and _changed_before(item, before):
                with suppress(OSError):
                    os.unlink(item.path)


def _changed_before(item: os.DirEntry[str], moment: float) -> bool:
    # The change time: the modification time of a draft that was exchanged is that of the
    # version it replaced.
    with suppress(OSError):
        return item.stat(follow_symlinks=False).st_ctime < moment
    return False


def list_names(folder: str) -> list[str]:
    """What is in a folder, without what begins with a dot; nothing if it cannot be read."""
    with suppress(OSError):  # as one of another user's: it is not to stop all that goes on
        return _listed(folder)
    return []


def _listed(folder: str) -> list[str]:
    """What is in a folder, without what begins with a dot.

    Raises:
        OSError: it is there, and cannot be read.
    """
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


_STEP = 64  # entries to read at a time: a millisecond or two
_FOLDERS_STEP = 64  # folders to list at a time, if there is less in them
_COUNT_STEP = 2048  # entries to count at a time
_CHANCE = 4  # standard deviations that a count may be wrong by while others change things


class RecountRound:
    """A count under way, to put the book right by."""

    __slots__ = ("_ahead", "_book", "_changes", "_counts", "_found", "_layout")

    def __init__(self, layout: Layout, book: SizeLedger) -> None:
        self._layout = layout
        self._book = book
        self._counts = book.counts
        self._changes = book.changes
        self._found = [0, 0]
        self._ahead = [0, 0]

    def folder(self, name: str) -> int:
        """Count the entries of one folder of each area; how many there are."""
        found = [count_folder(f"{area}/{name}") for area in list_areas(self._layout)]
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


def recount(layout: Layout, book: SizeLedger) -> None:
    """Count all entries at once."""
    count = RecountRound(layout, book)
    for folder in FOLDERS:
        count.folder(folder)
    count.settle()


def iter_steps(layout: Layout, now: float) -> Iterator[list[str]]:
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
        for area in list_areas(layout):
            for name in list_names(f"{area}/{folder}"):
                with suppress(OSError, CorruptRecordError):
                    head = read_head(f"{area}/{folder}/{name}")
                    if head.is_removable(now, stale=True):
                        over.append(head.key)
                looked += 1
                if looked % _STEP == 0:
                    yield over
                    over = []
        if number % _FOLDERS_STEP == 0:
            yield over
            over = []


def iter_counting(layout: Layout, book: SizeLedger) -> Iterator[None]:
    """Count the entries, some at a time, and put the book right at the end."""
    count, looked = RecountRound(layout, book), 0
    for folder in FOLDERS:
        looked += count.folder(folder)
        if looked >= _COUNT_STEP:
            looked = 0
            yield
    count.settle()
