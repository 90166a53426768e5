"""Version tags distinguish the versions of a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.version import (
    get_file_size,
    is_current,
    make_version,
    usable_version,
)
from aiocache_pe.record import Record
from tests.support.file_store import make_record

NAMES = ("plain", "\u00fc\u4e2d", os.fsdecode(b"not \xff utf-8"))


@pytest.fixture(params=NAMES)
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / str(request.param)
    path.write_bytes(b"content")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    return path


def test_a_version_is_current_until_its_file_changes(path: Path) -> None:
    version = make_version(str(path), path.stat())
    assert is_current(version)
    assert get_file_size(version) == len(b"content")
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not is_current(version)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert is_current(version)
    path.write_bytes(b"longer content")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not is_current(version)


def test_another_file_with_the_same_time_and_size_is_another_version(path: Path) -> None:
    version, other = make_version(str(path), path.stat()), path.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(1, 1_234_567_890_123_456_789))
    other.replace(path)
    assert not is_current(version)


def test_a_version_without_its_file_or_directory_is_not_current(path: Path) -> None:
    version, moved = make_version(str(path), path.stat()), path.parent.with_name("moved")
    path.parent.rename(moved)
    assert not is_current(version)
    moved.rename(path.parent)
    assert is_current(version)
    path.unlink()
    assert not is_current(version)


@pytest.mark.parametrize(
    ("modified", "is_usable"), [(5, True), (5_000_000, False), (-5, True), (0, False)]
)
def test_a_version_with_a_time_in_whole_milliseconds_is_not_usable(
    tmp_path: Path, modified: int, *, is_usable: bool
) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, ns=(0, modified))
    version = make_version(str(path), path.stat())
    assert usable_version(version) == (version if is_usable else None)


@pytest.mark.parametrize("clock", ["past", "present", "future"])
def test_versions_differ_where_a_test_has_stopped_the_clock(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    year = 365 * 86_400 * 10**9
    shift = {"past": -year, "present": 0, "future": year}[clock]
    stopped = time.time_ns() + shift
    monkeypatch.setattr(time, "time_ns", lambda: stopped)
    disks = [Disk(Layout(str(cache_dir))) for _ in range(2)]
    numbers = set[bytes]()
    for number in range(200):
        [stored] = disks[number % 2].write([make_record("k", b"%03d" % number)])
        assert isinstance(stored, Record)
        assert isinstance(stored.stamp, bytes)
        numbers.add(stored.stamp[8:16])
        disks[0].delete(["default:k"])  # so that the inode is used again
    assert len(numbers) == 200
    assert disks[0].clear("default:") == 0
    disks[0].write([make_record("k")])
    assert disks[0].clear("default:") == 1


async def test_no_copy_is_served_after_a_change_while_clocks_stand_still(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: stopped)
    async with CacheManager(directory=cache_dir) as one, CacheManager(directory=cache_dir) as two:
        for number in range(100, 300):
            assert await one.set("k", number)
            assert await two.get("k") == number
            assert await one.get("k") == number
