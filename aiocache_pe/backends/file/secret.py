"""The secret of a cache directory, under which its pickles are signed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.exceptions import BackendError


def load_secret(layout: Layout) -> bytes:
    """Read the directory's secret, or make it: 32 random bytes, for the owner's eyes only.

    Raises:
        BackendError: others than the owner may read or replace it, or it is empty: so it is none.
        OSError: it can be neither read nor made.
    """
    with suppress(FileNotFoundError):
        return _read(layout.secret)
    layout.make_root()
    temporary = f"{layout.secret}-{os.getpid()}-{secrets.token_hex(4)}"
    fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(fd, secrets.token_hex(32).encode("ascii"))
            os.fsync(fd)  # an empty file under that name would be there to stay
        finally:
            os.close(fd)
        with suppress(FileExistsError):  # another process was first: its secret it is
            os.link(temporary, layout.secret)
    finally:
        os.unlink(temporary)
    return _read(layout.secret)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise BackendError(
                f"{path} must belong to the user of this process and be readable by nobody "
                f"else (mode 0600, found {status.st_mode & 0o777:04o}); remove it if in doubt, "
                "values pickled under it are then computed anew"
            )
        secret = os.read(fd, 4096)
        if not secret:
            raise BackendError(f"{path} is empty, so it is no secret; remove it, for a new one")
        return secret
    finally:
        os.close(fd)
