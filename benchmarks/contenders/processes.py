"""Whole processes, from start to exit: what an import or one command line costs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from statistics import median
from time import perf_counter

from benchmarks.environment import variables
from benchmarks.job import Job, Sample

PACKAGES: tuple[str, ...] = ()


def bare(job: Job) -> Sample:
    """Python that does nothing."""
    return _started(job, "-c", "pass")


def import_ours(job: Job) -> Sample:
    """``import aiocache_pe``."""
    return _imported(job, "aiocache_pe")


def names_ours(job: Job) -> Sample:
    """What nearly every program uses of it; ``import aiocache_pe`` alone loads no part."""
    return _started(job, "-c", "from aiocache_pe import CacheManager, cached")


def import_cashews(job: Job) -> Sample:
    """``import cashews``."""
    return _imported(job, "cashews")


def import_aiocache(job: Job) -> Sample:
    """``import aiocache``."""
    return _imported(job, "aiocache")


def import_diskcache(job: Job) -> Sample:
    """``import diskcache``."""
    return _imported(job, "diskcache")


def get_ours(job: Job) -> Sample:
    """``aiocache-pe --get KEY`` of a key that is there."""
    os.environ["AIOCACHE_PE_DIRECTORY"] = str(job.directory)
    _run("-m", "aiocache_pe", "--set", "answer", '{"text": "42"}')
    return _started(job, "-m", "aiocache_pe", "--get", "answer")


def _imported(job: Job, module: str) -> Sample:
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    return _started(job, "-c", f"import {module}")


def _started(job: Job, *arguments: str) -> Sample:
    """The median of ``n`` starts in milliseconds; the first is dropped."""
    seconds = []
    for _ in range(job.n + 1):
        start = perf_counter()
        _run(*arguments)
        seconds.append(perf_counter() - start)
    return Sample(median(seconds[1:]) * 1e3)


def _run(*arguments: str) -> None:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables())
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()[-200:]}")
