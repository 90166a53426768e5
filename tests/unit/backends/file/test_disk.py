"""Operations on the entries of a directory handle damaged, replaced and unreadable files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file import regular_files
from aiocache_pe.backends.file.atomic_write import AtomicWrite
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import EntryPath, Layout
from aiocache_pe.exceptions import BackendError, CorruptRecordError
from aiocache_pe.record import Head, Record
from tests.support.file_store import make_record, scan_keys


@pytest.fixture
def disk(cache_dir: Path) -> Disk:
    return Disk(Layout(str(cache_dir)))


def get_path(disk: Disk, name: str) -> Path:
    return Path(disk.layout.get_path(f"default:{name}"))


def test_clear_removes_an_area_and_returns_its_number_of_entries(disk: Disk) -> None:
    assert disk.clear("default:") == 0
    disk.write([make_record(str(n)) for n in range(20)])
    assert disk.clear("default:") == 20
    assert scan_keys(disk.layout) == []
    assert list(Path(disk.layout.root).glob(".trash-*")) == []
    disk.write([make_record("new")])
    assert scan_keys(disk.layout) == ["new"]


def test_clear_removes_a_link_in_place_of_an_area_and_keeps_its_target(
    disk: Disk, cache_dir: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("kept")
    cache_dir.mkdir()
    (cache_dir / "default").symlink_to(elsewhere)
    disk.clear("default:")
    assert [path.name for path in cache_dir.glob(".trash-*")] == []
    assert (elsewhere / "precious").read_text() == "kept"


def test_a_damaged_file_is_an_error_once_and_moved_aside(disk: Disk, cache_dir: Path) -> None:
    disk.write([make_record("a"), make_record("b")])
    get_path(disk, "a").write_bytes(get_path(disk, "b").read_bytes())
    results = disk.read(["default:a", "default:b"])
    assert isinstance(results["default:a"], CorruptRecordError)
    assert isinstance(results["default:b"], Record)
    [damaged] = (cache_dir / ".damaged").iterdir()
    assert damaged.name.endswith("-a")
    assert disk.read(["default:a"]) == {}


def test_a_damaged_file_that_was_replaced_meanwhile_stays(
    disk: Disk, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write([make_record("a")])
    get_path(disk, "a").write_bytes(b"nonsense")
    set_aside = Disk._set_aside

    def replace_before(self: Disk, entry: EntryPath, version: Any) -> None:
        monkeypatch.setattr(Disk, "_set_aside", set_aside)
        Path(entry.path).unlink()
        Path(entry.path).write_bytes(b"another version")
        set_aside(self, entry, version)

    monkeypatch.setattr(Disk, "_set_aside", replace_before)
    assert isinstance(disk.read(["default:a"])["default:a"], CorruptRecordError)
    assert get_path(disk, "a").read_bytes() == b"another version"
    assert not (cache_dir / ".damaged").exists()


def test_a_damaged_file_can_be_deleted_updated_and_replaced(disk: Disk) -> None:
    for name in "abcd":
        disk.write([make_record(name)])
        get_path(disk, name).write_bytes(b"nonsense")
    assert disk.delete(["default:a"]) == [None]
    assert not get_path(disk, "a").exists()
    assert disk.delete(["default:b"], lambda head: True) == [None]
    assert get_path(disk, "b").exists()
    arguments = list[object]()

    def change(before: Record | None) -> Record:
        arguments.append(before)
        return make_record("c")

    disk.update("default:c", change)
    assert arguments == [None]
    disk.write([make_record("d", b"2")])
    assert scan_keys(disk.layout) == ["c", "d"]


def test_a_file_that_cannot_be_read_is_an_error_for_its_key_only(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write([make_record("a"), make_record("b")])
    open_below, unreadable = regular_files.open_below, str(get_path(disk, "a"))

    def refuse(path: str, flags: int) -> int:
        if path == unreadable:
            raise OSError(5, "Input/output error")
        return open_below(path, flags)

    monkeypatch.setattr(regular_files, "open_below", refuse)
    results = disk.read(["default:a", "default:b"])
    assert isinstance(results["default:a"], BackendError)
    assert "Input/output error" in str(results["default:a"])
    assert isinstance(results["default:b"], Record)


def test_a_file_of_another_user_can_be_read(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.write([make_record("a")])
    open_below = regular_files.open_below

    def refuse(path: str, flags: int) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(1, "not the owner")
        return open_below(path, flags)

    monkeypatch.setattr(regular_files, "open_below", refuse)
    assert isinstance(disk.read(["default:a"])["default:a"], Record)


def test_a_write_gives_up_on_a_folder_that_is_removed_again_and_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layout, "make_folder", lambda self, folder: self.make_root())
    [outcome] = disk.write([make_record("a")])
    assert isinstance(outcome, FileNotFoundError)
    assert "must not be removed during a write" in str(outcome)


def test_a_record_that_cannot_be_written_does_not_prevent_others(disk: Disk) -> None:
    disk.write([make_record("a")])
    get_path(disk, "b").parent.mkdir(parents=True, exist_ok=True)
    get_path(disk, "b").mkdir()
    outcomes = disk.write([make_record("b"), make_record("c")])
    assert isinstance(outcomes[1], Record)
    assert scan_keys(disk.layout)[:1] == ["a"]
    assert "c" in scan_keys(disk.layout)


def test_a_head_longer_than_a_page_is_read(disk: Disk) -> None:
    tags = {f"tag {n}": "0123456789ab" for n in range(500)}
    disk.write([make_record("a", tags=tags)])
    [head] = disk.delete(["default:a"])
    assert isinstance(head, Head)
    assert head.tags == tags


def test_a_temporary_file_of_a_process_with_the_same_number_does_not_prevent_a_write(
    disk: Disk,
) -> None:
    disk.write([make_record("a")])
    folder = get_path(disk, "a").parent
    write = AtomicWrite(str(folder), 7)
    write.discard()
    prefix, _, number = write.path.rpartition("-")
    Path(f"{prefix}-{int(number) + 1}").write_text("half")
    assert isinstance(disk.write([make_record("a")])[0], Record)


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_write_is_tried_again_while_other_processes_remove_its_folder(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    make_folder, tries = Layout.make_folder, list[str]()

    def fail_at_first(layout: Layout, folder: str) -> None:
        tries.append(folder)
        if len(tries) % 20:
            raise error(folder)
        make_folder(layout, folder)

    monkeypatch.setattr(Layout, "make_folder", fail_at_first)
    assert isinstance(disk.write([make_record("a")])[0], Record)
    assert disk.update("default:b", lambda _: make_record("b")) is not None
    assert len(tries) == 40


async def test_foreign_contents_of_the_records_of_the_library_are_ignored(cache_dir: Path) -> None:
    payloads = (b"null", b"[1]", b'{"hits":NaN,"misses":"x","sets":null,"errors":1e999}', b"\xff")
    for number, payload in enumerate(payloads):
        directory = cache_dir / str(number)
        backend = FileBackend(directory)
        for key in ("default+stats:counters", "default+tags:tag"):
            await backend.write([Record(Head(1, key, "json", 1.0, len(payload)), payload)])
        async with CacheManager(directory=directory) as cache:
            assert await cache.set("k", 1, tags=["tag"]) in (True, False)
            assert await cache.get("k") in (1, None)
            assert await cache.set("j", 2)
            assert await cache.get("j") == 2
            assert (await cache.get_stats()).hits >= 1
            assert await cache.delete_by_tag("tag")
            assert await cache.get("k") is None
            assert await cache.set("k", 3, tags=["tag"])
            assert await cache.get("k") == 3
