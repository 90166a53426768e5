"""A read without waiting is complete or pending, and is given up only where it is unsupported."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.reading import MAX_CACHED_BYTES, CachedReader
from aiocache_pe.backends.file.version import make_version
from aiocache_pe.sentinels import PENDING
from tests.support.file_store import make_record


@pytest.fixture
def reader(tmp_path: Path) -> CachedReader:
    """Return a reader, or skip the test on a system that does not support it."""
    (tmp_path / "probe").write_bytes(b"probe")
    reader = CachedReader()
    if reader.read_if_cached(str(tmp_path / "probe")) is PENDING:
        pytest.skip("this system does not support reads without waiting")
    return reader


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no tmpfs on this system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("size", [0, 1, 1000, MAX_CACHED_BYTES])
def test_a_file_is_read_completely_with_its_version(
    reader: CachedReader, tmp_path: Path, size: int
) -> None:
    path, content = tmp_path / "file", os.urandom(size)
    path.write_bytes(content)
    status = path.stat()
    assert reader.read_if_cached(str(path)) == (content, make_version(str(path), status))


def test_a_missing_file_is_absent_or_pending(reader: CachedReader, tmp_path: Path) -> None:
    path = tmp_path / "absent"
    path.exists()  # so that the kernel caches that there is none
    assert reader.read_if_cached(str(path)) in (None, PENDING)
    (tmp_path / "file").write_text("")
    assert reader.read_if_cached(str(tmp_path / "file" / "below")) in (None, PENDING)
    assert reader.is_supported


@pytest.mark.parametrize("kind", ["large", "folder", "link", "pipe"])
def test_a_large_file_and_one_that_is_not_regular_are_pending(
    reader: CachedReader, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "file"
    if kind == "large":
        path.write_bytes(bytes(MAX_CACHED_BYTES + 1))
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "probe")
    else:
        os.mkfifo(path)
    assert reader.read_if_cached(str(path)) is PENDING
    assert reader.is_supported


def test_a_read_on_tmpfs_is_complete_or_pending(tmpfs: Path) -> None:
    (tmpfs / "file").write_bytes(b"content")
    reader = CachedReader()
    found = reader.read_if_cached(str(tmpfs / "file"))
    assert found is PENDING or (isinstance(found, tuple) and found[0] == b"content")


async def test_a_store_on_tmpfs_reads_its_entries(tmpfs: Path) -> None:
    backend = FileBackend(tmpfs / "cache")
    await backend.write([make_record(payload=b"[1]")])
    found = backend.peek("default:k")
    assert found is PENDING or (found is not None and found.payload == b"[1]")
    assert (await backend.read(["default:k"])).keys() == {"default:k"}
    await backend.close()


async def test_a_large_entry_is_read_in_a_thread(cache_dir: Path) -> None:
    backend, payload = FileBackend(cache_dir), os.urandom(3 * MAX_CACHED_BYTES)
    [stored] = await backend.write([make_record(payload=payload)])
    assert backend.peek("default:k") is PENDING
    assert (await backend.read(["default:k"]))["default:k"] == stored
    await backend.close()


@pytest.mark.parametrize(
    ("number", "answer", "is_supported"),
    [
        (errno.EAGAIN, PENDING, True),
        (errno.EIO, PENDING, True),
        (errno.EACCES, PENDING, True),
        (errno.ENOENT, None, True),
        (errno.EOPNOTSUPP, PENDING, False),
        (errno.ENOSYS, PENDING, False),
        (errno.EINVAL, PENDING, False),
    ],
)
def test_reads_are_given_up_only_where_the_system_does_not_support_them(
    reader: CachedReader, tmp_path: Path, number: int, answer: Any, is_supported: bool
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "preadv", refuse)
        assert reader.read_if_cached(str(tmp_path / "probe")) is answer
    assert reader.is_supported is is_supported


def test_a_partial_read_is_pending(
    reader: CachedReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "preadv", lambda *_: 2)
    assert reader.read_if_cached(str(tmp_path / "probe")) is PENDING


def test_other_systems_make_no_attempt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    reader = CachedReader()
    assert not reader.is_supported
    assert reader.read_if_cached(str(tmp_path)) is PENDING
