"""Process with a store that breaks during its work, by real faults, and is repaired again.

``python -m tests.support.processes.break_store KIND DIRECTORY`` fails if a call fails, if the
failures are not counted, or if one is logged twice. For faults of permissions, a process that
was started as root changes to another user first, because permissions do not restrict root.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.backend import FileBackend
from tests.support.operations import FAILS, KEPT, call_every_method, find_repeated_failures

OTHER_USER = 65534
ROUNDS = 3


@contextmanager
def forbid_access(directory: Path) -> Generator[None, None, None]:
    """Forbid all access to the directory."""
    directory.chmod(0)
    yield
    directory.chmod(0o700)


@contextmanager
def make_read_only(directory: Path) -> Generator[None, None, None]:
    """Forbid to create or remove files in any folder."""
    folders = [Path(folder) for folder, _, _ in os.walk(directory)]
    for folder in folders:
        folder.chmod(0o500)
    yield
    for folder in folders:
        folder.chmod(0o700)


@contextmanager
def fill_device(directory: Path) -> Generator[None, None, None]:
    """Fill the device, which must be a small one."""
    assert shutil.disk_usage(directory).total < 20_000_000
    ballast = directory / ".ballast"
    fd = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    for size in (4096, 1):
        try:
            while True:
                os.write(fd, b"x" * size)
        except OSError:
            pass
    os.close(fd)
    yield
    ballast.unlink()


@contextmanager
def forbid_large_files(directory: Path) -> Generator[None, None, None]:
    """Forbid files to grow, as an exhausted quota does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def use_all_descriptors(directory: Path) -> Generator[None, None, None]:
    """Open as many files as the process may open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    opened: list[int] = []
    try:
        while True:
            opened.append(os.dup(0))
    except OSError:
        pass
    yield
    for fd in opened:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def replace_by_file(directory: Path) -> Generator[None, None, None]:
    """Replace the directory by a file."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    directory.write_text("I am no directory.")
    yield
    directory.unlink()
    aside.rename(directory)


@contextmanager
def replace_by_dangling_link(directory: Path) -> Generator[None, None, None]:
    """Replace the directory by a symbolic link without a target."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    directory.symlink_to("/nonexistent/cache")
    yield
    directory.unlink()
    aside.rename(directory)


KINDS = {
    kind.__name__: kind
    for kind in (
        *(forbid_access, make_read_only, fill_device, forbid_large_files, use_all_descriptors),
        *(replace_by_file, replace_by_dangling_link),
    )
}
OF_PERMISSIONS = (forbid_access, make_read_only)
READABLE = (make_read_only, fill_device, forbid_large_files)


async def break_and_repair(
    kind: str, directory: Path, list_logged: Callable[[], list[str]]
) -> None:
    clock = StoppedClock()
    cache = CacheManager(directory=directory, clock=clock)
    assert await cache.set("kept", KEPT)
    await call_every_method(cache, works=True)
    assert (await cache.get_stats()).errors == 0
    assert list_logged() == []
    with KINDS[kind](directory):
        if KINDS[kind] in READABLE:
            assert await cache.get("kept") == KEPT
            assert "default:kept" in await FileBackend(directory).read(["default:kept"])
        for _ in range(ROUNDS):
            await call_every_method(cache, works=False)
        errors = (await cache.get_stats()).errors
    assert errors >= ROUNDS
    assert any(FAILS in message for message in list_logged())
    assert not find_repeated_failures(list_logged())
    assert len(list_logged()) <= 12, list_logged()
    clock.later = 60
    await cache.clear()
    assert await cache.set("kept", KEPT)
    await call_every_method(cache, works=True)
    assert (await cache.get_stats()).errors >= errors
    assert any("works again" in message for message in list_logged())
    await cache.close()
    assert await CacheManager(directory=directory).get("kept") == KEPT


class StoppedClock:
    """A clock with the real time and a monotonic time that the test sets."""

    later = 0.0

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return self.later


class _MessageHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def drop_root(directory: Path) -> None:
    """Change from root to another user, the owner of the folder around a directory."""
    if os.geteuid() == 0:
        os.chown(directory.parent, OTHER_USER, OTHER_USER)
        os.setgroups([])
        os.setgid(OTHER_USER)
        os.setuid(OTHER_USER)


async def _import_late_modules() -> None:
    """Import late modules now: another user may not read the interpreter's files."""
    with tempfile.TemporaryDirectory() as directory:
        async with CacheManager(directory=f"{directory}/cache") as cache:
            await cache.set("kept", KEPT)
            await call_every_method(cache, works=True)


def _main(kind: str, directory: Path) -> None:
    asyncio.run(_import_late_modules())
    handler = _MessageHandler()
    logger = logging.getLogger("aiocache_pe")
    logger.addHandler(handler)
    logger.propagate = False
    if KINDS[kind] in OF_PERMISSIONS:
        drop_root(directory)
    asyncio.run(break_and_repair(kind, directory, lambda: handler.messages))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
