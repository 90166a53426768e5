"""Secret of a cache directory, which signs the pickles in it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.private_files import open_private
from aiocache_pe.exceptions import BackendError


def load_secret(layout: Layout) -> bytes:
    """Read the directory's secret; create it with 32 random bytes and mode 0600 if missing.

    Raises:
        BackendError: the file is empty, or users other than the owner may read or replace it.
        OSError: the file can be neither read nor created.
    """
    with suppress(FileNotFoundError):
        return _read_secret(layout.secret)

    layout.make_root()
    temporary = f"{layout.secret}-{os.getpid()}-{secrets.token_hex(4)}"
    with open(temporary, "xb", buffering=0, opener=open_private) as file:
        try:
            file.write(secrets.token_hex(32).encode("ascii"))
            os.fsync(file.fileno())  # without it, a crash could leave an empty file for good
            with suppress(FileExistsError):  # another process was first; its secret is valid
                os.link(temporary, layout.secret)
        finally:
            os.unlink(temporary)
    return _read_secret(layout.secret)


def _read_secret(path: str) -> bytes:
    with open(path, "rb", opener=open_private) as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise BackendError(
                f"{path} must belong to the user of this process and have mode 0600; got the "
                f"user {status.st_uid} and mode {status.st_mode & 0o777:04o}; remove the file if "
                "in doubt, and values pickled under it are computed again"
            )
        if secret := file.read(4096):
            return secret
        raise BackendError(f"{path} must not be empty; remove the file to get a new secret")
