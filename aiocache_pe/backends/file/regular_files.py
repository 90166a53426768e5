"""Opening of files below a cache directory: regular files only, and never through a link.

Anything may be in the place of a file or folder of the cache: a link, a pipe, a device, a socket, a
folder. `open_below` follows no link at any level and never waits for the other end of a pipe. On
Linux it is one call of ``openat2`` with ``RESOLVE_NO_SYMLINKS``, so it costs no more than ``open``.
The directory itself may be reached by links: `Layout` resolves its path once.

The library replaces whatever is in the place of its own files, and moves it to ``.damaged``.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint64, c_void_p
from stat import S_IRUSR, S_ISDIR, S_ISREG, S_IWUSR
from typing import Any

RESOLVE_NO_SYMLINKS, RESOLVE_CACHED = 0x04, 0x20
_OPENAT2 = 437  # the same on every architecture: it is newer than their common table
_AT_FDCWD = -100
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_ENCODING = sys.getfilesystemencoding()
_OWNER = S_IRUSR | S_IWUSR
_ATTEMPTS = 3
_sequence = itertools.count()


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", c_uint64), ("mode", c_uint64), ("resolve", c_uint64)]


class Openat2:
    """The system call ``openat2`` with fixed flags for the resolution of paths.

    Args:
        library: `ctypes.CDLL`, or `ctypes.PyDLL` for a call that cannot block and keeps the GIL.
        resolve: the flags.
    """

    def __init__(self, library: type[ctypes.CDLL], resolve: int) -> None:
        self._syscall = library(None, use_errno=True).syscall
        self._syscall.restype = c_long
        self._syscall.argtypes = [c_long, c_int, c_char_p, c_void_p, c_size_t]
        self._resolve = resolve

    def make_arguments(self, flags: int, mode: int = 0) -> Any:
        """Return the last argument of a call: the flags and mode of the opened file."""
        return ctypes.byref(_OpenHow(flags, mode, self._resolve))

    def __call__(self, path: str, arguments: Any) -> int:
        """Return a descriptor, or a negative number; then ``ctypes.get_errno()`` is the error."""
        name = path.encode(_ENCODING, "surrogateescape")
        return int(self._syscall(_OPENAT2, _AT_FDCWD, name, arguments, 24))


def _load_openat2() -> Openat2 | None:
    if sys.platform != "linux":
        return None
    call = Openat2(ctypes.CDLL, RESOLVE_NO_SYMLINKS)
    fd = call("/", call.make_arguments(os.O_RDONLY | _FLAGS))
    if fd < 0:  # an older kernel, or a sandbox
        return None
    os.close(fd)
    return call


_openat2 = _load_openat2()


class NotRegularError(OSError):
    """A path below the directory, in a folder of the library, is no regular file."""

    def __init__(self, path: str, status: os.stat_result) -> None:
        super().__init__(errno.EINVAL, "must be a regular file", path)
        self.status = status


def open_below(path: str, flags: int) -> int:
    """Open a file or folder; follow no link, and do not wait. A new file has mode 0600."""
    flags |= _FLAGS
    mode = 0o600 if flags & os.O_CREAT else 0
    if _openat2 is None:
        folder = os.path.dirname(path)
        if os.path.realpath(folder) != folder:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return os.open(path, flags, mode)
    fd = _openat2(path, _openat2.make_arguments(flags, mode))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return fd


def open_regular(path: str, flags: int = os.O_RDONLY) -> tuple[int, os.stat_result]:
    """Open a regular file, and return its descriptor and status.

    Raises:
        NotRegularError: the path is something else, for example a link.
        OSError: the file cannot be opened, or its folder is no folder of the directory.
    """
    try:
        fd = open_below(path, flags)
    except FileNotFoundError:
        raise
    except OSError:
        with open_folder(os.path.dirname(path)) as folder:
            status = os.stat(os.path.basename(path), dir_fd=folder, follow_symlinks=False)
        if S_ISREG(status.st_mode):
            raise
        raise NotRegularError(path, status) from None
    status = os.fstat(fd)
    if not S_ISREG(status.st_mode):
        os.close(fd)
        raise NotRegularError(path, status)
    return fd, status


@contextmanager
def open_folder(path: str) -> Generator[int, None, None]:
    """Open a folder for the time of the context."""
    fd = open_below(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def open_owned(path: str, flags: int, make_root: Callable[[], None]) -> int:
    """Open a file of the library; create it, and replace anything else in its place.

    Args:
        path: the file, directly below the directory.
        flags: flags for opening, besides ``O_CREAT``.
        make_root: creates the directory.
    """
    for _ in range(_ATTEMPTS):
        try:
            return open_regular(path, flags | os.O_CREAT)[0]
        except FileNotFoundError:
            make_root()
        except (NotRegularError, PermissionError):
            if not remove_foreign(os.path.dirname(path), path):
                raise
    return open_regular(path, flags | os.O_CREAT)[0]


def make_folder(root: str, path: str) -> None:
    """Create a folder of the library; replace anything else in its place."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not S_ISDIR(os.lstat(path).st_mode):
            set_aside(root, path)
            os.mkdir(path, 0o700)


def set_aside(root: str, path: str) -> None:
    """Move a file, folder or link to ``.damaged``; remove it if it cannot be moved.

    Raises:
        FileNotFoundError: there is nothing.
        OSError: it can be neither moved nor removed.
    """
    damaged = f"{root}/.damaged"
    if path != damaged:
        with suppress(OSError):  # the disk is full, or the folder is on another device
            make_folder(root, damaged)
            os.rename(path, f"{damaged}/{make_unique_name()}-{os.path.basename(path)}")
            return
    os.unlink(path)


def make_unique_name() -> str:
    """Return a part of a name that no process has used, even if a test has stopped the clock."""
    return f"{time.time_ns()}-{os.getpid()}-{next(_sequence)}"


def remove_foreign(root: str, path: str) -> bool:
    """Remove what cannot be a file of the library; return whether that was so.

    A folder, a link, a pipe and the like are set aside. A file whose mode excludes its owner is
    removed: a process that has it open sees by the number of links that it is gone.
    """
    status = os.lstat(path)
    if not S_ISREG(status.st_mode):
        set_aside(root, path)
    elif status.st_uid == os.geteuid() and status.st_mode & _OWNER != _OWNER:
        os.unlink(path)
    else:
        return False
    return True


def remove_entry(path: str) -> int:
    """Remove the file of an entry, or a link in its place, and return its size in bytes.

    Raises:
        OSError: there is a folder in its place, or a link in the place of its folder.
    """
    folder = os.path.dirname(path)
    for parent in (os.path.dirname(folder), folder):
        if not S_ISDIR(os.lstat(parent).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), parent)
    size = os.lstat(path).st_size
    os.unlink(path)
    return size
