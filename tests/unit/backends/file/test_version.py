"""A stamp tells versions apart, takes few bytes, and is never right by accident."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aiocache_pe.backends.file.version import (
    is_current,
    make_version,
    size_in_memory,
    usable_version,
)

NAMES = ("plain", "\u00fc\u4e2d", os.fsdecode(b"not \xff utf-8"))


@pytest.fixture(params=NAMES)
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / str(request.param)
    path.write_bytes(b"content")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    return path


def test_a_stamp_is_current_until_anything_of_its_file_changes(path: Path) -> None:
    stamp = make_version(str(path), path.stat())
    assert is_current(stamp)
    assert size_in_memory(stamp) == len(b"content")
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not is_current(stamp)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert is_current(stamp)
    path.write_bytes(b"longer content")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not is_current(stamp)


def test_another_file_of_the_same_time_and_size_is_another_version(path: Path) -> None:
    stamp, other = make_version(str(path), path.stat()), path.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(1, 1_234_567_890_123_456_789))
    other.replace(path)
    assert not is_current(stamp)


def test_what_went_or_whose_directory_went_is_not_current(path: Path) -> None:
    stamp, moved = make_version(str(path), path.stat()), path.parent.with_name("moved")
    path.parent.rename(moved)
    assert not is_current(stamp)
    moved.rename(path.parent)
    assert is_current(stamp)
    path.unlink()
    assert not is_current(stamp)


@pytest.mark.parametrize(
    ("modified", "tells"), [(5, True), (5_000_000, False), (-5, True), (0, False)]
)
def test_a_time_in_whole_milliseconds_tells_nothing(
    tmp_path: Path, modified: int, *, tells: bool
) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, ns=(0, modified))
    stamp = make_version(str(path), path.stat())
    assert usable_version(stamp) == (stamp if tells else None)
