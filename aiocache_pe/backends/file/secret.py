"""Secret of a cache directory, which signs the pickles in it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.regular_files import (
    NotRegularError,
    open_below,
    open_regular,
    set_aside,
)
from aiocache_pe.exceptions import BackendError

_MIN_BYTES, _MAX_BYTES = 8, 4096
_LOCK_SLOT = 1 << 60  # beyond the locks of entries


def load_secret(layout: Layout) -> bytes:
    """Read the directory's secret; create it with 32 random bytes and mode 0600 if missing.

    A file that cannot be a secret, because it is empty or a link for example, is moved aside.

    Raises:
        BackendError: users other than the owner may read or replace it.
        LockTimeoutError: another process moves a damaged file aside; try again.
        OSError: the file can be neither read nor created.
    """
    try:
        secret = _read_secret(layout.secret)
    except FileNotFoundError:
        layout.make_root()
    else:
        secret = secret or _set_damaged_aside(layout)
        if secret is not None:
            return secret

    temporary = f"{layout.secret}-{os.getpid()}-{secrets.token_hex(4)}"
    with open(temporary, "xb", buffering=0, opener=open_below) as file:
        try:
            file.write(secrets.token_hex(32).encode("ascii"))
            os.fsync(file.fileno())  # without it, a crash could leave an empty file for good
            with suppress(FileExistsError):  # another process was first; its secret is valid
                os.link(temporary, layout.secret)
        finally:
            os.unlink(temporary)
    if secret := _read_secret(layout.secret):
        return secret
    raise BackendError(f"{layout.secret} must not be empty; remove the file to get a new secret")


def _set_damaged_aside(layout: Layout) -> bytes | None:
    """Move a file that cannot be a secret aside, or return the secret that has replaced it.

    Under the lock, no other process moves the secret aside that this one creates.
    """
    locks = ByteLocks(layout.locks, layout.make_root)
    try:
        with locks.hold(_LOCK_SLOT), suppress(FileNotFoundError):
            if secret := _read_secret(layout.secret):
                return secret
            set_aside(layout.root, layout.secret)
    finally:
        locks.close()
    return None


def _read_secret(path: str) -> bytes | None:
    """Return the content of the file; ``None`` if it cannot be a secret."""
    try:
        fd, status = open_regular(path)
    except NotRegularError:
        return None
    try:
        if not _MIN_BYTES <= status.st_size <= _MAX_BYTES:
            return None
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise BackendError(
                f"{path} must belong to the user of this process and have mode 0600; got the "
                f"user {status.st_uid} and mode {status.st_mode & 0o777:04o}; remove the file if "
                "in doubt, and values pickled under it are computed again"
            )
        return os.read(fd, _MAX_BYTES)
    finally:
        os.close(fd)
