"""A change is not undone by the file system: overlays, mount points and full devices.

Where a folder cannot be renamed, `clear` removes its entries one by one. Where a value cannot be
written, the old one is removed, because a miss is better than an old value.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import BackendError, CacheManager
from tests.support.internals import fail_atomic_writes
from tests.support.polling import make_environment
from tests.support.processes.use_mounted_directory import change_everything, warm

ROOT = Path(__file__).parents[2]
MOUNTS = {
    "overlay": "mount -t tmpfs none {top} && mkdir {top}/upper {top}/work && mount -t overlay none"
    " -o lowerdir={cache},upperdir={top}/upper,workdir={top}/work {cache}",
    "mounted area": "mount --bind {cache}/default {cache}/default",
    "mounted folder": "for folder in {cache}/default/*; do mount --bind $folder $folder; done",
}
FULL = {
    "tmpfs": "mount -t tmpfs -o size=1m none {cache}",
    "ext4": "truncate -s 8m {top}/image && mkfs.ext4 -q -m 0 {top}/image"
    " && mount -o loop {top}/image {cache}",
}


def run_mounted(mount: str, scenario: str, directory: Path) -> None:
    """Run a scenario in a process of its own, in which a file system is mounted."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting needs root and unshare")
    top = directory.parent / "top"
    top.mkdir()
    script = mount.format(cache=directory, top=top)
    separate = ("unshare", "-m", "sh", "-ec")  # mounts that end with the process
    if subprocess.run((*separate, script), capture_output=True, check=False).returncode:
        pytest.skip("this file system cannot be mounted here")
    shutil.rmtree(top)
    top.mkdir()
    command = f"{sys.executable} -W error -m tests.support.processes.use_mounted_directory"
    done = subprocess.run(
        (*separate, f"{script}; exec {command} {scenario} {directory}"),
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_change_of_a_mounted_cache_is_not_undone(cache_dir: Path, mount: str) -> None:
    asyncio.run(warm(cache_dir))
    run_mounted(MOUNTS[mount], "change_everything", cache_dir)


@pytest.mark.parametrize("system", FULL)
def test_a_full_device_serves_no_old_value(cache_dir: Path, system: str) -> None:
    cache_dir.mkdir()
    run_mounted(FULL[system], "use_full_device", cache_dir)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EBUSY, errno.ENOSPC])
async def test_a_folder_that_cannot_be_renamed_is_cleared(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    await warm(cache_dir)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number), args[0])

    monkeypatch.setattr(os, "rename", refuse)
    await change_everything(cache_dir)


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE]
)
@pytest.mark.parametrize("tier", [0, 1_000_000], ids=["no memory tier", "memory tier"])
async def test_a_value_that_cannot_be_written_replaces_the_old_one_by_a_miss(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int, tier: int
) -> None:
    async with CacheManager(directory=cache_dir, memory_max_bytes=tier) as cache:
        await cache.set_many({"a": 1, "b": 2, "n": 3, "kept": 4, "popped": 5})
        await cache.set("tagged", 6, tags=["tag"])
        assert await cache.get("tagged") == 6
        with monkeypatch.context() as patch:
            fail_atomic_writes(patch, number)
            assert not await cache.set("a", "new")
            assert await cache.get("a") is None
            assert not await cache.set_many({"b": "new", "c": "new"})
            assert await cache.get_many(["b", "c"]) == {}
            assert not await cache.touch("kept", 60)
            assert await cache.get("kept") == 4
            assert await cache.pop("popped") == 5
            assert await cache.get("popped") is None
            assert await cache.delete_by_tag("tag")
            assert await cache.get("tagged") is None
            with pytest.raises(BackendError, match="failed to increment"):
                await cache.incr("n")
        assert await cache.incr("n") == 4
        assert await cache.get("tagged") is None
        assert await cache.set("tagged", 7, tags=["tag"])
        assert await cache.get("tagged") == 7


@contextmanager
def limit_file_size(size: int) -> Generator[None, None, None]:
    """Let the kernel refuse bytes beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_the_limit_of_file_sizes_serves_no_old_value(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({"a": 1, "b": 2})
        with limit_file_size(50_000):
            assert not await cache.set("a", "x" * 100_000)
            assert await cache.get("a") is None
            assert await cache.set("b", 3)
            assert await cache.get("b") == 3
