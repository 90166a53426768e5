"""Going through a whole cache directory, a folder at a time."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Container
from contextlib import suppress

from aiocache_pe.backends.file.atomic import TEMPORARY
from aiocache_pe.backends.file.layout import Layout, is_entry, shown_key
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.store_keys import is_side
from aiocache_pe.record import Head

_ABANDONED_AFTER = 3600.0  # seconds; a write takes milliseconds
_ENTRY = re.compile(r"(?P<area>[^/]+)/(?P<folder>[0-9a-f]{2})/(?P<file>[0-9a-f]{8}[^/\0]+)")
_COUNTED_AFTER = 60.0  # seconds; who clears an area counts first what was in it
_DAMAGED_KEPT = 7 * 86400.0  # seconds, for whoever wants to know what happened


def heads(
    layout: Layout, prefix: str, folder: str, matches: Callable[[str], object] | None
) -> list[Head]:
    """The heads of one folder's entries whose key matches; damaged ones are passed over."""
    base = f"{layout.area(prefix)}/{folder}"
    found: list[Head] = []
    for name in _listed(base):
        shown = shown_key(name)
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


def areas(layout: Layout) -> list[str]:
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
                for folder in names(item.path):
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


def names(folder: str) -> list[str]:
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
