"""A file's content is its identity, and is read only when it may have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, sync
from aiocache_pe.keys import file_digest as digests
from aiocache_pe.keys.file_digest import file_digest, file_digest_blocking

OLD = 1_600_000_000_000_000_000


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that were read."""
    read = list[str]()
    real = hashlib.file_digest

    def counted(file: Any, digest: Any) -> Any:
        read.append(file.name)
        return real(file, digest)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    monkeypatch.setattr(digests, "_known", {})
    return read


def old(path: Path, content: str) -> Path:
    path.write_text(content)
    os.utime(path, ns=(OLD, OLD))
    return path


async def test_the_same_content_is_one_call_wherever_it_is(
    tmp_path: Path, memory: CacheManager
) -> None:
    read = list[str]()

    @cached(cache=memory)
    async def words(source: digests.FileDigest) -> int:
        read.append(source.path)
        return len(Path(source).read_text().split())

    one, two = old(tmp_path / "one", "a b c"), old(tmp_path / "two", "a b c")
    assert await words(await file_digest(one)) == await words(await file_digest(two)) == 3
    assert read == [str(one)]
    old(two, "a b c d")
    assert await words(await file_digest(two)) == 4


async def test_a_file_is_read_again_only_when_it_changed(
    tmp_path: Path, readings: list[str]
) -> None:
    path = old(tmp_path / "file", "content")
    first = await file_digest(path)
    assert file_digest_blocking(str(path)) == first
    assert len(readings) == 1
    os.utime(path, ns=(OLD, OLD + 1))
    assert file_digest_blocking(path) == first
    old(path, "longer content")
    assert file_digest_blocking(path).hexdigest != first.hexdigest
    other = old(tmp_path / "other", "CONTENT")
    other.replace(path)  # same size, another inode
    assert file_digest_blocking(path).hexdigest != first.hexdigest
    assert len(readings) == 4


def test_a_file_that_may_change_unseen_is_not_remembered(
    tmp_path: Path, readings: list[str]
) -> None:
    path = tmp_path / "new"
    path.write_text("1")
    os.utime(path, ns=(OLD, 2**62))  # as if it were written at this very moment
    before = file_digest_blocking(path)
    path.write_text("2")
    os.utime(path, ns=(OLD, 2**62))
    assert file_digest_blocking(path) != before


def test_only_so_many_are_remembered(
    tmp_path: Path, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_MOST", 3)
    for number in range(5):
        file_digest_blocking(old(tmp_path / str(number), "x"))
    assert len(digests._known) == 3


async def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await file_digest(tmp_path / "absent")


def test_a_path_counts_by_its_content_where_the_key_is_built_of_it(tmp_path: Path) -> None:
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
