"""A directory stays within its bounds, and eviction removes entries only."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from aiocache_pe import CacheError, CacheManager, ConfigurationError
from aiocache_pe.backends.file import eviction as eviction_module
from aiocache_pe.backends.file import locks, regular_files, scan
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.eviction_order import ORDERS, Candidate, examine
from aiocache_pe.backends.file.layout import Layout, get_lock_slot
from aiocache_pe.backends.file.size_ledger import Bounds, SizeLedger
from aiocache_pe.cache.factory import FILE_EVICTIONS
from aiocache_pe.events import Event, Removed
from aiocache_pe.record import Record
from tests.support.file_store import list_entry_files, make_record
from tests.support.internals import limit_lock_wait


def make_disk(cache_dir: Path, max_entries: int | None, max_bytes: int | None = None) -> Disk:
    return Disk(Layout(str(cache_dir)), Bounds(max_entries, max_bytes), "lru")


async def test_a_directory_never_exceeds_max_entries(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_entries=10) as cache:
        for n in range(40):
            await cache.set(f"k{n}", n)
            assert len(list_entry_files(cache_dir)) == min(10, n + 1)
            assert await cache.get(f"k{n}") == n
        await cache.set_many({f"m{n}": n for n in range(100)})
        stats = await cache.get_stats()
        assert stats.total_entries == 10
        assert stats.evictions == 130


async def test_a_smaller_bound_evicts_all_excess_entries(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction_module, "_MAX_FAILURES", 10)  # so that few files are enough
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({f"k{n}": n for n in range(100)})
    async with CacheManager(directory=cache_dir, max_entries=40) as cache:
        await cache.cleanup_expired()
        assert len(list_entry_files(cache_dir)) == 40
    async with CacheManager(directory=cache_dir, max_entries=5) as cache:
        await cache.set("new", 1)
        assert len(list_entry_files(cache_dir)) == 5
        assert await cache.get("new") == 1


@pytest.mark.parametrize("eviction", FILE_EVICTIONS)
async def test_the_entry_just_written_does_not_prevent_the_eviction_of_others(
    cache_dir: Path, eviction: str
) -> None:
    def open_cache() -> CacheManager:
        return CacheManager(directory=cache_dir, max_entries=3, eviction=eviction)

    names = [f"read{n}" for n in range(3)]
    async with open_cache() as cache:
        await cache.set_many(dict.fromkeys(names, 1))
        assert len(await cache.get_many(names)) == 3
    async with open_cache() as cache:  # the reads are recorded by now
        for n in range(4):  # never read, so some orders would evict it first
            await cache.set(f"new{n}", n)
            assert len(list_entry_files(cache_dir)) == 3
            assert await cache.entry(f"new{n}") is not None
        assert (await cache.get_stats()).evictions == 4


@pytest.mark.parametrize("eviction", ["fifo", "s3fifo", "best"])
def test_an_unknown_order_is_an_error_that_names_the_known_ones(
    cache_dir: Path, eviction: str
) -> None:
    assert tuple(ORDERS) == FILE_EVICTIONS
    names = r"'adaptive', 'lfu', 'lru'"
    with pytest.raises(ConfigurationError, match=f"must be one of {names}; got '{eviction}'"):
        FileBackend(cache_dir, max_entries=1, eviction=eviction)
    with pytest.raises(ConfigurationError, match=names if eviction != "best" else "'best'"):
        CacheManager(directory=cache_dir, max_entries=1, eviction=eviction)


async def test_internal_records_are_not_bounded(cache_dir: Path) -> None:
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
    disk = make_disk(cache_dir, *bounds)
    disk.write([make_record("k")])
    disk.bounds.enforce()
    assert len(disk.read(["default:k"])) == 1


async def test_a_directory_never_exceeds_max_bytes(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_bytes=20_000) as cache:
        for n in range(100):
            await cache.set(f"k{n % 60}", "x" * (50 * n % 3000))
            assert sum(file.stat().st_size for file in list_entry_files(cache_dir)) <= 20_000


async def test_the_bounds_apply_to_all_namespaces_together(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_entries=10) as cache:
        other = cache.namespace("other: one")
        for n in range(30):
            await other.set(f"k{n}", n)
        for n in range(9):
            await cache.set(f"k{n}", n)
        assert (await cache.get_stats()).total_entries == 9
        assert (await other.get_stats()).evictions == 29
        assert (await cache.get_stats()).evictions == 0


async def test_evictions_are_reported_as_events(cache_dir: Path) -> None:
    events: list[Event] = []
    async with CacheManager(directory=cache_dir, max_entries=1, eviction="lru") as cache:
        cache.subscribe(Removed, events.append)
        await cache.set("first", 1)
        await cache.set("second", 2)
        await cache.incr("third")
    assert events == [
        Removed("default", "first", "evicted"),
        Removed("default", "second", "evicted"),
    ]


async def test_an_entry_larger_than_max_bytes_is_not_stored(
    cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with CacheManager(directory=cache_dir, max_bytes=10_000) as cache:
        await cache.set("other", 1)
        assert await cache.set("k", "small")
        assert not await cache.set("k", "x" * 10_000)
        assert await cache.get("k") is None  # the previous version is outdated
        assert not await cache.set("new", "x" * 10_000)
        assert await cache.get("other") == 1
        assert (await cache.get_stats()).errors == 2
    assert "exceeds max_bytes=10000" in caplog.text


async def test_entries_older_than_the_bounds_count(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({f"k{n}": n for n in range(50)})
    async with CacheManager(directory=cache_dir, max_entries=20) as cache:
        await cache.set("new", 1)
        assert (await cache.get_stats()).total_entries == 20
        assert await cache.get("new") == 1


async def test_cleanup_without_bounds_enforces_the_recorded_ones(cache_dir: Path) -> None:
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
    foreign = [cache_dir / "notes.txt", cache_dir / "photos" / "3f" / "cat.jpg"]
    for file in foreign:
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
    assert all(file.exists() for file in foreign)
    assert (elsewhere / "3f3f3f3f-mine").exists()


def test_an_entry_that_is_read_stays(cache_dir: Path) -> None:
    disk = make_disk(cache_dir, 10)
    disk.write([make_record(str(n)) for n in range(10)])
    for n in range(10, 200):
        disk.add_usage({"default:3": (1, time.time())})
        disk.write([make_record(str(n))])
    assert list(disk.read(["default:3", "default:4"])) == ["default:3"]


def test_a_candidate_that_was_used_since_its_examination_stays(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A candidate may wait for a long time until it is evicted.
    disk = make_disk(cache_dir, 3)
    disk.write([make_record(name) for name in "abc"])
    outdated = [examine(disk.layout.get_path(f"default:{name}")) for name in "ba"]
    disk.add_usage({"default:a": (1, time.time() + 1)})
    disk.write([make_record("b", b"another")])
    monkeypatch.setattr(disk.bounds, "_candidates", outdated)
    disk.write([make_record("d")])
    assert sorted(disk.read([f"default:{name}" for name in "abcd"])) == [
        "default:a",
        "default:b",
        "default:d",
    ]


def test_an_eviction_without_candidates_gives_up_and_recounts(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(cache_dir, 3)
    disk.write([make_record("a")])
    assert disk.bounds.ledger.is_complete
    disk.bounds.ledger.add(100, 0)  # as if a hundred files had been removed manually
    disk.write([make_record("b")])
    assert list(disk.read(["default:a", "default:b"])) == ["default:a", "default:b"]
    assert disk.bounds.ledger.get_totals().entries == 2

    monkeypatch.setattr(eviction_module, "_MAX_FAILURES", 5)
    monkeypatch.setattr(disk.bounds, "_candidates", [])
    absent = Candidate(f"{cache_dir}/default/00/00000000-absent", 1, 1, 1, 0)
    monkeypatch.setattr(eviction_module, "choose", lambda layout, order, excluded: [absent])
    disk.write([make_record(str(n)) for n in range(4)])
    assert len(list_entry_files(cache_dir)) == 6


def test_damaged_entries_are_evicted_without_a_report(cache_dir: Path) -> None:
    disk = make_disk(cache_dir, 2)
    disk.write([make_record("a")])
    Path(disk.layout.get_path("default:a")).write_bytes(b"damaged")
    disk.write([make_record("b"), make_record("c")])
    assert len(list_entry_files(cache_dir)) == 2
    assert list(disk.bounds.evicted) == []


async def test_folders_and_links_with_names_of_entries_do_not_prevent_eviction(
    cache_dir: Path,
) -> None:
    target = cache_dir.parent / "target"
    target.write_text("foreign")
    async with CacheManager(directory=cache_dir, max_entries=2, eviction="lru") as cache:
        await cache.set("k", 1)
        folder = list_entry_files(cache_dir)[0].parent
        (folder / "00000000-folder").mkdir()
        (folder / "00000000-link").symlink_to(target)
        (folder / "untitled-1.txt").write_text("a note")
        for n in range(4):
            assert await cache.set(f"k{n}", n)
        await cache.cleanup_expired()
        stats = await cache.get_stats()
    assert (stats.errors, stats.total_entries) == (0, 2)
    assert (folder / "00000000-folder").is_dir()
    assert (folder / "untitled-1.txt").read_text() == "a note"
    assert target.read_text() == "foreign"


def test_a_folder_that_cannot_be_listed_does_not_prevent_eviction(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_below, unreadable = regular_files.open_below, cache_dir / "other" / "3f"
    unreadable.mkdir(parents=True)

    def refuse(path: str, flags: int) -> int:
        if path == str(unreadable):
            raise PermissionError(errno.EACCES, "not the owner", path)
        return open_below(path, flags)

    monkeypatch.setattr(regular_files, "open_below", refuse)
    disk = make_disk(cache_dir, 2)
    for n in range(10):
        assert not isinstance(disk.write([make_record(str(n))])[0], OSError)
    assert len(list_entry_files(cache_dir)) == 2
    for _ in scan.iter_sweep(disk.layout, disk.locks, 1e9):
        pass
    for keys in scan.iter_expired_keys(disk.layout, 1e9):
        assert keys == []


def test_eviction_skips_locked_entries_without_waiting(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_lock_wait(monkeypatch, 60.0)
    disk = make_disk(cache_dir, 2)
    disk.write([make_record("a")])
    holder = locks.ByteLocks(disk.layout.locks)
    with holder.hold(get_lock_slot(disk.layout.get_path("default:a"))):
        outcomes = disk.write([make_record("b"), make_record("c")])
        assert [isinstance(outcome, Record) for outcome in outcomes] == [True, True]
        assert sorted(disk.read(["default:a", "default:b", "default:c"])) == [
            "default:a",
            "default:c",
        ]
        disk.update("default:only", lambda _: make_record("only"))
    with holder.hold(get_lock_slot(disk.layout.get_path("default:only"))):
        smaller = make_disk(cache_dir, 1)
        smaller.write([make_record("d")])  # the next candidate is locked
        assert len(list_entry_files(cache_dir)) == 2
    smaller.write([make_record("e")])
    assert [path.name[9:] for path in list_entry_files(cache_dir)] == ["e"]
    smaller.close()


def _raise_disk_full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "no space left on device")


def test_a_change_that_cannot_be_recorded_is_made_and_counted_later(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = make_disk(cache_dir, 100)
    disk.write([make_record("a"), make_record("b")])
    with monkeypatch.context() as full:
        full.setattr(SizeLedger, "add", _raise_disk_full)
        assert isinstance(disk.write([make_record("c")])[0], Record)
        assert isinstance(disk.update("default:d", lambda _: make_record("d")), Record)
        assert len(disk.delete(["default:a"])) == 1
    assert caplog.text.count("may exceed its bounds until a recount") == 1
    assert disk.bounds.ledger.needs_recount
    scan.recount(disk.layout, disk.bounds.ledger)
    assert disk.bounds.ledger.get_totals().entries == 3
    assert not disk.bounds.ledger.needs_recount


def test_entries_can_be_removed_where_no_ledger_can_be_created(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(Layout(str(cache_dir))).write([make_record("a"), make_record("b")])
    disk = make_disk(cache_dir, 100)
    monkeypatch.setattr(SizeLedger, "ensure_open", _raise_disk_full)
    assert len(disk.delete(["default:a"])) == 1
    assert disk.clear("default:") == 1
    assert list(cache_dir.glob(".trash-*")) == []


def test_a_damaged_file_that_cannot_be_removed_still_counts(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(cache_dir, 100)
    disk.write([make_record("a"), make_record("b")])
    before = disk.bounds.ledger.get_totals()
    Path(disk.layout.get_path("default:a")).write_bytes(b"x")
    with monkeypatch.context() as forbidden:
        forbidden.setattr(os, "rename", _raise_disk_full)
        forbidden.setattr(os, "unlink", _raise_disk_full)
        for _ in range(3):
            assert isinstance(disk.read(["default:a"])["default:a"], CacheError)
    assert disk.bounds.ledger.get_totals() == before
    disk.read(["default:a"])
    assert disk.bounds.ledger.get_totals().entries == 1


def test_a_directory_that_is_nearly_full_is_reported_once(
    cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = make_disk(cache_dir, None, 20_000)
    for n in range(8):
        disk.write([make_record(f"k{n}", b"x" * 2000)])
    assert caplog.messages == []
    for n in range(8, 30):
        disk.write([make_record(f"k{n}", b"x" * 2000)])
    [message] = caplog.messages
    assert f"{cache_dir} holds 1" in message
    assert "of at most max_bytes=20000 bytes; at the bound, entries are evicted" in message


def test_the_ledger_of_a_new_directory_needs_no_recount(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recounts: list[object] = []
    monkeypatch.setattr(eviction_module, "recount", lambda *args: recounts.append(args))
    disk = make_disk(cache_dir, None, 10**9)
    disk.write([make_record("a")])
    assert (recounts, disk.bounds.ledger.get_totals().entries) == ([], 1)
    disk.close()
    (cache_dir / ".book").unlink()  # as in a directory that is older than its bounds
    make_disk(cache_dir, None, 10**9).write([make_record("b")])
    assert len(recounts) == 1


async def test_the_doctor_shows_the_size_and_the_bound(cache_dir: Path) -> None:
    async def find_size_check(**settings: Any) -> tuple[str, str]:
        async with CacheManager(directory=cache_dir, **settings) as cache:
            await cache.set("k", "x" * 1000)
            checks = await cache.loader.namespace.examine()
        [check] = [check for check in checks if check.name == "size"]
        return check.level, check.detail

    level, detail = await find_size_check()
    assert (level, detail.partition(" of ")[2]) == ("ok", "at most 5,368,709,120 bytes (max_bytes)")
    assert (await find_size_check(max_bytes=1200))[0] == "warning"
    # Without bounds of its own, a process shows those that the directory was last opened with.
    assert "of at most 1,200 bytes" in (await find_size_check(max_bytes=None))[1]


async def test_the_doctor_shows_that_a_directory_has_no_bound(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, max_bytes=None) as cache:
        await cache.set("k", 1)
        checks = await cache.loader.namespace.examine()
    assert any("bytes; no bound (max_bytes=None)" in check.detail for check in checks)
