"""A directory stays within its bounds, and what should not go does not."""

from __future__ import annotations

import errno
import itertools
import os
import time
from pathlib import Path
from typing import NoReturn

import pytest

from aiocache_pe import CacheError, CacheManager
from aiocache_pe.backends.file import atomic_write, locks, scan
from aiocache_pe.backends.file import eviction as eviction_module
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.eviction_order import Candidate, examine
from aiocache_pe.backends.file.layout import Layout, lock_slot
from aiocache_pe.backends.file.size_ledger import Bounds, SizeLedger
from aiocache_pe.cache.factory import FILE_EVICTIONS
from aiocache_pe.events import Event, Removed
from aiocache_pe.record import Record
from tests.support.file_records import record


def bounded(cache_dir: Path, entries: int | None, weight: int | None = None) -> Disk:
    return Disk(Layout(str(cache_dir)), Bounds(entries, weight), "lru")


def files(cache_dir: Path) -> list[Path]:
    return list(cache_dir.glob("default/??/*"))


async def test_entries_are_never_more_than_allowed(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_entries=10) as cache:
        for n in range(40):
            await cache.set(f"k{n}", n)
            assert len(files(cache_dir)) == min(10, n + 1)
            assert await cache.get(f"k{n}") == n
        await cache.set_many({f"m{n}": n for n in range(100)})
        stats = await cache.get_stats()
        assert stats.total_entries == 10
        assert stats.evictions == 130


async def test_however_much_is_over_a_smaller_bound_goes(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction_module, "_IN_VAIN", 10)  # so that not as many files are needed
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({f"k{n}": n for n in range(100)})
    async with CacheManager(directory=cache_dir, max_entries=40) as cache:
        await cache.cleanup_expired()
        assert len(files(cache_dir)) == 40
    async with CacheManager(directory=cache_dir, max_entries=5) as cache:
        await cache.set("new", 1)
        assert len(files(cache_dir)) == 5
        assert await cache.get("new") == 1


@pytest.mark.parametrize("eviction", FILE_EVICTIONS)
async def test_what_was_just_written_does_not_stand_in_the_way_of_making_room(
    cache_dir: Path, eviction: str
) -> None:
    def opened() -> CacheManager:
        return CacheManager(directory=cache_dir, max_entries=3, eviction=eviction)

    names = [f"read{n}" for n in range(3)]
    async with opened() as cache:
        await cache.set_many(dict.fromkeys(names, 1))
        assert len(await cache.get_many(names)) == 3
    async with opened() as cache:  # these reads are noted by now
        for n in range(4):  # not read, so by some policies it would be the first to go
            await cache.set(f"new{n}", n)
            assert len(files(cache_dir)) == 3
            assert await cache.entry(f"new{n}") is not None
        assert (await cache.get_stats()).evictions == 4


async def test_what_the_library_keeps_for_itself_is_not_bounded(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_bytes=200) as cache:
        assert await cache.set("k", 1, tags=["tag"])
        assert await cache.get("k") == 1
        assert (await cache.get_stats()).errors == 0
        await cache.delete_by_tag("tag")
        assert await cache.get("k") is None
    async with CacheManager(directory=cache_dir, max_bytes=1) as cache:
        assert await cache.delete_by_tag("tag")
        assert not await cache.set("k", 1)
        stats = await cache.get_stats()
    assert (stats.hits, stats.misses, stats.errors) == (1, 1, 1)


@pytest.mark.parametrize("bounds", [(2**64, None), (None, 2**64)], ids=["entries", "bytes"])
def test_a_bound_may_be_greater_than_any_disk(
    cache_dir: Path, bounds: tuple[int | None, int | None]
) -> None:
    disk = bounded(cache_dir, *bounds)
    disk.write([record("k")])
    disk.room.enforce()
    assert len(disk.read(["default:k"])) == 1


async def test_bytes_are_never_more_than_allowed(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_bytes=20_000) as cache:
        for n in range(100):
            await cache.set(f"k{n % 60}", "x" * (50 * n % 3000))
            assert sum(file.stat().st_size for file in files(cache_dir)) <= 20_000


async def test_all_namespaces_share_the_room(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_entries=10) as cache:
        other = cache.namespace("other: one")
        for n in range(30):
            await other.set(f"k{n}", n)
        for n in range(9):
            await cache.set(f"k{n}", n)
        assert (await cache.get_stats()).total_entries == 9
        assert (await other.get_stats()).evictions == 29
        assert (await cache.get_stats()).evictions == 0


async def test_what_goes_is_told(cache_dir: Path) -> None:
    told: list[Event] = []
    async with CacheManager(directory=cache_dir, max_entries=1, eviction="fifo") as cache:
        cache.subscribe(Removed, told.append)
        await cache.set("first", 1)
        await cache.set("second", 2)
        await cache.incr("third")
    assert told == [
        Removed("default", "first", "evicted"),
        Removed("default", "second", "evicted"),
    ]


async def test_what_alone_is_too_heavy_is_not_stored(
    cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with CacheManager(directory=cache_dir, max_bytes=10_000) as cache:
        await cache.set("other", 1)
        assert await cache.set("k", "small")
        assert not await cache.set("k", "x" * 10_000)
        assert await cache.get("k") is None  # what was to be replaced is not right any more
        assert not await cache.set("new", "x" * 10_000)
        assert await cache.get("other") == 1
        assert (await cache.get_stats()).errors == 2
    assert "exceeds max_bytes=10000" in caplog.text


async def test_what_was_there_before_the_bounds_counts(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({f"k{n}": n for n in range(50)})
    async with CacheManager(directory=cache_dir, max_entries=20) as cache:
        await cache.set("new", 1)
        assert (await cache.get_stats()).total_entries == 20
        assert await cache.get("new") == 1


async def test_cleaning_up_keeps_the_bounds_that_others_set(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_entries=20) as cache:
        await cache.set_many({f"k{n}": n for n in range(10)})
    async with CacheManager(directory=cache_dir) as unbounded:
        await unbounded.set_many({f"u{n}": n for n in range(50)})
        assert (await unbounded.get_stats()).total_entries == 60
        assert await unbounded.cleanup_expired() == 0
        stats = await unbounded.get_stats()
        assert (stats.total_entries, stats.evictions) == (20, 40)
        await unbounded.set_many({f"v{n}": n for n in range(50)})
    async with CacheManager(directory=cache_dir, max_entries=30) as cache:
        await cache.cleanup_expired()
        assert (await cache.get_stats()).total_entries == 30


async def test_files_that_are_no_entries_stay(cache_dir: Path, tmp_path: Path) -> None:
    mine = [cache_dir / "notes.txt", cache_dir / "photos" / "3f" / "cat.jpg"]
    for file in mine:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine" * 1000)
    elsewhere = tmp_path / "elsewhere" / "3f"
    elsewhere.mkdir(parents=True)
    (elsewhere / "3f3f3f3f-mine").write_text("mine" * 1000)
    (cache_dir / "link").symlink_to(elsewhere.parent)
    async with CacheManager(directory=cache_dir, max_bytes=1000) as cache:
        await cache.set_many({f"k{n}": n for n in range(50)})
        await cache.cleanup_expired()
        assert (await cache.get_stats()).total_entries > 1
    assert all(file.exists() for file in mine)
    assert (elsewhere / "3f3f3f3f-mine").exists()


def test_what_is_read_stays(cache_dir: Path) -> None:
    disk = bounded(cache_dir, 10)
    disk.write([record(str(n)) for n in range(10)])
    for n in range(10, 200):
        disk.add_usage([("default:3", 1, time.time())])
        disk.write([record(str(n))])
    assert list(disk.read(["default:3", "default:4"])) == ["default:3"]


def test_what_was_used_since_it_was_looked_at_stays(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate may wait for long until it is its turn."""
    disk = bounded(cache_dir, 3)
    disk.write([record(name) for name in "abc"])
    stale = [examine(disk.layout.path(f"default:{name}")) for name in "ba"]
    disk.add_usage([("default:a", 1, time.time() + 1)])
    disk.write([record("b", b"another")])
    monkeypatch.setattr(disk.room, "_candidates", stale)
    disk.write([record("d")])
    assert sorted(disk.read([f"default:{name}" for name in "abcd"])) == [
        "default:a",
        "default:b",
        "default:d",
    ]


def test_who_finds_nothing_to_remove_gives_up(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = bounded(cache_dir, 3)
    disk.write([record("a")])
    assert disk.room.book.is_whole
    disk.room.book.add(100, 0)  # as if others had removed a hundred by hand
    disk.write([record("b")])
    assert list(disk.read(["default:a", "default:b"])) == ["default:b"]
    assert disk.room.book.totals().entries == 1  # counted, as nothing was left to remove

    monkeypatch.setattr(eviction_module, "_IN_VAIN", 5)
    monkeypatch.setattr(disk.room, "_candidates", [])
    gone = Candidate(f"{cache_dir}/default/00/00000000-gone", 1, 1, 1, 0)
    monkeypatch.setattr(eviction_module, "choose", lambda layout, order, spare: [gone])
    disk.write([record(str(n)) for n in range(4)])
    assert len(files(cache_dir)) == 5


def test_damage_goes_like_any_other(cache_dir: Path) -> None:
    disk = bounded(cache_dir, 2)
    disk.write([record("a")])
    Path(disk.layout.path("default:a")).write_bytes(b"damaged")
    disk.write([record("b"), record("c")])
    assert len(files(cache_dir)) == 2
    assert list(disk.room.evicted) == []


async def test_what_is_named_like_an_entry_but_is_none_keeps_no_room_from_being_made(
    cache_dir: Path,
) -> None:
    aside = cache_dir.parent / "aside"
    aside.write_text("somebody's")
    async with CacheManager(directory=cache_dir, max_entries=2, eviction="fifo") as cache:
        await cache.set("k", 1)
        folder = files(cache_dir)[0].parent
        (folder / "00000000-folder").mkdir()
        (folder / "00000000-link").symlink_to(aside)
        (folder / "untitled-1.txt").write_text("a note")
        for n in range(4):
            assert await cache.set(f"k{n}", n)
        await cache.cleanup_expired()
        stats = await cache.get_stats()
    assert (stats.errors, stats.total_entries) == (0, 2)
    assert (folder / "00000000-folder").is_dir()
    assert (folder / "untitled-1.txt").read_text() == "a note"
    assert aside.read_text() == "somebody's"


def test_a_folder_that_cannot_be_listed_keeps_no_room_from_being_made(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir, secret = os.listdir, cache_dir / "other" / "3f"
    secret.mkdir(parents=True)

    def listed(folder: str) -> list[str]:
        if folder == str(secret):
            raise PermissionError(errno.EACCES, "not yours", folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", listed)
    disk = bounded(cache_dir, 2)
    for n in range(10):
        assert not isinstance(disk.write([record(str(n))])[0], OSError)
    assert len(files(cache_dir)) == 2
    scan.sweep(disk.layout)
    for keys in scan.iter_steps(disk.layout, 1e9):
        assert keys == []


def test_what_others_hold_just_now_is_passed_over_and_nobody_waits(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_PATIENCE", 60.0)
    disk = bounded(cache_dir, 2)
    disk.write([record("a")])
    other = locks.ByteLocks(disk.layout.locks)
    with other.hold(lock_slot(disk.layout.path("default:a"))):
        outcomes = disk.write([record("b"), record("c")])
        assert [isinstance(outcome, Record) for outcome in outcomes] == [True, True]
        assert sorted(disk.read(["default:a", "default:b", "default:c"])) == [
            "default:a",
            "default:c",
        ]
        disk.update("default:only", lambda _: record("only"))
    with other.hold(lock_slot(disk.layout.path("default:only"))):
        held = bounded(cache_dir, 1)
        held.write([record("d")])  # the next one to go cannot be removed now
        assert len(files(cache_dir)) == 2
    held.write([record("e")])
    assert [path.name[9:] for path in files(cache_dir)] == ["e"]
    held.close()


def test_what_cannot_be_noted_is_stored_and_counted_later(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = bounded(cache_dir, 100)
    disk.write([record("a"), record("b")])
    with monkeypatch.context() as full:
        full.setattr(SizeLedger, "add", _disk_full)
        assert isinstance(disk.write([record("c")])[0], Record)
        assert isinstance(disk.update("default:d", lambda _: record("d")), Record)
        assert len(disk.delete(["default:a"])) == 1
    assert caplog.text.count("may exceed its bounds for a while") == 1
    assert disk.room.book.was_left
    for _ in scan.iter_counting(disk.layout, disk.room.book):
        pass
    assert disk.room.book.totals().entries == 3
    assert not disk.room.book.was_left


def test_where_no_book_can_be_made_entries_can_be_removed(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(Layout(str(cache_dir))).write([record("a"), record("b")])
    disk = bounded(cache_dir, 100)
    monkeypatch.setattr(SizeLedger, "look", _disk_full)
    assert len(disk.delete(["default:a"])) == 1
    assert disk.clear("default:") == 1
    assert list(cache_dir.glob(".trash-*")) == []


def _disk_full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "no space left on device")


def test_damage_that_cannot_be_moved_aside_is_noted_as_there(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = bounded(cache_dir, 100)
    disk.write([record("a"), record("b")])
    before = disk.room.book.totals()
    Path(disk.layout.path("default:a")).write_bytes(b"x")
    with monkeypatch.context() as forbidden:
        forbidden.setattr(os, "rename", _disk_full)
        for _ in range(3):
            assert isinstance(disk.read(["default:a"])["default:a"], CacheError)
    assert disk.room.book.totals() == before
    disk.read(["default:a"])
    assert disk.room.book.totals().entries == 1


def test_a_draft_that_was_left_by_a_process_of_the_same_number_stands_in_nobodys_way(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = bounded(cache_dir, 100)
    disk.write([record("a")])
    folder = Path(disk.layout.path("default:a")).parent
    monkeypatch.setattr(atomic_write, "_numbers", itertools.count(500))
    (folder / f"{atomic_write.TEMPORARY}{os.getpid()}-500").write_text("half")
    assert isinstance(disk.write([record("a")])[0], Record)
