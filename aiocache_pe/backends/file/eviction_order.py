"""Who goes first, of a sample of a directory's entries.

To keep a million files in order of use would cost a write at every read. So no order is
kept: when there is no room, some folders, which are random samples since entries are put
into them by digest, are looked through, and what is found is put in order then. The best
candidates are kept for the next time (K. Psounis and B. Prabhakar, "Efficient randomized
Web-cache replacement schemes using samples from past eviction times", IEEE/ACM
Transactions on Networking, 2002; Redis evicts in a like way).
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from math import log2
from typing import NamedTuple

from aiocache_pe.backends.file import access_stats, scan
from aiocache_pe.backends.file.layout import FOLDERS, Layout, is_entry

_SAMPLE = 512  # entries to look at before some are chosen; in a smaller directory it is all
_CHOSEN = 4  # one of so many is
_PER_FOLDER = 256  # entries to look at in one folder
_NEW_PART = 10  # percent of the entries that `s3fifo` gives to what was not read yet
_MOST_READ = 4.0  # a bonus for reads that no number of them exceeds


class Candidate(NamedTuple):
    """An entry's file, as it was when it was looked at.

    Attributes:
        path: the file.
        weight: its size in bytes.
        written: when, in nanoseconds since the epoch.
        used: when it was written or last read, the later, in nanoseconds since the epoch.
        hits: how often it was read.
    """

    path: str
    weight: int
    written: int
    used: int
    hits: int


Order = Callable[[Sequence[Candidate]], list[Candidate]]
"""Puts entries in order, the first to go first."""


def examine(path: str) -> Candidate:
    """What an entry's file says of its use.

    Raises:
        FileNotFoundError: it is gone.
        IsADirectoryError: it was put there by hand.
    """
    status = os.stat(path, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(path)
    used = max(status.st_atime_ns, status.st_mtime_ns)
    return Candidate(path, status.st_size, status.st_mtime_ns, used, access_stats.hits_of(path))


def sample(layout: Layout) -> list[Candidate]:
    """Some of the entries, or all if there are few."""
    found: list[Candidate] = []
    areas = scan.list_areas(layout)
    for folder in random.sample(FOLDERS, len(FOLDERS)):
        for area in areas:
            names = [name for name in scan.list_names(f"{area}/{folder}") if is_entry(name)]
            if len(names) > _PER_FOLDER:
                names = random.sample(names, _PER_FOLDER)
            for name in names:
                with suppress(OSError):
                    found.append(examine(f"{area}/{folder}/{name}"))
        if len(found) >= _SAMPLE:
            break
    return found


def choose(layout: Layout, order: Order, spare: Container[str] = ()) -> list[Candidate]:
    """Candidates, the first to go last, so that they can be taken off the end.

    Args:
        layout: the directory.
        order: in which they go.
        spare: paths of those that are none, even if they are the first in the order.
    """
    ordered = order([seen for seen in sample(layout) if seen.path not in spare])
    return ordered[: max(1, len(ordered) // _CHOSEN)][::-1]


def by_age(seen: Sequence[Candidate]) -> list[Candidate]:
    """First in, first out."""
    return sorted(seen, key=lambda one: one.written)


def by_use(seen: Sequence[Candidate]) -> list[Candidate]:
    """Least recently used first."""
    return sorted(seen, key=lambda one: one.used)


def by_hits(seen: Sequence[Candidate]) -> list[Candidate]:
    """Least frequently used first; of those alike, the least recently used."""
    return sorted(seen, key=lambda one: (one.hits, one.used))


def by_trial(seen: Sequence[Candidate]) -> list[Candidate]:
    """What was never read first, the oldest first, unless that is a tenth of all or less.

    The two queues of S3-FIFO (J. Yang et al., "FIFO queues are all you need for cache
    eviction", SOSP 2023), told apart by whether an entry was read.
    """
    new = sorted((one for one in seen if not one.hits), key=lambda one: one.written)
    proved = sorted((one for one in seen if one.hits), key=lambda one: one.used)
    many = len(new) * 100 > len(seen) * _NEW_PART
    return new + proved if many else proved + new


def by_worth(seen: Sequence[Candidate]) -> list[Candidate]:
    """Least recently used first, but each doubling of its reads makes an entry younger.

    By how much depends on how long an entry lasts here that nobody reads. So frequent
    use protects from a flood, as with a frequency that ages (M. Arlitt et al., "Evaluating
    content management techniques for Web proxy caches", ACM SIGMETRICS PER, 2000), and what
    was once popular goes when it is not read any more.
    """
    unread = sorted(one.used for one in seen if not one.hits)
    lifetime = 2 * (unread[-1] - unread[len(unread) // 2]) if unread else 0
    return sorted(seen, key=lambda one: one.used + lifetime * min(log2(1 + one.hits), _MOST_READ))


ORDERS: Mapping[str, Order] = {
    "adaptive": by_worth,
    "fifo": by_age,
    "lfu": by_hits,
    "lru": by_use,
    "s3fifo": by_trial,
}
