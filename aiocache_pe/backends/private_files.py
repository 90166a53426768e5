"""Private folders and files of the library: no other user may read them, and git ignores them."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

FALLBACK_PREFIX = ".fallback-"
"""Beginning of the name of a fallback store's folder, which lies in a cache directory."""

JOURNALS_NAME = ".journals"
"""Name of the folder of journals, which lies in the folder of a fallback store."""

_CACHEDIR_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of aiocache_pe.\n"


def make_private_folder(path: str) -> None:
    """Create a folder with mode 0700 for any umask, unless it exists.

    A cache directory gets the files that keep it out of git and backups. The cache directory around
    a folder of the fallback store is created in the same way.

    Raises:
        OSError: a folder cannot be created, or a file or a link has its name.
    """
    if os.path.isdir(path):
        return
    parent, name = os.path.split(path)
    is_inner = name == JOURNALS_NAME or name.startswith(FALLBACK_PREFIX)
    if is_inner:
        make_private_folder(parent)
    elif parent:
        os.makedirs(parent, exist_ok=True)
    try:
        os.mkdir(path, mode=0o700)
    except FileExistsError:
        if os.path.isdir(path):  # of another process
            return
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
    with suppress(OSError):
        os.chmod(path, 0o700)  # the umask may have removed rights of the owner
    if is_inner:
        return
    for file_name, text in ((".gitignore", b"*\n"), ("CACHEDIR.TAG", _CACHEDIR_TAG)):
        with open(f"{path}/{file_name}", "wb", opener=open_private) as file:
            file.write(text)


def open_private(path: str, flags: int) -> int:
    """Open a file that is created with mode 0600 and is no link; an ``opener`` for `open`."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
