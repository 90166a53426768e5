"""Layout of a cache directory: the name of every file in it.

::

    data/cache/                       mode 0700
        .gitignore  CACHEDIR.TAG      keep the cache out of commits and backups
        .locks                        one byte per key, never written, only locked
        .leases                       the same for the leases of computations
        .generations                  shows which keys changed during a computation
        .book                         the size ledger; exists once a process has bounds
        .expiring/                    the expiry index, a file for each span of time
        .swept  .walked               their times are those of the last maintenance round and
                                      of the last walk through all entries
        .secret                       mode 0600, created when the first pickle is signed
        .damaged/                     files that failed verification
        default/                      an area: the namespace `default`
            3f/                       256 folders by digest
                3f2a9c01-greeting     an entry; a short key is readable in the name
        default+stats/  default+tags/ internal records of the library

The name of an entry's file is 8 hex digits of the key's digest, a hyphen, and the percent-encoded
key. Therefore ``ls`` shows keys, and a scan by pattern need not open other files. The digits
separate keys that a file system may confuse: ``User`` and ``user``, ``CON`` and ``con.txt``. The
name of a long key has all 32 digits and only the beginning of the text, and ends in ``~``.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import blake2b
from typing import NamedTuple

from aiocache_pe.backends.file.regular_files import make_folder, open_owned
from aiocache_pe.backends.private_files import make_private_folder
from aiocache_pe.keys.store_keys import is_internal_key, quote, unquote

FOLDERS = tuple(f"{n:02x}" for n in range(256))
"""Names of the folders of an area."""

_MAX_NAME_LENGTH = 120
_LONG_NAME_PREFIX = 72  # characters of a longer name that are kept
_CACHED_PATHS = 1024
_MAX_CACHED_KEY = 256  # characters; the paths of longer keys are not kept in memory
_ENTRY_NAME = re.compile(r"[0-9a-f]{8}(-|[0-9a-f]{24}-.*~$).*", re.DOTALL)


class EntryPath(NamedTuple):
    """Location of an entry.

    Attributes:
        path: the entry's file.
        folder: the folder of the file.
        slot: the byte of ``.locks`` that a change of the entry locks.
        is_internal: whether the entry is the library's own, so neither counted nor evicted.
    """

    path: str
    folder: str
    slot: int
    is_internal: bool


class Layout:
    """Names of the files of one cache directory.

    Args:
        root: the directory; a relative path is resolved against the current directory, and links
            on the way to the directory are resolved now.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.locks = f"{self.root}/.locks"
        self.leases = f"{self.root}/.leases"
        self.generations = f"{self.root}/.generations"
        self.ledger = f"{self.root}/.book"
        self.expiring = f"{self.root}/.expiring"
        self.swept = f"{self.root}/.swept"
        self.walked = f"{self.root}/.walked"
        self.secret = f"{self.root}/.secret"
        self.damaged = f"{self.root}/.damaged"
        # A miss needs the same path three times: for two reads and a write.
        self._get_short_path = lru_cache(_CACHED_PATHS)(partial(_build_path, self.root))

    def get_path(self, key: str) -> str:
        """Return the path of the file of a store key."""
        if len(key) <= _MAX_CACHED_KEY:
            return self._get_short_path(key)
        return _build_path(self.root, key)

    def locate(self, key: str) -> EntryPath:
        """Return the path of the file of a store key, with its folder and lock."""
        path = self.get_path(key)
        return EntryPath(path, path[: path.rindex("/")], get_lock_slot(path), is_internal_key(key))

    def get_area(self, prefix: str) -> str:
        """Return the folder of all keys under a prefix, which is an area with its colon."""
        return f"{self.root}/{name_area_folder(prefix.rstrip(':'))}"

    def make_root(self) -> None:
        """Create the directory, private, with the files that keep it out of git and backups."""
        make_private_folder(self.root)

    def make_folder(self, folder: str) -> None:
        """Create a folder of entries and its area; replace what is no folder."""
        make_folder(self.root, os.path.dirname(folder))
        make_folder(self.root, folder)

    def open_owned(self, path: str, flags: int) -> int:
        """Open a file of the library; create it, or replace what is no regular file."""
        return open_owned(path, flags, self.make_root)


def _build_path(root: str, key: str) -> str:
    area, _, rest = key.partition(":")
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    folder = f"{root}/{name_area_folder(area)}/{digest[:2]}"
    quoted = quote(rest, upper=True)
    if len(quoted) <= _MAX_NAME_LENGTH:
        return f"{folder}/{digest[:8]}-{quoted}"
    return f"{folder}/{digest}-{quoted[:_LONG_NAME_PREFIX]}~"


def name_area_folder(area: str) -> str:
    """Return the name of an area's folder; a very long name is cut and gets a digest."""
    if len(area) <= _MAX_NAME_LENGTH:
        return area
    digest = blake2b(area.encode("ascii"), digest_size=16).hexdigest()
    suffix = area[area.index("+") :] if "+" in area else ""  # it marks an internal area
    return f"{area[:_LONG_NAME_PREFIX]}~{digest}{suffix}"


def get_lock_slot(path: str) -> int:
    """Return the lock byte of an entry's file: the 32 bits of digest in its name."""
    start = path.rindex("/") + 1
    return int(path[start : start + 8], 16)


def is_entry_name(name: str) -> bool:
    """Return whether a file with this name may be an entry."""
    return _ENTRY_NAME.fullmatch(name) is not None


def parse_key(name: str) -> str | None:
    """Return the key in the name of an entry's file, without its area.

    Returns:
        The key; ``None`` if the name contains only its beginning, or is not that of an entry.
    """
    if is_entry_name(name) and not name.endswith("~"):
        with suppress(ValueError):
            return unquote(name[9:])
    return None
