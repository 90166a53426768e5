"""A store that breaks in the middle of its work never breaks a caller.

Every verb of a manager answers, the failures are counted, each kind of them is logged
once, and when the store is repaired everything works again. The faults are real ones,
each in a process of its own: `tests.support.processes.break_store`.
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
from tests.support.processes.break_store import KINDS, full

ROOT = Path(__file__).parents[2]
MOUNTS = {
    "tmpfs": "mount -t tmpfs -o size=2m none {cache}",
    "ext4": "truncate -s 8m {cache}.img && mkfs.ext4 -q -m 0 {cache}.img"
    " && mount -o loop {cache}.img {cache}",
}


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose parents everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="aiocache_pe-") as parent:
        yield Path(parent) / "cache"


def run(*command: str) -> None:
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


def broken(kind: str, directory: Path) -> tuple[str, ...]:
    return (
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.support.processes.break_store",
        kind,
        str(directory),
    )


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {full.__name__}))
def test_a_broken_store_never_breaks_a_caller(directory: Path, kind: str) -> None:
    if kind == "no_descriptors" and not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc, to know which descriptors are taken")
    run(*broken(kind, directory))


@pytest.mark.parametrize("system", MOUNTS)
def test_a_full_disk_never_breaks_a_caller(directory: Path, system: str) -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting a small disk takes root and unshare")
    directory.mkdir()
    mount = MOUNTS[system].format(cache=directory)
    separate = ("unshare", "-m", "sh", "-c")  # mounts that end with the process
    if subprocess.run((*separate, mount), capture_output=True, check=False).returncode:
        pytest.skip(f"{system} cannot be mounted here")
    (directory.parent / "cache.img").unlink(missing_ok=True)
    command = " ".join(broken("full", directory))
    run(*separate, f"{mount} && chmod 700 {directory} && exec {command}")
