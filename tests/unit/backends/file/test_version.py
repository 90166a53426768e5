"""Version tags distinguish the versions of a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aiocache_pe.backends.file.version import (
    get_file_size,
    is_current,
    make_version,
    usable_version,
)

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
