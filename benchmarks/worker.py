"""Child process: it runs one operation of one contender and prints one line of JSON.

Example: ``python -m benchmarks.worker async_lru.memory hit --n 100000``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import asdict
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from benchmarks.job import Job, Measurement


def measure(contender: str, operation: str, job: Job) -> Measurement:
    """Run an operation; every failure becomes a measurement with a status."""
    try:
        value = _run(contender, operation, job)
    except ModuleNotFoundError as error:
        return Measurement("not installed", detail=str(error))
    except Exception as error:  # noqa: BLE001 - one failing contender must not end the run
        return Measurement("failed", detail=f"{type(error).__name__}: {error}")
    return Measurement("ok", value, job.notes)


def _run(contender: str, operation: str, job: Job) -> float:
    module, _, store = contender.partition(".")
    if not store:
        run: Any = getattr(import_module(f"benchmarks.{module}"), operation)
        return float(asyncio.run(run(job)) if iscoroutinefunction(run) else run(job))
    open_store = getattr(import_module(f"benchmarks.contenders.{module}"), f"open_{store}")
    run = getattr(import_module("benchmarks.operations"), operation)
    if iscoroutinefunction(run):
        return asyncio.run(_run_async(open_store, run, job))
    with open_store(job) as opened:
        return float(run(opened, job))


async def _run_async(open_store: Any, run: Any, job: Job) -> float:
    async with open_store(job) as opened:
        return float(await run(opened, job))


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("contender", help="MODULE.STORE of benchmarks.contenders, or a module")
    parser.add_argument("operation", help="function of benchmarks.operations or of the module")
    parser.add_argument("--n", type=int, default=1000, help="number of operations to time")
    parser.add_argument("--directory", type=Path, help="directory for files (default: temporary)")
    parser.add_argument("--entries", type=int, default=0, help="entries of the filled store")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        job = Job(arguments.n, arguments.directory or Path(temporary), arguments.entries)
        measurement = measure(arguments.contender, arguments.operation, job)
    print(json.dumps(asdict(measurement)))


if __name__ == "__main__":
    main()
