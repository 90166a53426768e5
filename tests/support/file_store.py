"""Helpers for tests of the file store: records, maintenance rounds, and files of a directory."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.layout import FOLDERS, Layout
from aiocache_pe.backends.file.scan import read_heads
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.record import Head, Record

NOW = time.time()
SOON, LATER, DAY = NOW + 2000, NOW + 20_000, 86_400.0


def make_record(name: str = "k", payload: bytes = b"1", **head: Any) -> Record:
    """Return a record of the namespace ``default``."""
    return Record(Head(1, f"default:{name}", "json", 1000.0, len(payload), **head), payload)


def make_walked_store(directory: Path) -> FileBackend:
    """Return a store with the entry ``permanent``, where the daily walk has just ended."""
    backend = FileBackend(directory)
    write_entries(backend, "permanent")
    assert run_round(backend, NOW) == []
    return backend


def write_entries(backend: FileBackend, *names: str, expires_at: float | None = None) -> None:
    """Write entries with the same time of expiry, in seconds since the epoch."""
    asyncio.run(backend.write([make_record(name, expires_at=expires_at) for name in names]))


def run_round(backend: FileBackend, now: float) -> list[str] | None:
    """Make a maintenance round; return the keys that it removed, or ``None`` if none was due."""

    async def run() -> list[str] | None:
        removed: list[str] | None = None
        while (heads := await backend.maintain(now)) is not None:
            removed = (removed or []) + [head.key.partition(":")[2] for head in heads]
        return removed

    return asyncio.run(run())


def scan_keys(layout: Layout, pattern: str | None = None, prefix: str = "default:") -> list[str]:
    """Return the keys that a scan finds, without their prefix and in order."""
    matches = compile_glob(pattern)
    return sorted(
        head.key.partition(":")[2]
        for folder in FOLDERS
        for head in read_heads(layout, prefix, folder, matches)
    )


def list_entry_files(directory: Path) -> list[Path]:
    """Return the files of all entries of the namespace ``default``."""
    return list(directory.glob("default/??/*"))


def list_entry_names(directory: Path) -> set[str]:
    """Return the keys in the names of the entries' files."""
    return {path.name.partition("-")[2] for path in list_entry_files(directory)}


def list_index_lines(directory: Path) -> list[str]:
    """Return all lines of the expiry index."""
    return [
        line
        for bucket in sorted(directory.glob(".expiring/*"))
        for line in bucket.read_text().splitlines()
        if line
    ]


def plant_bucket(directory: Path, content: bytes, *, end: int = 640) -> None:
    """Create a bucket of the expiry index; its end is in seconds since the epoch."""
    (directory / ".expiring").mkdir(parents=True, exist_ok=True)
    (directory / ".expiring" / str(end)).write_bytes(content)
