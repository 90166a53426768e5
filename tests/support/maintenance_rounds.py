"""Stores with rounds, and what is in their directories."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiocache_pe.backends.file.backend import FileBackend
from tests.support.file_records import record

NOW = time.time()
SOON, LATER, DAY = NOW + 2000, NOW + 20_000, 86_400.0


def looked_through(directory: Path) -> FileBackend:
    """A store in which somebody looked at everything just now."""
    made = FileBackend(directory)
    write(made, "lasts")
    assert made_round(made, NOW) == []
    return made


def write(backend: FileBackend, *names: str, ends: float | None = None) -> None:
    asyncio.run(backend.write([record(name, expires_at=ends) for name in names]))


def made_round(backend: FileBackend, now: float) -> list[str] | None:
    """The names that a round removed; ``None`` if there was none."""

    async def go() -> list[str] | None:
        removed: list[str] | None = None
        while (heads := await backend.maintain(now)) is not None:
            removed = (removed or []) + [head.key.partition(":")[2] for head in heads]
        return removed

    return asyncio.run(go())


def names(directory: Path) -> set[str]:
    return {path.name.partition("-")[2] for path in directory.glob("default/??/*")}


def lines(directory: Path) -> list[str]:
    return [
        line
        for bucket in sorted(directory.glob(".expiring/*"))
        for line in bucket.read_text().splitlines()
        if line
    ]


def plant(directory: Path, text: bytes, *, bucket: int = 640) -> None:
    """A bucket whose turn it was long ago."""
    (directory / ".expiring").mkdir(parents=True, exist_ok=True)
    (directory / ".expiring" / str(bucket)).write_bytes(text)
