"""Eviction orders of the file store, each applied to a sample of the entries.

Keeping a million files in order of use would cost a write at every read, so no order is kept. When
a bound is exceeded, some folders are read. A folder is a random sample, because entries are
distributed over folders by digest. The entries found are sorted, and the best candidates are kept
for the next evictions (K. Psounis and B. Prabhakar, "Efficient randomized Web-cache replacement
schemes using samples from past eviction times", IEEE/ACM Transactions on Networking, 2002). Redis
evicts in a similar way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import log2
from operator import attrgetter
from typing import NamedTuple

from aiocache_pe.backends.file import access_stats, scan
from aiocache_pe.backends.file.layout import FOLDERS, Layout, is_entry_name
from aiocache_pe.runtime.randomness import RANDOM

_SAMPLE_SIZE = 512  # entries that a sample has at least, if the directory has as many
_MAX_PER_FOLDER = 256  # entries of one folder that a sample has at most
_CANDIDATE_SHARE = 4  # one entry in so many of a sample becomes a candidate
_MAX_READ_BONUS = 4.0  # times the lifetime of an unread entry, however often an entry is read


class Candidate(NamedTuple):
    """The file of an entry at the time it was examined.

    Attributes:
        path: the file.
        size: its size in bytes.
        written_at: time of writing, in nanoseconds since the epoch.
        used_at: the later of the times of writing and of the last read, in nanoseconds.
        hits: number of reads.
    """

    path: str
    size: int
    written_at: int
    used_at: int
    hits: int


Order = Callable[[Sequence[Candidate]], list[Candidate]]
"""Function that sorts candidates; the first one is evicted first."""


def examine(path: str) -> Candidate:
    """Return the present state of an entry's file.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a folder, which the store did not create.
    """
    status = os.stat(path, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(path)
    used_at = max(status.st_atime_ns, status.st_mtime_ns)
    hits = access_stats.read_hits(path) if stat.S_ISREG(status.st_mode) else 0
    return Candidate(path, status.st_size, status.st_mtime_ns, used_at, hits)


def sample(layout: Layout) -> list[Candidate]:
    """Return a random sample of the entries, or all entries of a small directory."""
    candidates: list[Candidate] = []
    areas = scan.list_areas(layout)
    for folder in RANDOM.sample(FOLDERS, len(FOLDERS)):
        for area in areas:
            names = scan.list_readable_names(f"{area}/{folder}")
            names = [name for name in names if is_entry_name(name)]
            if len(names) > _MAX_PER_FOLDER:
                names = RANDOM.sample(names, _MAX_PER_FOLDER)
            for name in names:
                with suppress(OSError):
                    candidates.append(examine(f"{area}/{folder}/{name}"))
        if len(candidates) >= _SAMPLE_SIZE:
            break
    return candidates


def choose(layout: Layout, order: Order, excluded: Container[str]) -> list[Candidate]:
    """Return the best candidates that are not excluded; the last of them is evicted first."""
    ordered = order([one for one in sample(layout) if one.path not in excluded])
    return ordered[: max(1, len(ordered) // _CANDIDATE_SHARE)][::-1]


def sort_by_use_and_hits(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Sort by the last use, where each doubling of an entry's reads makes it younger.

    It becomes younger by the lifetime of unread entries in this directory. Therefore frequent
    use protects an entry from a flood of new ones, as with a frequency that ages (M. Arlitt et al.,
    "Evaluating content management techniques for Web proxy caches", ACM SIGMETRICS PER, 2000). An
    entry that was once popular is evicted when it is no longer read.
    """
    unread = sorted(one.used_at for one in candidates if not one.hits)
    lifetime = 2 * (unread[-1] - unread[len(unread) // 2]) if unread else 0
    return sorted(
        candidates,
        key=lambda one: one.used_at + lifetime * min(log2(1 + one.hits), _MAX_READ_BONUS),
    )


ORDERS: Mapping[str, Order] = {
    "adaptive": sort_by_use_and_hits,
    "lfu": partial(sorted, key=attrgetter("hits", "used_at")),
    "lru": partial(sorted, key=attrgetter("used_at")),
}
