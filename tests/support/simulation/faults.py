"""Known faults, put back into a copy of the library, for the simulation to find.

``python -m tests.support.simulation.faults`` puts each fault back and prints the seed that finds
it, and the time. A fault is a replacement in the source. A change of that source must update the
fault, so that it stays what it was.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
SEEDS = 5000
MODULE = "tests.support.simulation.schedules"


class Fault(NamedTuple):
    """A fault.

    Attributes:
        path: the file below the library's folder.
        present, faulty: the text in the file, and the text that puts the fault back.
        kind: the kind of the schedules that find it.
        message: part of the message of the broken promise.
    """

    path: str
    present: str
    faulty: str
    kind: str
    message: str


FAULTS = {
    "a computation stores its result after a change": Fault(
        path="runtime/generations.py",
        present="if generation.key == key:",
        faulty="if False:",
        kind="memory",
        message="was acknowledged",
    ),
    "computations that need each other wait for each other": Fault(
        path="runtime/wait_graph.py",
        present="            left += each.waits_for\n",
        faulty="",
        kind="memory",
        message="a call waits for too long",
    ),
    "callers of one computation share a list when the entry is gone": Fault(
        path="loading/copying.py",
        present="        if self._entry is None:\n            self._copy",
        faulty="        if not self.is_stored:\n            self._copy",
        kind="faults",
        message="which another caller has changed",
    ),
}


class Discovery(NamedTuple):
    """The first schedule that shows a fault: its seed, the seconds to find it and the message."""

    seed: int
    seconds: float
    message: str


def find_fault(fault: Fault, folder: Path) -> Discovery | None:
    """Put a fault back into a copy of the library in a folder, and search for it."""
    for name in ("aiocache_pe", "tests/support"):
        shutil.copytree(ROOT / name, folder / name)
    source = folder / "aiocache_pe" / fault.path
    text = source.read_text()
    assert text.count(fault.present) == 1, f"update the fault: {fault.path} has changed"
    source.write_text(text.replace(fault.present, fault.faulty))
    began = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", MODULE, fault.kind, "0", str(SEEDS)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    message = re.search(r"^AssertionError: (.+)$", process.stderr, re.MULTILINE)
    seed = re.search(r"^repeat it: .* (\d+)$", process.stderr, re.MULTILINE)
    if process.returncode == 0 or message is None or seed is None:
        return None
    return Discovery(int(seed[1]), seconds, message[1])


if __name__ == "__main__":
    for _name, _fault in FAULTS.items():
        with tempfile.TemporaryDirectory() as _folder:
            _found = find_fault(_fault, Path(_folder))
        sys.stdout.write(f"{_name}: {_found}\n")
