"""A process whose store breaks under it, for real, and is repaired again.

``python -m tests.support.processes.break_store KIND DIRECTORY`` fails if a call fails, if the
failures are not counted, or if one is logged twice. Started as root it becomes somebody else
first where permissions are what breaks, for nothing is forbidden to root.
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
from tests.support.operations import FAILS, KEPT, call_every_verb, find_repeated_failures

NOBODY = 65534
ROUNDS = 3


@contextmanager
def forbidden(directory: Path) -> Generator[None, None, None]:
    """Nobody may enter the directory."""
    directory.chmod(0)
    yield
    directory.chmod(0o700)


@contextmanager
def read_only(directory: Path) -> Generator[None, None, None]:
    """Nothing may be made or removed in any folder."""
    folders = [Path(folder) for folder, _, _ in os.walk(directory)]
    for folder in folders:
        folder.chmod(0o500)
    yield
    for folder in folders:
        folder.chmod(0o700)


@contextmanager
def full(directory: Path) -> Generator[None, None, None]:
    """There is no room left on the device, which is a small one."""
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
def no_large_files(directory: Path) -> Generator[None, None, None]:
    """No file may grow at all, as with a quota that is used up."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def no_descriptors(directory: Path) -> Generator[None, None, None]:
    """The process has as many files open as it may."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    yield
    for fd in taken:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def a_file_instead(directory: Path) -> Generator[None, None, None]:
    """A file lies where the directory was."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    directory.write_text("I am no directory.")
    yield
    directory.unlink()
    aside.rename(directory)


@contextmanager
def a_link_to_nowhere(directory: Path) -> Generator[None, None, None]:
    """A symbolic link to nothing lies where the directory was."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    directory.symlink_to("/nonexistent/cache")
    yield
    directory.unlink()
    aside.rename(directory)


KINDS = {
    kind.__name__: kind
    for kind in (
        *(forbidden, read_only, full, no_large_files, no_descriptors),
        *(a_file_instead, a_link_to_nowhere),
    )
}
OF_PERMISSIONS = (forbidden, read_only)
READABLE = (read_only, full, no_large_files)


async def break_and_repair(kind: str, directory: Path, logged: Callable[[], list[str]]) -> None:
    clock = StoppedClock()
    cache = CacheManager(directory=directory, clock=clock)
    assert await cache.set("kept", KEPT)
    await call_every_verb(cache, works=True)
    assert (await cache.get_stats()).errors == 0
    assert logged() == []
    with KINDS[kind](directory):
        if KINDS[kind] in READABLE:
            assert await cache.get("kept") == KEPT
            assert "default:kept" in await FileBackend(directory).read(["default:kept"])
        for _ in range(ROUNDS):
            await call_every_verb(cache, works=False)
        errors = (await cache.get_stats()).errors
    assert errors >= ROUNDS
    assert any(FAILS in message for message in logged())
    assert not find_repeated_failures(logged())
    assert len(logged()) <= 12, logged()
    clock.later = 60
    await cache.clear()
    assert await cache.set("kept", KEPT)
    await call_every_verb(cache, works=True)
    assert (await cache.get_stats()).errors >= errors
    assert any("works again" in message for message in logged())
    await cache.close()
    assert await CacheManager(directory=directory).get("kept") == KEPT


class StoppedClock:
    """The real time; but how long something took is for the test to say."""

    later = 0.0

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return self.later


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _become_somebody_else(directory: Path) -> None:
    if os.geteuid() == 0:
        os.chown(directory.parent, NOBODY, NOBODY)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


async def _import_what_is_imported_late() -> None:
    """Somebody else may not read the interpreter's own files."""
    with tempfile.TemporaryDirectory() as directory:
        async with CacheManager(directory=f"{directory}/cache") as cache:
            await cache.set("kept", KEPT)
            await call_every_verb(cache, works=True)


def _main(kind: str, directory: Path) -> None:
    asyncio.run(_import_what_is_imported_late())
    kept = _Kept()
    logger = logging.getLogger("aiocache_pe")
    logger.addHandler(kept)
    logger.propagate = False
    if KINDS[kind] in OF_PERMISSIONS:
        _become_somebody_else(directory)
    asyncio.run(break_and_repair(kind, directory, lambda: kept.messages))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
