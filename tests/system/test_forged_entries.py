"""Damaged and forged entries: they are misses, run no code and take little memory.

Each mutation replaces a real entry: flipped bits, truncated files, exchanged entries, entries
under another key or with another codec, pickles that run code, and bombs of 10 GB. The full
size, 20,000 mutations::

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
MAX_MEGABYTES = 100  # with the interpreter


@pytest.mark.timeout(1800)
def test_a_forged_entry_is_a_miss_runs_no_code_and_takes_little_memory(cache_dir: Path) -> None:
    count = scale_size(MUTATIONS)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.processes.forge_entries", str(cache_dir), str(count)],
        cwd=ROOT,
        env=make_environment(),  # the memory of coverage would be measured too
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    kinds = result["kinds"]
    report(f"{count} mutations: {kinds}; {len(result['accepted'])} accepted")
    report(f"memory: {result['before']:.0f} MB before, at most {result['peak']:.0f} MB")
    assert result["accepted"] == []
    assert not result["executed"]
    assert result["peak"] < MAX_MEGABYTES
    assert result["errors"] == count
    assert sum(kinds.values()) == count
    assert kinds.keys() >= {*BOMBS, "flip_bit", "truncate", "swap_entry"}
    assert kinds.keys() >= {"move_payload", "change_codec", "inject_pickle"}
