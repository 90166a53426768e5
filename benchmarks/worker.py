"""The child process: one contender, one operation, one line of JSON on standard output.

By hand: ``python -m benchmarks.worker async_lru decorated_hit --n 100000``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.job import Answer, Job, Sample

Operation: TypeAlias = Callable[[Job], Sample | Coroutine[Any, Any, Sample]]


def measure(contender: str, operation: str, job: Job) -> Answer:
    """Load the contender and run its operation; every failure becomes an answer."""
    try:
        module = import_module(f"benchmarks.contenders.{contender}")
        sample = _run(getattr(module, operation), job)
    except ModuleNotFoundError as error:
        return Answer("not installed", detail=str(error))
    except Exception as error:  # noqa: BLE001  one contender's trouble must not end the run
        return Answer("failed", detail=f"{type(error).__name__}: {error}")
    return Answer("ok", sample.value, sample.notes, versions=versions(module.PACKAGES))


def _run(operation: Operation, job: Job) -> Sample:
    outcome = operation(job)
    return outcome if isinstance(outcome, Sample) else asyncio.run(outcome)


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The installed version of each distribution."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "working tree"
    return found


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("contender", help="a module of benchmarks.contenders")
    parser.add_argument("operation", help="a function of that module")
    parser.add_argument("--n", type=int, default=1000, help="operations to time")
    parser.add_argument("--directory", type=Path, help="for files; a temporary one if absent")
    parser.add_argument("--entries", type=int, default=0, help="entries already in there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as spare:
        job = Job(given.n, given.directory or Path(spare), given.entries)
        answer = measure(given.contender, given.operation, job)
    print(json.dumps(asdict(answer)))


if __name__ == "__main__":
    main()
