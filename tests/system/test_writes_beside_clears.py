"""A write that runs beside `clear` of other processes succeeds: it is tried in a new folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.polling import make_environment
from tests.support.scale import report, scale_size

ROOT = Path(__file__).parents[2]
ROLES = ("clear", "clear", "write", "write")


def test_no_write_fails_beside_clears_of_other_processes(cache_dir: Path) -> None:
    command = (sys.executable, "-W", "error", "-m", "tests.support.processes.clear_and_count")
    processes = [
        subprocess.Popen(
            (*command, role, str(cache_dir), str(scale_size(3))),
            cwd=ROOT,
            env=make_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in ROLES
    ]
    done: dict[str, int] = {}
    for role, process in zip(ROLES, processes, strict=True):
        out, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
        done[role] = done.get(role, 0) + int(out)
    report(f"{done['write']} rounds of writes beside {done['clear']} clears")
    assert not list(cache_dir.glob("default/??/.tmp-*"))
    assert not list(cache_dir.glob(".trash-*"))
