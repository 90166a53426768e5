"""Damaged files are misses, are counted and moved aside, and never reach a caller.

Each test damages the file of an entry that a manager has just read. Files are cut at every length,
altered at every byte, exchanged, or replaced by links, folders and pipes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from tests.support.internals import get_cached_reader
from tests.support.operations import KEPT, call_every_method
from tests.support.scale import is_full_run, make_random, scale_size

SMALL = {"text": "a value", "numbers": [1, 2, 3]}
LARGE = {"text": "many bytes " * 20_000}  # too large for a read without a thread


@pytest.fixture(params=[0, 64 * 1024 * 1024], ids=["no memory tier", "memory tier"])
def cache(request: pytest.FixtureRequest, cache_dir: Path) -> CacheManager:
    return CacheManager(directory=cache_dir, memory_max_bytes=request.param)


def find_file(directory: Path, key: str) -> Path:
    [file] = directory.glob(f"default/*/*-{key}")
    return file


def count_damaged(directory: Path) -> int:
    damaged = directory / ".damaged"
    return len(list(damaged.iterdir())) if damaged.exists() else 0


def cut(blob: bytes) -> Iterator[bytes]:
    """Yield every beginning, and versions with too many bytes."""
    is_small = len(blob) < 2000
    lengths = range(len(blob)) if is_small else [0, 1, 100, 4096, 65_536, len(blob) - 1]
    yield from (blob[:length] for length in lengths)
    yield blob + b"x"
    yield blob + blob
    yield b"\0" * len(blob)


def flip(blob: bytes) -> Iterator[bytes]:
    """Yield versions with one bit inverted, of every byte; of each bit in a full run."""
    chance = make_random("flips")
    is_small = len(blob) < 2000
    for at in range(len(blob)) if is_small else chance.sample(range(len(blob)), scale_size(20)):
        for bit in range(8) if is_full_run() and is_small else [chance.randrange(8)]:
            changed = bytearray(blob)
            changed[at] ^= 1 << bit
            yield bytes(changed)


@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("damage", [cut, flip])
async def test_a_damaged_entry_is_a_miss_and_moved_aside(
    cache: CacheManager,
    cache_dir: Path,
    damage: Callable[[bytes], Iterator[bytes]],
    value: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await cache.set("key", value)
    file = find_file(cache_dir, "key")
    blob = file.read_bytes()
    misses = 0
    for damaged in damage(blob):
        assert await cache.get("key") == value
        file.write_bytes(damaged)
        found = await cache.get("key")
        if found is None:
            misses += 1
            assert not file.exists()
            assert await cache.get_or_set("key", lambda: value) == value
        else:  # an altered hex digit of the checksum may have the same value
            assert found == value
            file.unlink()
            await cache.set("key", value)
    assert misses >= 9
    assert count_damaged(cache_dir) == misses
    assert (await cache.get_stats()).errors == misses
    assert len([m for m in caplog.messages if "damaged" in m]) == misses
    await cache.close()


@pytest.mark.parametrize(
    ("method", "args", "result"),
    [
        ("get", (), None),
        ("get_many", (), {}),
        ("exists", (), False),
        ("get_ttl", (), None),
        ("entry", (), None),
        ("pop", ("nothing",), "nothing"),
        ("delete", (), False),
        ("add", ("new",), True),
        ("touch", (60,), False),
        ("incr", (5,), 5),
        ("set", ("new",), True),
    ],
)
async def test_no_method_uses_a_damaged_entry(
    cache: CacheManager, cache_dir: Path, method: str, args: tuple[object, ...], result: object
) -> None:
    await cache.set("key", KEPT)
    file = find_file(cache_dir, "key")
    file.write_bytes(b"{" + file.read_bytes())
    key = ["key"] if method == "get_many" else "key"
    assert await getattr(cache, method)(key, *args) == result
    expected = {"add": "new", "set": "new", "incr": 5}.get(method)
    assert await cache.get("key") == expected
    await cache.close()


async def test_the_file_of_another_key_is_not_used(cache: CacheManager, cache_dir: Path) -> None:
    await cache.set_many({"one": 1, "two": 2})
    one, two = find_file(cache_dir, "one"), find_file(cache_dir, "two")
    for source, target in ((one, two), (two, one)):
        assert await cache.get_many(["one", "two"]) == {"one": 1, "two": 2}
        content = target.read_bytes()
        shutil.copy(source, target)
        found = await cache.get_many(["one", "two"])
        assert len(found) == 1
        target.write_bytes(content)
    assert count_damaged(cache_dir) == (await cache.get_stats()).errors == 2
    await cache.close()


def remove(path: Path) -> None:
    """Remove a file or folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def plant_link_to_file(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def plant_broken_link(path: Path, outside: Path) -> None:
    path.symlink_to("/nonexistent")


def plant_link_to_itself(path: Path, outside: Path) -> None:
    path.symlink_to(path)


def plant_folder(path: Path, outside: Path) -> None:
    path.mkdir()


def plant_pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def plant_file(path: Path, outside: Path) -> None:
    path.write_text("neither an entry nor a folder")


PLANTED = (plant_link_to_file, plant_broken_link, plant_link_to_itself, plant_folder, plant_pipe)


@pytest.mark.parametrize("plant", PLANTED)
async def test_only_a_regular_file_is_an_entry(
    cache: CacheManager,
    cache_dir: Path,
    tmp_path: Path,
    plant: Callable[[Path, Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await cache.set_many({"key": KEPT, "other": KEPT})
    file = find_file(cache_dir, "key")
    outside = tmp_path / "outside"
    shutil.copy(file, outside)  # a link to a valid record is not followed
    file.unlink()
    content = outside.read_bytes()
    plant(file, outside)
    for _ in range(3):
        assert await cache.get("key") is None
        assert await cache.get_many(["key", "other"]) == {"other": KEPT}
        assert await cache.get_or_set("key", lambda: KEPT) == KEPT
        await cache.delete("key")
        await cache.pop("key")
        await cache.add("key", 1)
        remove(file)
        plant(file, outside)
    assert outside.read_bytes() == content
    assert len([m for m in caplog.messages if " fails (" in m]) <= 4
    remove(file)
    assert await cache.set("key", KEPT)
    assert await cache.get("key") == KEPT
    await cache.close()


@pytest.mark.parametrize(
    "plant", [plant_link_to_file, plant_broken_link, plant_link_to_itself, plant_file]
)
@pytest.mark.parametrize("level", ["area", "folder"])
async def test_no_call_raises_where_a_folder_is_replaced(
    cache: CacheManager, cache_dir: Path, tmp_path: Path, plant: Callable[[Path, Path], None],
    level: str,
) -> None:  # fmt: skip
    await cache.set("kept", KEPT)
    file = find_file(cache_dir, "kept")
    folder = file.parent if level == "folder" else file.parent.parent
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    folder.rename(tmp_path / "aside")
    plant(folder, outside)
    for _ in range(3):
        await call_every_method(cache, works=False)
    assert (outside / "precious").read_text() == "mine"
    remove(folder)
    await cache.clear()
    assert await cache.set("kept", KEPT)
    await call_every_method(cache, works=True)
    await cache.close()


async def test_a_planted_file_does_not_end_reads_without_a_thread(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir, memory_max_bytes=0)
    await cache.set_many({"key": KEPT, "other": KEPT})
    reader = get_cached_reader(cache)
    if not reader.is_supported:
        pytest.skip("this system does not support reads without waiting")
    file = find_file(cache_dir, "key")
    file.unlink()
    for plant in PLANTED:
        plant(file, cache_dir / "nothing")
        assert await cache.get("key") is None
        assert await cache.get("other") == KEPT
        assert reader.is_supported
        remove(file)
    await cache.close()
