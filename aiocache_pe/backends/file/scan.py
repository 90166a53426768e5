"""Scans of a cache directory, folder by folder, and recounts for the size ledger.

A recount runs while other processes change the directory. A change that precedes the turn of its
folder is in the count, a later one is not. Entries are distributed over the folders by digest, so
each folder receives a 256th of all changes. The mean of the ledger's totals at the turns of the
folders is therefore the value that the count corresponds to. Without concurrent changes the result
is exact. Otherwise its standard deviation is the square root of the number of changes. A recount is
separate from the much slower reading of heads in order to see few changes.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Container, Iterator
from contextlib import suppress

from aiocache_pe.backends.file.atomic_write import TEMPORARY_PREFIX
from aiocache_pe.backends.file.layout import FOLDERS, Layout, is_entry_name, parse_key
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.backends.file.size_ledger import SizeLedger
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.store_keys import is_internal_key
from aiocache_pe.record import Head

_TEMPORARY_AGE = 3600.0  # seconds until a temporary file is abandoned; a write takes milliseconds
_TRASH_AGE = 60.0  # seconds until a cleared area is abandoned; `clear` counts it before removal
_DAMAGED_AGE = 7 * 86400.0  # seconds for which damaged files are kept for inspection
_ENTRY = re.compile(r"(?P<area>[^/]+)/(?P<folder>[0-9a-f]{2})/(?P<file>[0-9a-f]{8}[^/\0]+)")

_READ_STEP = 64  # entries to read in one step: a millisecond or two
_FOLDERS_STEP = 64  # folders to list in one step, if they contain fewer entries
_COUNT_STEP = 2048  # entries to count in one step


def read_heads(
    layout: Layout, prefix: str, folder: str, matches: Callable[[str], object] | None
) -> list[Head]:
    """Return the heads of the entries in one folder; skip damaged entries.

    Args:
        layout: the directory.
        prefix: an area with its colon.
        folder: one of `FOLDERS`.
        matches: selects entries by their key without the prefix; ``None`` for all.

    Raises:
        OSError: the folder exists and cannot be read.
    """
    base = f"{layout.get_area(prefix)}/{folder}"
    heads: list[Head] = []
    for name in list_names(base):
        key = parse_key(name)
        if matches is not None and key is not None and not matches(key):
            continue
        try:
            head = read_head(f"{base}/{name}")
        except (OSError, CorruptRecordError):
            continue
        if not head.key.startswith(prefix):
            continue
        if matches is None or key is not None or matches(head.key[len(prefix) :]):
            heads.append(head)
    return heads


def count_entries(area: str) -> tuple[int, int]:
    """Return the number of entries below an area's folder and their size in bytes.

    Opens no file.

    Raises:
        OSError: the area exists and cannot be read.
    """
    counts = [_count_folder(f"{area}/{folder}") for folder in list_names(area)]
    return sum(entries for entries, _ in counts), sum(size for _, size in counts)


def _count_folder(folder: str) -> tuple[int, int]:
    entries = size = 0
    with suppress(OSError), os.scandir(folder) as listing:
        for item in listing:
            if not is_entry_name(item.name) or item.is_dir(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):
                size += item.stat(follow_symlinks=False).st_size
                entries += 1
    return entries, size


def list_areas(layout: Layout) -> list[str]:
    """Return the folders of all areas with entries of users; none of them is a link."""
    with suppress(FileNotFoundError), os.scandir(layout.root) as listing:
        return [
            item.path
            for item in listing
            if item.is_dir(follow_symlinks=False)
            and not item.name.startswith(".")
            and not is_internal_key(item.name)
        ]
    return []


def resolve_entry(layout: Layout, areas: Container[str], name: str) -> str | None:
    """Return the file of a path in the directory; ``None`` if it cannot be an entry's.

    Args:
        layout: the directory.
        areas: the folders that `list_areas` returns.
        name: the path, read from a file and not trusted.
    """
    match = _ENTRY.fullmatch(name)
    if match is None or not is_entry_name(match["file"]):
        return None
    area = f"{layout.root}/{match['area']}"
    if area not in areas or os.path.islink(f"{area}/{match['folder']}"):
        return None
    return f"{layout.root}/{name}"


def sweep(layout: Layout) -> None:
    """Remove temporary files and cleared areas of killed processes, and old damaged files."""
    now = time.time()
    with suppress(FileNotFoundError), os.scandir(layout.root) as listing:
        for item in list(listing):
            if item.name.startswith(".trash-"):
                if _is_older_than(item, now - _TRASH_AGE):
                    remove_area(item.path)
            elif item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
                for folder in list_readable_names(item.path):
                    _remove_old(f"{item.path}/{folder}", TEMPORARY_PREFIX, now - _TEMPORARY_AGE)
    _remove_old(layout.damaged, "", now - _DAMAGED_AGE)


def remove_area(folder: str) -> None:
    """Remove the folder of a cleared area; do not follow a link in its place."""
    if os.path.islink(folder) or not os.path.isdir(folder):
        with suppress(OSError):
            os.unlink(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_old(folder: str, beginning: str, before: float) -> None:
    with suppress(OSError), os.scandir(folder) as listing:
        for item in listing:
            if item.name.startswith(beginning) and _is_older_than(item, before):
                with suppress(OSError):
                    os.unlink(item.path)


def _is_older_than(item: os.DirEntry[str], moment: float) -> bool:
    # By the change time: after an exchange of names, the modification time of a temporary file is
    # that of the version that it replaced.
    with suppress(OSError):
        return item.stat(follow_symlinks=False).st_ctime < moment
    return False


def list_names(folder: str) -> list[str]:
    """Return the names in a folder that do not begin with a dot; none if it does not exist.

    Raises:
        OSError: the folder exists and cannot be read.
    """
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_readable_names(folder: str) -> list[str]:
    """Return the names like `list_names`; none if the folder cannot be read.

    A folder of another user must not stop eviction or maintenance.
    """
    with suppress(OSError):
        return list_names(folder)
    return []


class Recount:
    """A recount in progress, which corrects the size ledger at its end.

    Args:
        layout: the directory.
        ledger: its ledger, which is open.
    """

    __slots__ = ("_counted", "_layout", "_ledger", "_recorded", "_recounts")

    def __init__(self, layout: Layout, ledger: SizeLedger) -> None:
        self._layout = layout
        self._ledger = ledger
        self._recounts = ledger.recounts
        self._counted = [0, 0]  # entries and bytes
        self._recorded = [0, 0]  # sums of the ledger's totals at the turns of the folders

    def count_folder(self, name: str) -> int:
        """Count one folder of every area, one of `FOLDERS`; return its number of entries."""
        counts = [_count_folder(f"{area}/{name}") for area in list_areas(self._layout)]
        for at, recorded in enumerate(self._ledger.get_totals()):
            self._counted[at] += sum(count[at] for count in counts)
            self._recorded[at] += recorded
        return sum(entries for entries, _ in counts)

    def finish(self) -> None:
        """Correct the ledger after the last folder."""
        entries, size = (
            counted - round(recorded / len(FOLDERS))
            for counted, recorded in zip(self._counted, self._recorded, strict=True)
        )
        self._ledger.correct(self._recounts, entries, size)
        self._ledger.needs_recount = False


def recount(layout: Layout, ledger: SizeLedger) -> None:
    """Count all entries at once and correct the ledger."""
    for _ in iter_recount(layout, ledger):
        pass


def iter_recount(layout: Layout, ledger: SizeLedger) -> Iterator[None]:
    """Count all entries in small steps, and correct the ledger in the last one."""
    count, counted = Recount(layout, ledger), 0
    for folder in FOLDERS:
        counted += count.count_folder(folder)
        if counted >= _COUNT_STEP:
            counted = 0
            yield
    count.finish()


def iter_expired_keys(layout: Layout, now: float) -> Iterator[list[str]]:
    """Read the heads of all entries in small steps.

    Args:
        layout: the directory.
        now: present time, in seconds since the epoch.

    Yields:
        The store keys of the entries of a step that may be removed.
    """
    expired: list[str] = []
    read = 0
    for number, folder in enumerate(FOLDERS, 1):
        for area in list_areas(layout):
            for name in list_readable_names(f"{area}/{folder}"):
                with suppress(OSError, CorruptRecordError):
                    head = read_head(f"{area}/{folder}/{name}")
                    if head.is_removable(now, stale=True):
                        expired.append(head.key)
                read += 1
                if read % _READ_STEP == 0:
                    yield expired
                    expired = []
        if number % _FOLDERS_STEP == 0:
            yield expired
            expired = []
