"""Damaged files are misses, are counted and moved aside, and never reach a caller.

Cut at every length, altered at every byte, exchanged, replaced by links, folders and
pipes: each in the place of an entry that a manager has just read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from tests.support.operations import KEPT, call_every_verb
from tests.support.scale import is_full_run, make_random, scale_size

SMALL = {"text": "a value", "numbers": [1, 2, 3]}
LARGE = {"text": "many bytes " * 20_000}  # beyond what is read without a thread


@pytest.fixture(params=[0, 64 * 1024 * 1024], ids=["no memory tier", "memory tier"])
def cache(request: pytest.FixtureRequest, cache_dir: Path) -> CacheManager:
    return CacheManager(directory=cache_dir, memory_max_bytes=request.param)


def file_of(directory: Path, key: str) -> Path:
    [file] = directory.glob(f"default/*/*-{key}")
    return file


def put_aside(directory: Path) -> int:
    damaged = directory / ".damaged"
    return len(list(damaged.iterdir())) if damaged.exists() else 0


def cuts(blob: bytes) -> Iterator[bytes]:
    """Every beginning, and too much."""
    few = len(blob) < 2000
    lengths = range(len(blob)) if few else [0, 1, 100, 4096, 65_536, len(blob) - 1]
    yield from (blob[:length] for length in lengths)
    yield blob + b"x"
    yield blob + blob
    yield b"\0" * len(blob)


def flips(blob: bytes) -> Iterator[bytes]:
    """Every byte with one bit turned; with ``AIOCACHE_STRESS`` above 1, with each bit."""
    chance = make_random("flips")
    few = len(blob) < 2000
    for at in range(len(blob)) if few else chance.sample(range(len(blob)), scale_size(20)):
        for bit in range(8) if is_full_run() and few else [chance.randrange(8)]:
            changed = bytearray(blob)
            changed[at] ^= 1 << bit
            yield bytes(changed)


@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("damages", [cuts, flips])
async def test_a_damaged_entry_is_a_miss_and_moved_aside(
    cache: CacheManager,
    cache_dir: Path,
    damages: Callable[[bytes], Iterator[bytes]],
    value: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await cache.set("key", value)
    file = file_of(cache_dir, "key")
    blob = file.read_bytes()
    misses = 0
    for damaged in damages(blob):
        assert await cache.get("key") == value
        file.write_bytes(damaged)
        found = await cache.get("key")
        if found is None:
            misses += 1
            assert not file.exists()
            assert await cache.get_or_set("key", lambda: value) == value
        else:  # a bit of the checksum's own hex digits may mean the same digit
            assert found == value
            file.unlink()
            await cache.set("key", value)
    assert misses >= 9
    assert put_aside(cache_dir) == misses
    assert (await cache.get_stats()).errors == misses
    assert len([m for m in caplog.messages if "damaged" in m]) == misses
    await cache.close()


@pytest.mark.parametrize(
    ("verb", "args", "answer"),
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
async def test_no_verb_believes_a_damaged_entry(
    cache: CacheManager, cache_dir: Path, verb: str, args: tuple[object, ...], answer: object
) -> None:
    await cache.set("key", KEPT)
    file = file_of(cache_dir, "key")
    file.write_bytes(b"{" + file.read_bytes())
    key = ["key"] if verb == "get_many" else "key"
    assert await getattr(cache, verb)(key, *args) == answer
    expected = {"add": "new", "set": "new", "incr": 5}.get(verb)
    assert await cache.get("key") == expected
    await cache.close()


async def test_another_keys_file_is_not_believed(cache: CacheManager, cache_dir: Path) -> None:
    await cache.set_many({"one": 1, "two": 2})
    one, two = file_of(cache_dir, "one"), file_of(cache_dir, "two")
    for source, target in ((one, two), (two, one)):
        assert await cache.get_many(["one", "two"]) == {"one": 1, "two": 2}
        content = target.read_bytes()
        shutil.copy(source, target)
        found = await cache.get_many(["one", "two"])
        assert len(found) == 1
        target.write_bytes(content)
    assert put_aside(cache_dir) == (await cache.get_stats()).errors == 2
    await cache.close()


def remove(place: Path) -> None:
    """Remove whatever is there, if anything is."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def a_link_to_a_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def a_link_to_nothing(place: Path, outside: Path) -> None:
    place.symlink_to("/nonexistent")


def a_link_to_itself(place: Path, outside: Path) -> None:
    place.symlink_to(place)


def a_folder(place: Path, outside: Path) -> None:
    place.mkdir()


def a_pipe(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def a_file(place: Path, outside: Path) -> None:
    place.write_text("neither an entry nor a folder")


PLANTED = (a_link_to_a_file, a_link_to_nothing, a_link_to_itself, a_folder, a_pipe)


@pytest.mark.parametrize("plant", PLANTED)
async def test_what_is_no_file_is_no_entry(
    cache: CacheManager,
    cache_dir: Path,
    tmp_path: Path,
    plant: Callable[[Path, Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await cache.set_many({"key": KEPT, "other": KEPT})
    file = file_of(cache_dir, "key")
    outside = tmp_path / "outside"
    shutil.copy(file, outside)  # even a whole record is not believed through a link
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


@pytest.mark.parametrize("plant", [a_link_to_a_file, a_link_to_nothing, a_link_to_itself, a_file])
@pytest.mark.parametrize("level", ["area", "folder"])
async def test_what_is_no_folder_breaks_no_call(
    cache: CacheManager, cache_dir: Path, tmp_path: Path, plant: Callable[[Path, Path], None],
    level: str,
) -> None:  # fmt: skip
    await cache.set("kept", KEPT)
    file = file_of(cache_dir, "kept")
    folder = file.parent if level == "folder" else file.parent.parent
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    folder.rename(tmp_path / "aside")
    plant(folder, outside)
    for _ in range(3):
        await call_every_verb(cache, works=False)
    assert (outside / "precious").read_text() == "mine"
    remove(folder)
    await cache.clear()
    assert await cache.set("kept", KEPT)
    await call_every_verb(cache, works=True)
    await cache.close()


async def test_a_fault_does_not_end_reading_on_the_spot(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir, memory_max_bytes=0)
    await cache.set_many({"key": KEPT, "other": KEPT})
    backend = cache._shared.engine.backend
    reader = backend._cached  # type: ignore[attr-defined]
    if not reader.works:
        pytest.skip("cannot be done on this system at all")
    file = file_of(cache_dir, "key")
    file.unlink()
    for plant in PLANTED:
        plant(file, cache_dir / "nothing")
        assert await cache.get("key") is None
        assert await cache.get("other") == KEPT
        assert reader.works
        remove(file)
    await cache.close()
