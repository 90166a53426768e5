"""Whole processes from start to exit: the cost of an import or of one command, in ms."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from statistics import median
from time import perf_counter

from benchmarks.environment import make_child_variables
from benchmarks.job import Job


def run_nothing(job: Job) -> float:
    """Start Python and run nothing."""
    return _time_starts(job, "-c", "pass")


def import_aiocache_pe(job: Job) -> float:
    """Import this library; it loads its parts when they are first used."""
    return _time_import(job, "aiocache_pe")


def import_usual_names(job: Job) -> float:
    """Import the two names that nearly every program uses."""
    return _time_starts(job, "-c", "from aiocache_pe import CacheManager, cached")


def import_aiocache(job: Job) -> float:
    """Import aiocache."""
    return _time_import(job, "aiocache")


def import_cashews(job: Job) -> float:
    """Import cashews."""
    return _time_import(job, "cashews")


def import_diskcache(job: Job) -> float:
    """Import diskcache."""
    return _time_import(job, "diskcache")


def get_existing_key(job: Job) -> float:
    """Run ``aiocache-pe --get KEY`` for an existing key."""
    os.environ["AIOCACHE_PE_DIRECTORY"] = str(job.directory)
    _run("-m", "aiocache_pe", "--set", "answer", '{"text": "42"}')
    return _time_starts(job, "-m", "aiocache_pe", "--get", "answer")


def _time_import(job: Job, module: str) -> float:
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    return _time_starts(job, "-c", f"import {module}")


def _time_starts(job: Job, *arguments: str) -> float:
    """Return the median of ``n`` starts in milliseconds; the first start is dropped."""
    seconds = []
    for _ in range(job.n + 1):
        start = perf_counter()
        _run(*arguments)
        seconds.append(perf_counter() - start)
    return median(seconds[1:]) * 1e3


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
