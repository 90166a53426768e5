"""File system of a directory: found by the kernel's list, and named where it cannot be trusted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends import FileBackend
from aiocache_pe.backends.file import file_system
from aiocache_pe.backends.file.file_system import (
    find_file_system,
    has_working_locks,
    measure_skew,
)

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:5 / /srv rw - nfs4 server:/export rw,vers=4.2
24 23 0:6 / /srv/local rw - xfs /dev/vdb rw
25 22 0:7 / /mnt/with\040space rw - fuse.sshfs user@host:/a rw
26 22 0:8 / /mnt/hidden rw - tmpfs none rw
27 22 0:9 / /mnt/hidden rw - 9p host rw
28 22 0:9 / /mnt/bind rw - fuse /src rw
a broken line
"""
KINDS = {
    "/home/cache": "ext4",
    "/srv/cache": "nfs4",
    "/srv/local/cache": "xfs",
    "/srv/localhost": "nfs4",
    "/mnt/with space/cache": "fuse.sshfs",
    "/mnt/hidden": "9p",
    "/mnt/bind/cache": "fuse",
}


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a list of mounts that replaces the kernel's."""
    path = tmp_path / "mounts"
    path.write_text(MOUNTS)
    monkeypatch.setattr(file_system, "_MOUNTS", str(path))
    monkeypatch.setattr(file_system, "_warned", set())
    return path


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("path", KINDS)
def test_the_file_system_of_a_path_is_the_last_one_mounted_above_it(path: str) -> None:
    assert find_file_system(path).kind == KINDS[path]


@pytest.mark.usefixtures("mounts")
def test_file_systems_of_several_machines_are_a_risk() -> None:
    risky = {path for path in KINDS if find_file_system(path).risk}
    assert {KINDS[path] for path in risky} == {"nfs4", "fuse.sshfs", "9p", "fuse"}


def test_without_a_list_of_mounts_the_file_system_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_system, "_MOUNTS", str(tmp_path / "absent"))
    assert find_file_system("/").kind == ""
    assert find_file_system("/").risk == ""


def test_locks_of_a_local_directory_work_and_its_clock_is_right(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert abs(measure_skew(str(path))) < 1
    assert has_working_locks(str(path))


async def test_a_directory_on_a_risky_file_system_is_logged_once(
    cache_dir: Path, mounts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mounts.write_text(f"1 0 0:5 / {cache_dir.parent} rw - fuse.sshfs host:/a rw\n")
    for _ in range(2):
        async with CacheManager(directory=cache_dir) as cache:
            assert await cache.set("k", 1)
    [line] = caplog.messages
    assert "fuse.sshfs" in line
    store = FileBackend(cache_dir)
    [check] = [check for check in await store.examine() if check.name == "file system"]
    await store.close()
    assert check.level == "warning"
    assert "fuse.sshfs" in check.detail


async def test_locks_that_do_not_work_are_logged_and_a_failure(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_system, "_warned", set())
    monkeypatch.setattr(file_system, "set_lock", lambda *_: True)
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.set("k", 1)
    [line] = caplog.messages
    assert "locks do not work" in line
    store = FileBackend(cache_dir)
    checks = {check.name: check.level for check in await store.examine()}
    await store.close()
    assert checks["locks"] == "failure"


async def test_a_skewed_clock_of_files_is_a_warning(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileBackend(cache_dir)
    cache_dir.mkdir()
    now = cache_dir.stat().st_mtime
    monkeypatch.setattr(time, "time", lambda: now + 300)
    [check] = [check for check in await store.examine() if check.name == "clock"]
    await store.close()
    assert check.level == "warning"
