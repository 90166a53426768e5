"""Entries that were damaged or forged are misses: nothing is run, and memory stays small.

Flipped, cut, exchanged, moved under another key, said to be of another codec, pickles
that run something, bombs of 10 GB: each in the place of a real entry. The full figure,
20,000 mutations::

    AIOCACHE_STRESS=50 pytest tests/system/test_forged_entries.py -s
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.polling import make_environment
from tests.support.processes.forge_entries import BOMBS
from tests.support.scale import report, scale_size

ROOT = Path(__file__).parents[2]
MUTATIONS = 400
MOST = 100  # MB, the interpreter and all


@pytest.mark.timeout(1800)
def test_a_forged_entry_is_a_miss_and_runs_nothing_and_takes_no_memory(cache_dir: Path) -> None:
    count = scale_size(MUTATIONS)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.processes.forge_entries", str(cache_dir), str(count)],
        cwd=ROOT,
        env=make_environment(),  # whose memory would be measured as well
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    kinds = found["kinds"]
    report(f"{count} mutations: {kinds}; {len(found['believed'])} believed")
    report(f"memory: {found['before']:.0f} MB before, at most {found['peak']:.0f} MB")
    assert found["believed"] == []
    assert not found["executed"]
    assert found["peak"] < MOST
    assert found["errors"] == count
    assert sum(kinds.values()) == count
    assert kinds.keys() >= {"flipped", "cut", "swapped", "moved", "tagged", "pickled", *BOMBS}
