"""Whole versions or none, also where the file system knows no exchange."""

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
from aiocache_pe.backends.file.atomic_write import TEMPORARY, AtomicWrite
from aiocache_pe.backends.file.version import make_version, usable_version


def without_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_write, "_renameat2", None)


def without_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(atomic_write, "_renameat2", refuse)


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        ctypes.set_errno(errno.EEXIST)
        return -1

    monkeypatch.setattr(atomic_write, "_renameat2", refuse)


@pytest.fixture(
    params=[None, without_system_call, without_flags, without_exchange],
    ids=["with all", "without the call", "without flags", "without exchange"],
)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param is not None:
        request.param(monkeypatch)
    return tmp_path


def publish(folder: Path, *chunks: bytes) -> Any:
    draft = AtomicWrite(str(folder))
    try:
        draft.fill(chunks)
        return draft.publish(str(folder / "entry"))
    finally:
        draft.discard()


def test_versions_follow_each_other_and_leave_nothing(folder: Path) -> None:
    for content in (b"first", b"second version", b""):
        publish(folder, content[:2], content[2:])
        assert (folder / "entry").read_bytes() == content
        assert [path.name for path in folder.iterdir()] == ["entry"]


def test_a_stamp_tells_one_version_from_another(folder: Path) -> None:
    stamps = [publish(folder, b"same") for _ in range(50)]
    assert len(set(stamps)) == 50
    path = folder / "entry"
    assert stamps[-1] == make_version(str(path), path.stat())


def test_a_version_of_a_whole_millisecond_is_told_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    stamp = publish(folder, b"content")
    assert usable_version(stamp) == stamp


def test_a_reader_never_sees_half_an_entry(folder: Path) -> None:
    contents = {bytes([n]) * (1 + n * 997) for n in range(8)}
    publish(folder, next(iter(contents)))
    ended, seen = threading.Event(), set[bytes]()

    def read() -> None:
        while not ended.is_set():
            seen.add((folder / "entry").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        for content in contents:
            publish(folder, content)
    ended.set()
    reader.join()
    assert seen
    assert seen <= contents


def test_a_draft_that_is_not_published_is_removed(tmp_path: Path) -> None:
    draft = AtomicWrite(str(tmp_path))
    draft.fill([b"content"])
    [path] = tmp_path.iterdir()
    assert path.name.startswith(TEMPORARY)
    draft.discard()
    draft.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_was_begun_before_a_clear_does_not_appear_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "area"
    folder.mkdir()
    draft = AtomicWrite(str(folder))
    draft.fill([b"old"])
    folder.rename(tmp_path / "trash")
    folder.mkdir()
    with pytest.raises(FileNotFoundError):
        draft.publish(str(folder / "entry"))
    draft.discard()
    assert list(folder.iterdir()) == []


def test_a_large_version_is_written_whole_though_the_system_writes_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "writev", lambda fd, chunks: write(fd, chunks[0][:3]))
    monkeypatch.setattr(os, "write", lambda fd, rest: write(fd, rest[:7]))
    publish(tmp_path, b"the head", b"and a long payload")
    assert (tmp_path / "entry").read_bytes() == b"the headand a long payload"


def test_a_place_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    with pytest.raises(OSError, match="directory"):
        publish(tmp_path / "absent", b"")
    draft = AtomicWrite(str(tmp_path))
    with pytest.raises(OSError, match=r"No such file"):
        draft.publish(str(tmp_path / "absent" / "entry"))
    draft.discard()
