"""Whole processes from start to exit: milliseconds that an import or a command adds to Python."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from time import perf_counter

from benchmarks.environment import make_child_variables
from benchmarks.job import Job


def import_aiocache_pe(job: Job) -> float:
    """Import this library; it loads its parts when they are first used."""
    return _time_starts(job, "-c", "import aiocache_pe")


def import_usual_names(job: Job) -> float:
    """Import the two names that nearly every program uses."""
    return _time_starts(job, "-c", "from aiocache_pe import CacheManager, cached")


def get_existing_key(job: Job) -> float:
    """Run ``aiocache-pe --get KEY`` for an existing key."""
    os.environ["AIOCACHE_PE_DIRECTORY"] = str(job.directory)
    _run("-m", "aiocache_pe", "--set", "answer", '{"text": "42"}')
    return _time_starts(job, "-m", "aiocache_pe", "--get", "answer")


def _time_starts(job: Job, *arguments: str) -> float:
    """Return the median difference to a bare Python in milliseconds; the first pair is dropped."""
    pairs = [(_time_run(*arguments), _time_run("-c", "pass")) for _ in range(job.n + 1)]
    return median(seconds - bare for seconds, bare in pairs[1:]) * 1e3


def _time_run(*arguments: str) -> float:
    start = perf_counter()
    _run(*arguments)
    return perf_counter() - start


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=make_child_variables(),
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()[-200:]}")
