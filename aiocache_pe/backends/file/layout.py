"""Where everything lies in a cache directory.

::

    data/cache/                       0700
        .gitignore  CACHEDIR.TAG      a cache belongs in no commit and in no backup
        .locks                        one byte per key, never written, only locked
        .leases                       the same for the leases of who computes
        .book                         how much there is, once there are bounds
        .expiring/                    what ends when, a file for each span of time
        .swept  .walked               by their times: when somebody last looked for what is
                                      over, and when through all that there is
        .secret                       0600, made when the first pickle is signed
        .damaged/                     files that failed verification, moved aside
        default/                      an area: the namespace `default`
            3f/                       256 folders by digest
                3f2a9c01-greeting     an entry; the name is the key when it is short
        default+stats/  default+tags/ what the library keeps beside the entries

An entry's name is 8 hex digits of the key's digest, a hyphen, and the percent-encoded
key, so ``ls`` shows keys and a scan by pattern opens nothing. The digits keep apart
what a file system might not: ``User`` and ``user``, ``CON`` and ``con.txt``. A long key
has all 32 digits and only the beginning of its text, marked by a final ``~``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import blake2b
from typing import NamedTuple

from aiocache_pe.keys.store_keys import is_side, quote, unquote

LONGEST_NAME = 120
_SHOWN_OF_LONG = 72
_RECENT, _SHORT = 1024, 256  # paths remembered, and the longest key of one in characters
_NAME = re.compile(r"[0-9a-f]{8}(-|[0-9a-f]{24}-.*~$).*", re.DOTALL)
FOLDERS = tuple(f"{n:02x}" for n in range(256))
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of aiocache_pe.\n"


class EntryPath(NamedTuple):
    """Where an entry lies.

    Attributes:
        path: its file.
        folder: the folder of that.
        slot: the byte of ``.locks`` that its changes lock.
        is_side: whether it is no entry of a user's, and so neither counted nor evicted.
    """

    path: str
    folder: str
    slot: int
    is_side: bool


class Layout:
    """Names of files for store keys, and back."""

    __slots__ = (
        "_remembered",
        "book",
        "damaged",
        "expiring",
        "leases",
        "locks",
        "root",
        "secret",
        "swept",
        "walked",
    )

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.locks = f"{self.root}/.locks"
        self.leases = f"{self.root}/.leases"
        self.book = f"{self.root}/.book"
        self.expiring = f"{self.root}/.expiring"
        self.swept = f"{self.root}/.swept"
        self.walked = f"{self.root}/.walked"
        self.secret = f"{self.root}/.secret"
        self.damaged = f"{self.root}/.damaged"
        # A miss asks for a path three times, to look, to look again and to write.
        self._remembered: Callable[[str], str] = lru_cache(_RECENT)(partial(_path, self.root))

    def path(self, key: str) -> str:
        """The file of a store key."""
        return self._remembered(key) if len(key) <= _SHORT else _path(self.root, key)

    def place(self, key: str) -> EntryPath:
        """The file of a store key, and what a change of it has to know besides."""
        path = self.path(key)
        return EntryPath(path, path[: path.rindex("/")], lock_slot(path), is_side(key))

    def area(self, prefix: str) -> str:
        """The folder of all keys that begin with ``prefix``, an area with its colon."""
        return f"{self.root}/{area_folder(prefix.rstrip(':'))}"

    def make_root(self) -> None:
        """Make the directory, private, with the notes that keep it out of git and backups."""
        if os.path.isdir(self.root):
            return
        os.makedirs(os.path.dirname(self.root), exist_ok=True)
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        for name, text in ((".gitignore", "*\n"), ("CACHEDIR.TAG", _TAG)):
            path = f"{self.root}/{name}"
            with open(path, "w", encoding="ascii", opener=_privately) as file:
                file.write(text)

    def make_folder(self, folder: str) -> None:
        """Make a folder of entries, and what it stands in."""
        self.make_root()
        os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)


def _path(root: str, key: str) -> str:
    area, _, rest = key.partition(":")
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    shown = quote(rest, upper=True)
    if len(shown) <= LONGEST_NAME:
        return f"{root}/{area_folder(area)}/{digest[:2]}/{digest[:8]}-{shown}"
    start = shown[:_SHOWN_OF_LONG]
    return f"{root}/{area_folder(area)}/{digest[:2]}/{digest}-{start}~"


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def area_folder(area: str) -> str:
    """An area's folder; a very long one is cut and kept apart by its digest."""
    if len(area) <= LONGEST_NAME:
        return area
    digest = blake2b(area.encode("ascii"), digest_size=16).hexdigest()
    suffix = area[area.index("+") :] if "+" in area else ""  # by which side areas are known
    return f"{area[:_SHOWN_OF_LONG]}~{digest}{suffix}"


def lock_slot(path: str) -> int:
    """The lock byte of an entry's file: the 32 bits of digest that its name begins with."""
    start = path.rindex("/") + 1
    return int(path[start : start + 8], 16)


def is_entry(name: str) -> bool:
    """Whether a file may be an entry's, by its name."""
    return _NAME.fullmatch(name) is not None


def display_key(name: str) -> str | None:
    """The key, without its area, that a file name shows whole.

    Returns:
        The key; ``None`` when the name holds only its beginning, or is not an entry's.
    """
    if not is_entry(name) or name.endswith("~"):
        return None
    try:
        return unquote(name[9:])
    except ValueError:
        return None
