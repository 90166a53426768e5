"""Stores that fail during their work: no call raises because of them.

Every method of a manager returns, failures are counted, each kind is logged once, and all
methods work again after the store was repaired. The faults are real, each in a process of its
own: `tests.support.processes.break_store`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.polling import make_environment
from tests.support.processes.break_store import KINDS, fill_device

ROOT = Path(__file__).parents[2]
MOUNTS = {
    "tmpfs": "mount -t tmpfs -o size=2m none {cache}",
    "ext4": "truncate -s 8m {cache}.img && mkfs.ext4 -q -m 0 {cache}.img"
    " && mount -o loop {cache}.img {cache}",
}


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory below parents that all users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="aiocache_pe-") as parent:
        yield Path(parent) / "cache"


def run_command(*command: str) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def make_command(kind: str, directory: Path) -> tuple[str, ...]:
    return (
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.support.processes.break_store",
        kind,
        str(directory),
    )


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {fill_device.__name__}))
def test_no_call_raises_while_the_store_fails(directory: Path, kind: str) -> None:
    if kind == "use_all_descriptors" and not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to list the open descriptors")
    run_command(*make_command(kind, directory))


@pytest.mark.parametrize("system", MOUNTS)
def test_no_call_raises_while_the_disk_is_full(directory: Path, system: str) -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting a small disk needs root and unshare")
    directory.mkdir()
    mount = MOUNTS[system].format(cache=directory)
    separate = ("unshare", "-m", "sh", "-c")  # mounts that end with the process
    if subprocess.run((*separate, mount), capture_output=True, check=False).returncode:
        pytest.skip(f"{system} cannot be mounted here")
    (directory.parent / "cache.img").unlink(missing_ok=True)
    command = " ".join(make_command("fill_device", directory))
    run_command(*separate, f"{mount} && chmod 700 {directory} && exec {command}")
