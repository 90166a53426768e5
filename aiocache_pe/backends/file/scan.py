"""Scans of a cache directory, folder by folder, and recounts for the size ledger.

A recount runs while other processes change the directory. A change that precedes the turn of its
folder is in the count, a later one is not. Entries are distributed over the folders by digest, so
each folder receives a 256th of all changes. The mean of the ledger's totals at the turns of the
folders is therefore the value that the count corresponds to. Without concurrent changes the result
is exact. Otherwise its standard deviation is the square root of the number of changes. A recount is
separate from the much slower reading of heads in order to see few changes.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Container, Iterator
from contextlib import suppress

from aiocache_pe.backends.file.atomic_write import TEMPORARY_PREFIX, parse_slot
from aiocache_pe.backends.file.layout import FOLDERS, Layout, is_entry_name, parse_key
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.backends.file.regular_files import open_folder
from aiocache_pe.backends.file.size_ledger import SizeLedger, Totals
from aiocache_pe.exceptions import CorruptRecordError, NewerRecordError
from aiocache_pe.keys.store_keys import is_internal_key
from aiocache_pe.record import Head

_TEMPORARY_AGE = 3600.0  # seconds until a temporary file without a lock in its name is abandoned
_TRASH_AGE = 60.0  # seconds until a cleared area is abandoned; `clear` counts it before removal
_REMOVALS = 3  # attempts; a writer that has a folder open may add a file meanwhile
_DAMAGED_AGE = 7 * 86400.0  # seconds for which damaged files are kept for inspection
_ENTRY = re.compile(r"(?P<area>[^/]+)/(?P<folder>[0-9a-f]{2})/(?P<file>[0-9a-f]{8}[^/\0]+)")

_READ_STEP = 64  # entries to read in one step: a millisecond or two
_FOLDERS_STEP = 64  # folders to list in one step, if they contain fewer entries
COUNT_STEP = 2048
"""Number of entries to count in one step."""


def read_heads(
    layout: Layout, prefix: str, folder: str, matches: Callable[[str], object] | None
) -> list[Head]:
    """Return the heads of the entries in one folder; skip damaged entries.

    Args:
        layout: the directory.
        prefix: an area with its colon; empty for all areas with entries of users.
        folder: one of `FOLDERS`.
        matches: selects entries by their key without the prefix; ``None`` for all.

    Raises:
        OSError: the folder exists and cannot be read.
    """
    areas = [layout.get_area(prefix)] if prefix else list_areas(layout)
    return [head for area in areas for head in _read_folder(f"{area}/{folder}", prefix, matches)]


def _read_folder(base: str, prefix: str, matches: Callable[[str], object] | None) -> Iterator[Head]:
    for name in list_names(base):
        key = parse_key(name)
        if matches is not None and key is not None and not matches(key):
            continue
        with suppress(OSError, CorruptRecordError, NewerRecordError):
            head = read_head(f"{base}/{name}")
            if not head.key.startswith(prefix):
                continue
            if matches is None or key is not None or matches(head.key[len(prefix) :]):
                yield head


def read_keys(
    layout: Layout, prefix: str, folder: str, matches: Callable[[str], object] | None
) -> list[str]:
    """Return the store keys in one folder, also of records that this release cannot read.

    The name of a file contains its key, unless the key is long.

    Args:
        layout: the directory.
        prefix: an area with its colon.
        folder: one of `FOLDERS`.
        matches: selects entries by their key without the prefix; ``None`` for all.

    Raises:
        OSError: the folder exists and cannot be read.
    """
    base = f"{layout.get_area(prefix)}/{folder}"
    keys = (_find_key(f"{base}/{name}", prefix) for name in list_names(base))
    return [prefix + key for key in keys if key is not None and (matches is None or matches(key))]


def _find_key(path: str, prefix: str) -> str | None:
    """Return the key of an entry's file without the prefix; ``None`` if it is not known."""
    key = parse_key(os.path.basename(path))
    if key is not None:
        return key
    try:
        key = read_head(path).key
    except NewerRecordError as error:
        key = error.key
    except (OSError, CorruptRecordError):
        return None
    return key.removeprefix(prefix) if key.startswith(prefix) else None


def remove_temporary_files(folder: str) -> None:
    """Remove the temporary files of all writes in a folder; the writes begin again."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(folder):
            if name.startswith(TEMPORARY_PREFIX):
                with suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")


def count_entries(area: str) -> Totals:
    """Return the number of entries below an area's folder and their size; open no file.

    Raises:
        OSError: the area exists and cannot be read.
    """
    counts = [_count_folder(f"{area}/{folder}") for folder in list_names(area)]
    return Totals(sum(count.entries for count in counts), sum(count.size for count in counts))


def _count_folder(folder: str) -> Totals:
    entries = size = 0
    with suppress(OSError), open_folder(folder) as fd, os.scandir(fd) as listing:
        for item in listing:
            if not is_entry_name(item.name) or item.is_dir(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):
                size += item.stat(follow_symlinks=False).st_size
                entries += 1
    return Totals(entries, size)


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


def find_areas(layout: Layout) -> list[str]:
    """Return the names of the areas with entries; the folder of a long name holds only a part."""
    found: list[str] = []
    for area in list_areas(layout):
        paths = (
            f"{area}/{folder}/{name}"
            for folder in list_readable_names(area)
            for name in list_readable_names(f"{area}/{folder}")
        )
        for path in paths:
            with suppress(OSError, CorruptRecordError):
                found.append(read_head(path).key.partition(":")[0])
                break
    return found


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


def iter_sweep(layout: Layout, locks: ByteLocks, now: float) -> Iterator[None]:
    """Remove the remains of killed processes and old damaged files, in small steps.

    The remains are cleared areas, and temporary files whose lock is free.
    """
    areas = []
    with suppress(FileNotFoundError), os.scandir(layout.root) as listing:
        for item in list(listing):
            if item.name.startswith(".trash-"):
                if _is_older_than(item, now - _TRASH_AGE):
                    remove_area(item.path)
                    yield
            elif item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
                areas.append(item.path)
    _remove_old(layout.damaged, now - _DAMAGED_AGE)

    next_step, names = COUNT_STEP, 0
    for area in areas:
        for folder in list_readable_names(area):
            names += _remove_temporary(f"{area}/{folder}", locks, now) + COUNT_STEP // len(FOLDERS)
            if names >= next_step:
                next_step = names + COUNT_STEP
                yield


def _remove_temporary(folder: str, locks: ByteLocks, now: float) -> int:
    """Remove the temporary files of killed writers; return the number of names in the folder."""
    count = 0
    with suppress(OSError), open_folder(folder) as fd, os.scandir(fd) as listing:
        for count, item in enumerate(listing, 1):  # noqa: B007 - the number after the last one
            if item.name.startswith(TEMPORARY_PREFIX):
                slot = parse_slot(item.name)
                with suppress(OSError):
                    if slot is not None:
                        with locks.hold(slot, wait=False):
                            remove_area(f"{folder}/{item.name}")
                    elif _is_older_than(item, now - _TEMPORARY_AGE):
                        remove_area(f"{folder}/{item.name}")
    return count


def remove_area(folder: str) -> None:
    """Remove a folder with its contents, or a file; follow no link."""
    if os.path.islink(folder) or not os.path.isdir(folder):
        with suppress(OSError):
            os.unlink(folder)
        return
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return


def _remove_old(folder: str, before: float) -> None:
    with suppress(OSError), open_folder(folder) as fd, os.scandir(fd) as listing:
        for item in listing:
            if _is_older_than(item, before):
                remove_area(f"{folder}/{item.name}")


def _is_older_than(item: os.DirEntry[str], moment: float) -> bool:
    # By the change time: after an exchange of names, the modification time of a temporary file is
    # that of the version that it replaced.
    with suppress(OSError):
        return item.stat(follow_symlinks=False).st_ctime < moment
    return False


def list_names(folder: str) -> list[str]:
    """Return the names in a folder that do not begin with a dot.

    Returns:
        The names; none if there is no folder, or a link or file in its place.

    Raises:
        OSError: the folder exists and cannot be read.
    """
    try:
        with open_folder(folder) as fd:
            return [name for name in os.listdir(fd) if not name.startswith(".")]
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
    return []


def list_readable_names(folder: str) -> list[str]:
    """Return the names like `list_names`; none if the folder cannot be read.

    A folder of another user must not stop eviction or maintenance.
    """
    with suppress(OSError):
        return list_names(folder)
    return []


def recount(layout: Layout, ledger: SizeLedger) -> None:
    """Count all entries at once and correct the ledger, which is open."""
    for _ in iter_recount(layout, ledger):
        pass


def iter_recount(layout: Layout, ledger: SizeLedger) -> Iterator[None]:
    """Count all entries in small steps, and correct the open ledger in the last one."""
    recounts = ledger.recounts
    entries = size = 0
    recorded_entries = recorded_size = 0  # sums of the ledger's totals at the turns of the folders
    next_step = COUNT_STEP
    for folder in FOLDERS:
        for area in list_areas(layout):
            count = _count_folder(f"{area}/{folder}")
            entries += count.entries
            size += count.size
        recorded = ledger.get_totals()
        recorded_entries += recorded.entries
        recorded_size += recorded.size
        if entries >= next_step:
            next_step = entries + COUNT_STEP
            yield

    missing_entries = entries - round(recorded_entries / len(FOLDERS))
    missing_size = size - round(recorded_size / len(FOLDERS))
    ledger.correct(recounts, missing_entries, missing_size)
    ledger.needs_recount = False


def iter_expired_keys(layout: Layout, now: float) -> Iterator[list[str]]:
    """Read the heads of all entries in small steps.

    Yields:
        The store keys of the entries of a step that may be removed by now.
    """
    expired: list[str] = []
    read = 0
    for number, folder in enumerate(FOLDERS, 1):
        for area in list_areas(layout):
            for name in list_readable_names(f"{area}/{folder}"):
                with suppress(OSError, CorruptRecordError, NewerRecordError):
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
