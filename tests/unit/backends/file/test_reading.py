"""Reads that never wait: right, or not at all; and given up only where they cannot work."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.reading import LARGEST, CachedReader
from aiocache_pe.backends.file.version import make_version
from aiocache_pe.sentinels import PENDING
from tests.support.file_records import record


@pytest.fixture
def reader(tmp_path: Path) -> CachedReader:
    """One that works here; where it cannot, there is nothing to test."""
    (tmp_path / "probe").write_bytes(b"probe")
    made = CachedReader()
    if made.read(str(tmp_path / "probe")) is PENDING:
        pytest.skip("this system cannot read without waiting")
    return made


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no tmpfs on this system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("size", [0, 1, 1000, LARGEST])
def test_a_file_is_read_whole_with_its_stamp(
    reader: CachedReader, tmp_path: Path, size: int
) -> None:
    path, content = tmp_path / "file", os.urandom(size)
    path.write_bytes(content)
    status = path.stat()
    assert reader.read(str(path)) == (content, make_version(str(path), status))


def test_what_is_not_there_is_known_at_once(reader: CachedReader, tmp_path: Path) -> None:
    path = tmp_path / "absent"
    path.exists()  # now the kernel knows that it is not
    assert reader.read(str(path)) in (None, PENDING)
    (tmp_path / "file").write_text("")
    assert reader.read(str(tmp_path / "file" / "below")) in (None, PENDING)
    assert reader.works


@pytest.mark.parametrize("kind", ["large", "folder", "link", "pipe"])
def test_what_is_not_for_it_is_left_to_a_thread(
    reader: CachedReader, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "it"
    if kind == "large":
        path.write_bytes(bytes(LARGEST + 1))
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "probe")
    else:
        os.mkfifo(path)
    assert reader.read(str(path)) is PENDING
    assert reader.works


def test_on_a_file_system_without_it_reads_take_a_thread(tmpfs: Path) -> None:
    (tmpfs / "file").write_bytes(b"content")
    reader = CachedReader()
    found = reader.read(str(tmpfs / "file"))
    assert found is PENDING or (isinstance(found, tuple) and found[0] == b"content")


async def test_a_store_on_such_a_file_system_works_all_the_same(tmpfs: Path) -> None:
    backend = FileBackend(tmpfs / "cache")
    await backend.write([record(payload=b"[1]")])
    found = backend.peek("default:k")
    assert found is PENDING or (found is not None and found.payload == b"[1]")
    assert (await backend.read(["default:k"])).keys() == {"default:k"}
    await backend.close()


async def test_a_large_entry_is_read_by_a_thread(cache_dir: Path) -> None:
    backend, payload = FileBackend(cache_dir), os.urandom(3 * LARGEST)
    [stored] = await backend.write([record(payload=payload)])
    assert backend.peek("default:k") is PENDING
    assert (await backend.read(["default:k"]))["default:k"] == stored
    await backend.close()


@pytest.mark.parametrize(
    ("number", "answer", "works"),
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
def test_it_is_given_up_only_where_the_system_cannot(
    reader: CachedReader, tmp_path: Path, number: int, answer: Any, works: bool
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "preadv", refuse)
        assert reader.read(str(tmp_path / "probe")) is answer
    assert reader.works is works


def test_half_a_file_is_no_file(
    reader: CachedReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "preadv", lambda *_: 2)
    assert reader.read(str(tmp_path / "probe")) is PENDING


def test_elsewhere_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    reader = CachedReader()
    assert not reader.works
    assert reader.read(str(tmp_path)) is PENDING
