"""A write replaces a file completely or not at all, with and without the exchange of names."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.backends.file import atomic_write
from aiocache_pe.backends.file.atomic_write import TEMPORARY_PREFIX, AtomicWrite
from aiocache_pe.backends.file.version import VersionTag, make_version, usable_version


def remove_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_write, "_renameat2", None)


def refuse_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(atomic_write, "_renameat2", refuse)


def refuse_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        ctypes.set_errno(errno.EEXIST)
        return -1

    monkeypatch.setattr(atomic_write, "_renameat2", refuse)


@pytest.fixture(
    params=[None, remove_system_call, refuse_flags, refuse_exchange],
    ids=["with all", "without the call", "without flags", "without exchange"],
)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param is not None:
        request.param(monkeypatch)
    return tmp_path


def publish(folder: Path, *chunks: bytes) -> VersionTag:
    write = AtomicWrite(str(folder), 7)
    try:
        write.fill(chunks)
        return write.publish(str(folder / "entry"))
    finally:
        write.discard()


def test_a_version_replaces_the_previous_one_and_leaves_no_other_file(folder: Path) -> None:
    for content in (b"first", b"second version", b""):
        publish(folder, content[:2], content[2:])
        assert (folder / "entry").read_bytes() == content
        assert [path.name for path in folder.iterdir()] == ["entry"]


def test_each_write_has_its_own_version_tag(folder: Path) -> None:
    versions = [publish(folder, b"same") for _ in range(50)]
    assert len(set(versions)) == 50
    path = folder / "entry"
    assert versions[-1] == make_version(str(path), path.stat())


def test_a_version_of_a_whole_millisecond_is_usable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    version = publish(folder, b"content")
    assert usable_version(version) == version


def test_a_reader_never_finds_a_part_of_a_version(folder: Path) -> None:
    contents = {bytes([n]) * (1 + n * 997) for n in range(8)}
    publish(folder, next(iter(contents)))
    has_ended, found = threading.Event(), set[bytes]()

    def read() -> None:
        while not has_ended.is_set():
            found.add((folder / "entry").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        for content in contents:
            publish(folder, content)
    has_ended.set()
    reader.join()
    assert found
    assert found <= contents


def test_a_version_that_is_not_published_is_removed(tmp_path: Path) -> None:
    write = AtomicWrite(str(tmp_path), 7)
    write.fill([b"content"])
    [path] = tmp_path.iterdir()
    assert path.name.startswith(TEMPORARY_PREFIX)
    write.discard()
    write.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_began_before_a_clear_does_not_appear_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "area"
    folder.mkdir()
    write = AtomicWrite(str(folder), 7)
    write.fill([b"old"])
    folder.rename(tmp_path / "trash")
    folder.mkdir()
    with pytest.raises(FileNotFoundError):
        write.publish(str(folder / "entry"))
    write.discard()
    assert list(folder.iterdir()) == []


def test_a_version_is_written_completely_when_system_calls_write_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "writev", lambda fd, chunks: write(fd, chunks[0][:3]))
    monkeypatch.setattr(os, "write", lambda fd, rest: write(fd, rest[:7]))
    publish(tmp_path, b"the head", b"and a long payload")
    assert (tmp_path / "entry").read_bytes() == b"the headand a long payload"


def test_an_impossible_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    with pytest.raises(OSError, match="directory"):
        publish(tmp_path / "absent", b"")
    write = AtomicWrite(str(tmp_path), 7)
    with pytest.raises(OSError, match=r"No such file"):
        write.publish(str(tmp_path / "absent" / "entry"))
    write.discard()
