"""Environment of a run: the machine, the interpreter, the commit and the versions."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
PACKAGES: Final = (
    "aiocache aiocache-pe aiofiles async-lru cashews diskcache hiredis msgspec redis theine"
).split()


def describe(workdir: Path) -> dict[str, Any]:
    """Return the environment of this process, and the file system of ``workdir``."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _find_commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": _find_processor(),
        "cpus": os.cpu_count() or 0,
        "load_before": round(os.getloadavg()[0], 2),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "filesystem": _find_filesystem(workdir),
        "versions": _find_versions(),
    }


def make_results_path(kind: str) -> Path:
    """Return the default path for results that are written now."""
    return RESULTS / f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"


def make_child_variables() -> dict[str, str]:
    """Return the environment variables of a child, which may write bytecode as an install does."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def _find_versions() -> dict[str, str]:
    found = {package.name.replace("_", "-"): package.version for package in distributions()}
    return {name: found.get(name, "not installed") for name in PACKAGES}


def _find_commit() -> str:
    """Return the measured commit, with a plus sign if files differ from it."""
    try:
        commit = _run("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _run("git", "-C", str(ROOT), "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _find_processor() -> str:
    """Return the model name; `platform.processor` is empty on most Linux systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _find_filesystem(directory: Path) -> str:
    try:
        return _run("findmnt", "-no", "FSTYPE", "--target", str(directory))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
