"""File digests: the content identifies a file, and it is read only after a change."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, sync
from aiocache_pe.keys import file_digest as module
from aiocache_pe.keys.file_digest import FileDigest, file_digest, file_digest_blocking

OLD = 1_600_000_000_000_000_000


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the name of every file that is read is appended."""
    names = list[str]()
    file_digest = hashlib.file_digest

    def record(file: Any, digest: Any) -> Any:
        names.append(file.name)
        return file_digest(file, digest)

    monkeypatch.setattr(hashlib, "file_digest", record)
    monkeypatch.setattr(module, "_digests", {})
    return names


def write_old(path: Path, content: str) -> Path:
    """Write a file that looks as if it was last modified years ago."""
    path.write_text(content)
    os.utime(path, ns=(OLD, OLD))
    return path


async def test_files_with_equal_content_share_an_entry(
    tmp_path: Path, memory: CacheManager
) -> None:
    calls = list[str]()

    @cached(cache=memory)
    async def count_words(source: FileDigest) -> int:
        calls.append(source.path)
        return len(Path(source).read_text().split())

    one, two = write_old(tmp_path / "one", "a b c"), write_old(tmp_path / "two", "a b c")
    assert await count_words(await file_digest(one)) == 3
    assert await count_words(await file_digest(two)) == 3
    assert calls == [str(one)]
    write_old(two, "a b c d")
    assert await count_words(await file_digest(two)) == 4


async def test_a_file_is_read_again_only_after_a_change(
    tmp_path: Path, readings: list[str]
) -> None:
    path = write_old(tmp_path / "file", "content")
    first = await file_digest(path)
    assert file_digest_blocking(str(path)) == first
    assert len(readings) == 1
    os.utime(path, ns=(OLD, OLD + 1))
    assert file_digest_blocking(path) == first
    write_old(path, "longer content")
    assert file_digest_blocking(path).hexdigest != first.hexdigest
    other = write_old(tmp_path / "other", "CONTENT")
    other.replace(path)  # same size, another inode
    assert file_digest_blocking(path).hexdigest != first.hexdigest
    assert len(readings) == 4


def test_the_digest_of_a_file_modified_just_now_is_not_remembered(
    tmp_path: Path, readings: list[str]
) -> None:
    path = tmp_path / "new"
    path.write_text("1")
    os.utime(path, ns=(OLD, 2**62))  # as if it were written at this very moment
    before = file_digest_blocking(path)
    path.write_text("2")
    os.utime(path, ns=(OLD, 2**62))
    assert file_digest_blocking(path) != before


def test_the_number_of_remembered_digests_is_bounded(
    tmp_path: Path, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_FILES", 3)
    for number in range(5):
        file_digest_blocking(write_old(tmp_path / str(number), "x"))
    assert len(module._digests) == 3


async def test_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await file_digest(tmp_path / "absent")


def test_a_key_function_can_return_a_digest(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("the same")
    other.write_text("the same")
    calls = list[Path]()

    @sync.cached(key=lambda path: sync.file_digest(path), backend="memory")  # noqa: PLW0108
    def read(path: Path) -> str:
        calls.append(path)
        return path.read_text()

    assert read(one) == read(other) == "the same"
    other.write_text("another text")
    assert read(other) == "another text"
    assert calls == [one, other]
