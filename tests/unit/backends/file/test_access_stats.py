"""Hits and last access are stored at the file and do not change its version."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.backends.file import access_stats
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.record import Record
from aiocache_pe.sentinels import PENDING
from tests.support.file_store import make_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return an entry's file as `AtomicWrite.publish` leaves it."""
    path = tmp_path / "entry"
    path.write_bytes(b"content")
    now = time.time_ns()
    os.utime(path, ns=(now, now))
    return path


def test_an_entry_that_was_never_read_has_no_last_access(path: Path) -> None:
    assert access_stats.read_stats(str(path)) == (0, None)
    assert path.read_bytes() == b"content"


def test_hits_are_added_and_the_last_access_is_replaced(path: Path) -> None:
    before = path.stat()
    access_stats.add_hits(str(path), 2, 1_700_000_000.25)
    access_stats.add_hits(str(path), 3, 1_700_000_100.5)
    assert access_stats.read_stats(str(path)) == (5, 1_700_000_100.5)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_size) == (
        before.st_mtime_ns,
        before.st_ino,
        before.st_size,
    )
    assert path.read_bytes() == b"content"


def test_the_last_access_is_stored_without_extended_attributes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    access_stats.add_hits(str(path), 2, 1_700_000_000.0)
    assert access_stats.read_stats(str(path)) == (0, 1_700_000_000.0)
    monkeypatch.setattr(access_stats, "_HAS_ATTRIBUTES", False)
    access_stats.add_hits(str(path), 2, 1_700_000_001.0)
    assert access_stats.read_stats(str(path)) == (0, 1_700_000_001.0)


def test_an_attribute_that_is_no_number_counts_as_zero(path: Path) -> None:
    os.setxattr(path, "user.aiocache_pe.hits", b"many")
    assert access_stats.read_stats(str(path)) == (0, None)
    access_stats.add_hits(str(path), 1, 1_700_000_000.0)
    assert access_stats.read_stats(str(path)) == (1, 1_700_000_000.0)


async def test_added_hits_leave_copies_in_memory_current(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    [stored] = await backend.write([make_record()])
    await backend.add_usage({"default:k": (1, 1_700_000_000.0), "default:absent": (1, 1.0)})
    assert isinstance(stored.stamp, bytes)
    assert backend.is_current(stored.stamp)
    assert await backend.usage("default:k") == (1, 1_700_000_000.0)
    assert await backend.usage("default:absent") == (0, None)
    await backend.close()


async def test_no_copy_is_current_on_a_file_system_that_rounds_times(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    [stored] = await backend.write([make_record()])
    assert isinstance(stored.stamp, bytes)
    path = backend.location("default:k")
    whole = Path(path).stat().st_mtime_ns // 1_000_000 * 1_000_000
    os.utime(path, ns=(whole, whole))
    assert not backend.is_current(stored.stamp)
    for found in (backend.peek("default:k"), (await backend.read(["default:k"]))["default:k"]):
        assert found is PENDING or (isinstance(found, Record) and found.stamp is None)
    await backend.delete(["default:k"])
    assert not backend.is_current(stored.stamp)
    await backend.close()
