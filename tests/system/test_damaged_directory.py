"""Every file and folder of a cache directory, damaged in every way: nothing else is affected.

The test fills a directory with files of all kinds, and damages one after another. A cache on the
damaged directory must return all other entries, store new ones, make its maintenance round and use
no file outside. After that, the damaged thing must work again as well.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import resource
import shutil
import stat
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.backend import FileBackend
from tests.support.factories import Factory
from tests.support.polling import poll
from tests.support.scale import is_full_run

HUGE = 2 * 1024**3
MAX_MEMORY = 64 * 1024 * 1024
MAX_STALL = 0.05 if is_full_run() else 1.0  # seconds; a busy machine stalls every loop
OTHER_USER = 65534
UNIMPORTANT = ("exact", "short", "computed", "CACHEDIR.TAG", "3f")
"""Ends of places that the full run damages as well; they resemble others."""


class Unregistered(Fraction):
    """A class that only pickle can store."""


VALUES = {
    "plain": {"text": "a value"},
    "large": "x" * 200_000,
    "exact": Decimal("1.5"),
    "tagged": [1, 2],
    "short": 5,
    "pickled": Unregistered(1, 3),
}


async def fill(directory: Path) -> None:
    """Create a directory with files of every kind that the library keeps."""
    async with CacheManager(directory=directory, max_entries=10_000) as cache:
        for key, value in VALUES.items():
            tags, ttl = (
                (["tag"], None) if key == "tagged" else ((), 3600 if key == "short" else None)
            )
            assert await cache.set(key, value, tags=tags, ttl=ttl)
        assert await cache.get_or_set("computed", lambda: 1) == 1
        assert await cache.get("plain") == VALUES["plain"]
        await cache.set("damaged", 1)
        [file] = directory.glob("default/??/*-damaged")
        file.write_bytes(b"nonsense")
        assert await cache.get("damaged") is None
    backend = FileBackend(directory)
    while await backend.maintain(time.time()) is not None:
        pass
    await backend.close()
    (directory / ".trash-1-1" / "3f").mkdir(parents=True)
    (file.parent / ".tmp-00000007-1-1").write_text("half")


def list_places(directory: Path) -> list[str]:
    """Return the files and folders below a directory; of several of one kind, the first."""
    places: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        place = str(path.relative_to(directory))
        kind = place if is_full_run() else re.sub(r"default\+(?=\w+$)|/[0-9a-f]{2}$", "/", place)
        if kind.endswith(UNIMPORTANT) and not is_full_run():
            continue
        places.setdefault(kind, place)
    return list(places.values())


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write(content: bytes) -> Callable[[Path, Path], None]:
    def damage(path: Path, outside: Path) -> None:
        remove(path)
        path.write_bytes(content)
        path.chmod(0o600)

    return damage


def overwrite(content: bytes) -> Callable[[Path, Path], None]:
    """Return a function that replaces the beginning of a file and keeps the rest."""

    def damage(path: Path, outside: Path) -> None:
        old = path.read_bytes() if path.is_file() else b""
        write(content + old[len(content) :])(path, outside)

    return damage


def truncate(path: Path, outside: Path) -> None:
    old = path.read_bytes() if path.is_file() else b"x"
    write(old[: len(old) // 2])(path, outside)


def grow(path: Path, outside: Path) -> None:
    remove(path)
    path.touch()
    os.truncate(path, HUGE)


def grow_at_the_end(path: Path, outside: Path) -> None:
    if path.is_dir():
        remove(path)
        path.touch()
    os.truncate(path, HUGE)


def replace_by_pipe(path: Path, outside: Path) -> None:
    remove(path)
    os.mkfifo(path)


def replace_by_socket(path: Path, outside: Path) -> None:
    remove(path)
    os.mknod(path, stat.S_IFSOCK | 0o600)


def replace_by_device(path: Path, outside: Path) -> None:
    remove(path)
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("creating a device needs root")


def replace_by_folder(path: Path, outside: Path) -> None:
    remove(path)
    path.mkdir()
    (path / "file").write_text("x")


def link_to_file(path: Path, outside: Path) -> None:
    is_file = path.is_file()
    content = path.read_bytes() if is_file else b"precious"
    remove(path)
    (outside / "file").write_bytes(content)  # a copy, which must not be used
    path.symlink_to(outside / "file")


def link_to_folder(path: Path, outside: Path) -> None:
    if path.is_dir():
        path.rename(outside / "folder")
    else:
        remove(path)
        (outside / "folder").mkdir()
        (outside / "folder" / "precious").write_text("precious")
    path.symlink_to(outside / "folder")


def link_to_nothing(path: Path, outside: Path) -> None:
    remove(path)
    path.symlink_to(outside / "nothing")


def link_to_itself(path: Path, outside: Path) -> None:
    remove(path)
    path.symlink_to(path.name)


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "absent": lambda path, outside: remove(path),
    "empty": write(b""),
    "truncated": truncate,
    "zeros": write(bytes(5000)),
    "garbage": write(bytes(range(256)) * 40),
    "garbage at the beginning": overwrite(b"\xff" * 40),
    "garbage numbers": overwrite(b"aiocpe1\n" + b"\x11" * 400),
    "null": write(b"null\n"),
    "NaN": write(b"NaN\n"),
    "wrong types": write(b'{"v":null,"key":[],"codec":NaN,"size":"","crc32":"00000000"}\n'),
    **{
        function.__name__: function
        for function in (
            *(grow, grow_at_the_end, replace_by_pipe, replace_by_socket, replace_by_device),
            *(replace_by_folder, link_to_file, link_to_folder, link_to_nothing, link_to_itself),
        )
    },
}


def write_in_place(content: Callable[[bytes], bytes]) -> Callable[[Path, Path], None]:
    """Return a function that changes the content of a file that processes have open."""

    def damage(path: Path, outside: Path) -> None:
        path.write_bytes(content(path.read_bytes()))

    return damage


IN_PLACE: dict[str, Callable[[Path, Path], None]] = {
    "emptied in place": write_in_place(lambda old: b""),
    "truncated in place": write_in_place(lambda old: old[: len(old) // 2]),
    "zeros in place": write_in_place(lambda old: bytes(len(old))),
    "garbage in place": write_in_place(lambda old: b"\xff" * len(old)),
    "null in place": write_in_place(lambda old: b"null\n"),
    "garbage at the end": write_in_place(lambda old: old + b"garbage"),
}


@asynccontextmanager
async def watch_loop() -> AsyncGenerator[list[float]]:
    """Record the longest time in which the event loop ran nothing else."""
    longest = [0.0]

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0)
            longest[0] = max(longest[0], time.monotonic() - began)
            await asyncio.sleep(0.001)

    task = asyncio.create_task(tick())
    yield longest
    task.cancel()


async def check_others(cache: CacheManager, place: str) -> None:
    """Check that a cache returns what it returned before; the damaged entry may be a miss."""
    for key, value in VALUES.items():
        found = await cache.get(key, "missing")
        is_affected = (
            place.endswith(f"-{key}")
            or place == "default"
            or (len(place) == len("default/00") and place.startswith("default/"))
            or (key == "tagged" and place.startswith("default+tags"))
            or (key == "pickled" and place == ".secret")
        )
        assert found == value or (is_affected and found == "missing"), (place, key)


async def check_damaged(directory: Path, place: str) -> None:
    """Check that a cache on a damaged directory works, and repairs it."""
    cache = CacheManager(directory=directory, max_entries=10_000, memory_max_bytes=0)
    async with watch_loop() as longest:
        await check_others(cache, place)
        for key, value in VALUES.items():
            assert await cache.set(key, value, tags=["tag"], ttl=3600), (place, key)
            assert await cache.get(key) == value, (place, key)
        assert await cache.incr("n") == 1
        assert await cache.get_or_set("computed", lambda: 1) == 1
        assert await cache.delete("plain")
        assert await cache.invalidate("exact*") == 1
        assert await cache.delete_by_tag("tag")
        assert await cache.get("large") is None
        await cache.cleanup_expired()
        assert (await cache.get_stats()).total_entries >= 2
        backend = FileBackend(directory)
        while await backend.maintain(time.time() + 90_000) is not None:
            pass
        await backend.close()
        await cache.clear()
        assert await cache.get("n") is None
        assert await cache.set("plain", 1)
        assert await cache.get("plain") == 1
        await cache.close()
    assert longest[0] < MAX_STALL, (place, longest)


def list_outside(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


async def damage_places(
    template: Path, parent: Path, damage: Callable[[Path, Path], None], first: int
) -> None:
    """Damage every fifth place, each in a copy of the directory; in the full run, every place."""
    step = 1 if is_full_run() else 5
    for number, place in enumerate(list_places(template)[first % step :: step]):
        directory, outside = parent / f"cache{number}", parent / f"outside{number}"
        shutil.copytree(template, directory)
        outside.mkdir()
        damage(directory / place, outside)
        before = list_outside(outside)
        await asyncio.wait_for(check_damaged(directory, place), 60)
        assert list_outside(outside) == before, place
        shutil.rmtree(directory)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_place_affects_nothing_else(tmp_path: Path, damage: str) -> None:
    template = tmp_path / "template"
    await fill(template)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await damage_places(template, tmp_path, DAMAGES[damage], list(DAMAGES).index(damage))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < MAX_MEMORY


CHANGES: tuple[Callable[[CacheManager], Awaitable[object]], ...] = (
    lambda cache: cache.delete("key"),
    lambda cache: cache.invalidate("k*"),
)


@pytest.mark.parametrize("damage", [*DAMAGES, *IN_PLACE])
async def test_damaged_generations_let_no_outdated_value_be_stored(
    cache_dir: Path, tmp_path: Path, damage: str
) -> None:
    file, outside, computed = cache_dir / ".generations", tmp_path / "outside", Factory()
    for change, is_late in itertools.product(CHANGES, (False, True)):
        shutil.rmtree(outside, ignore_errors=True)
        outside.mkdir()
        async with CacheManager(directory=cache_dir) as cache:
            computed.hold()
            computing = asyncio.create_task(cache.get_or_set("key", computed))
            await poll(lambda: computed.running, deadline=60)
            if is_late:
                await change(cache)
            (DAMAGES | IN_PLACE)[damage](file, outside)
            if not is_late:
                await change(cache)
            async with CacheManager(directory=cache_dir) as other:
                assert await other.get_or_set("other", lambda: 1) == 1
            computed.release()
            await computing
            assert await cache.get("key") is None
            for _ in range(2):  # the first value may find the damage
                assert await cache.get_or_set("key", lambda: "new") == "new"
            assert await cache.get("key") == "new"
            await cache.clear()
