"""Going through a directory: all that is there is found, and nothing else is in the way."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.backends.file import scan
from aiocache_pe.backends.file.atomic_write import TEMPORARY
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import FOLDERS, EntryPath, Layout
from aiocache_pe.exceptions import BackendError, CorruptRecordError
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.record import Record
from tests.support.file_records import record


@pytest.fixture
def disk(cache_dir: Path) -> Disk:
    return Disk(Layout(str(cache_dir)))


def names(disk: Disk, pattern: str | None = None, prefix: str = "default:") -> list[str]:
    matches = compile_glob(pattern)
    return sorted(
        head.key.partition(":")[2]
        for folder in FOLDERS
        for head in scan.iter_heads(disk.layout, prefix, folder, matches)
    )


def path_of(disk: Disk, name: str) -> Path:
    return Path(disk.layout.path(f"default:{name}"))


def test_what_is_damaged_or_strange_is_passed_over(disk: Disk, cache_dir: Path) -> None:
    assert names(disk) == []
    disk.write([record("a"), record("b"), record("c"), record("x" * 500)])
    folder = path_of(disk, "a").parent
    path_of(disk, "b").write_bytes(b"nonsense")
    (folder / "README").write_text("what is this folder?")
    (folder / f"{TEMPORARY}1-1").write_text("half")
    (folder / "12345678-folder").mkdir()
    (folder / "12345678-link").symlink_to(path_of(disk, "c"))
    (cache_dir / "default" / "stray").write_text("file")
    other = path_of(disk, "a").read_bytes().replace(b"default:a", b"elsewhere:a")
    (folder / "12345678-elsewhere").write_bytes(other)
    assert names(disk) == ["a", "c", "x" * 500]
    assert names(disk, "x*") == ["x" * 500]
    assert names(disk, "*y") == []
    assert names(disk, prefix="absent:") == []


def test_totals_count_files_and_bytes(disk: Disk) -> None:
    assert scan.totals(disk.layout, "default:") == (0, 0)
    disk.write([record("a", bytes(1000)), record("b", bytes(500))])
    sizes = [path_of(disk, name).stat().st_size for name in "ab"]
    (path_of(disk, "a").parent / f"{TEMPORARY}1-1").write_bytes(bytes(9999))
    assert scan.totals(disk.layout, "default:") == (2, sum(sizes))


def test_sweep_removes_what_the_dead_left_and_nothing_else(disk: Disk, cache_dir: Path) -> None:
    scan.sweep(disk.layout)  # nothing is there yet
    disk.write([record("a"), record("damaged")])
    path_of(disk, "damaged").write_bytes(b"nonsense")
    disk.read(["default:damaged"])
    folder = path_of(disk, "a").parent
    draft = folder / f"{TEMPORARY}999-1"
    draft.write_text("half")
    (cache_dir / ".trash-1-1" / "3f").mkdir(parents=True)
    (cache_dir / ".trash-1-1" / "3f" / "entry").write_text("cleared")
    (cache_dir / "notes.txt").write_text("mine")
    scan.sweep(disk.layout)
    assert (cache_dir / ".trash-1-1" / "3f").is_dir()  # somebody may still be counting it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda real=time.time: real() + 61)
        scan.sweep(disk.layout)
    assert not (cache_dir / ".trash-1-1").exists()
    assert draft.exists()  # somebody may still be writing it
    assert len(list((cache_dir / ".damaged").iterdir())) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda real=time.time: real() + 2 * 3600)
        scan.sweep(disk.layout)
        assert not draft.exists()
        assert len(list((cache_dir / ".damaged").iterdir())) == 1
        patch.setattr(time, "time", lambda real=time.time: real() + 8 * 86_400)
        scan.sweep(disk.layout)
    assert list((cache_dir / ".damaged").iterdir()) == []
    assert (cache_dir / "notes.txt").read_text() == "mine"
    assert names(disk) == ["a"]


def test_clear_takes_an_area_away_and_tells_how_many(disk: Disk) -> None:
    assert disk.clear("default:") == 0
    disk.write([record(str(n)) for n in range(20)])
    assert disk.clear("default:") == 20
    assert names(disk) == []
    assert list(Path(disk.layout.root).glob(".trash-*")) == []
    disk.write([record("new")])
    assert names(disk) == ["new"]


def test_a_link_planted_for_an_area_goes_and_what_it_names_stays(
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


def test_a_damaged_file_is_set_aside_once_and_told(disk: Disk, cache_dir: Path) -> None:
    disk.write([record("a"), record("b")])
    path_of(disk, "a").write_bytes(path_of(disk, "b").read_bytes())
    found = disk.read(["default:a", "default:b"])
    assert isinstance(found["default:a"], CorruptRecordError)
    assert isinstance(found["default:b"], Record)
    [aside] = (cache_dir / ".damaged").iterdir()
    assert aside.name.endswith("-a")
    assert disk.read(["default:a"]) == {}


def test_a_damaged_file_that_was_replaced_meanwhile_stays(
    disk: Disk, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write([record("a")])
    path_of(disk, "a").write_bytes(b"nonsense")
    set_aside = Disk._set_aside

    def late(self: Disk, place: EntryPath, stamp: Any) -> None:
        fresh = Disk(Layout(str(cache_dir)))
        fresh.locks = self.locks
        monkeypatch.setattr(Disk, "_set_aside", set_aside)
        Path(place.path).unlink()
        Path(place.path).write_bytes(b"another's version")
        set_aside(self, place, stamp)

    monkeypatch.setattr(Disk, "_set_aside", late)
    assert isinstance(disk.read(["default:a"])["default:a"], CorruptRecordError)
    assert path_of(disk, "a").read_bytes() == b"another's version"
    assert not (cache_dir / ".damaged").exists()


def test_a_damaged_file_can_be_deleted_updated_and_replaced(disk: Disk) -> None:
    for name in "abcd":
        disk.write([record(name)])
        path_of(disk, name).write_bytes(b"nonsense")
    assert disk.delete(["default:a"]) == []
    assert not path_of(disk, "a").exists()
    assert disk.delete(["default:b"], lambda head: True) == []
    assert path_of(disk, "b").exists()
    seen = list[object]()

    def change(before: Record | None) -> Record:
        seen.append(before)
        return record("c")

    disk.update("default:c", change)
    assert seen == [None]
    disk.write([record("d", b"2")])
    assert names(disk) == ["c", "d"]


def test_what_cannot_be_read_is_an_error_in_its_place(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write([record("a"), record("b")])
    read, bad = os.open, str(path_of(disk, "a"))

    def refuse(path: str, *args: Any, **kwargs: Any) -> int:
        if path == bad:
            raise OSError(5, "Input/output error")
        return read(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    found = disk.read(["default:a", "default:b"])
    assert isinstance(found["default:a"], BackendError)
    assert "Input/output error" in str(found["default:a"])
    assert isinstance(found["default:b"], Record)


def test_somebody_elses_file_is_read_all_the_same(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write([record("a")])
    real = os.open

    def refuse(path: str, flags: int, *args: Any) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(1, "not the owner")
        return real(path, flags, *args)

    monkeypatch.setattr(os, "open", refuse)
    assert isinstance(disk.read(["default:a"])["default:a"], Record)


def test_a_folder_that_goes_away_again_and_again_is_given_up(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layout, "make_folder", lambda self, folder: self.make_root())
    [outcome] = disk.write([record("a")])
    assert isinstance(outcome, FileNotFoundError)
    assert "removed again and again" in str(outcome)


def test_one_that_cannot_be_written_does_not_keep_others_from_it(disk: Disk) -> None:
    disk.write([record("a")])
    path_of(disk, "b").parent.mkdir(parents=True, exist_ok=True)
    path_of(disk, "b").mkdir()
    outcomes = disk.write([record("b"), record("c")])
    assert isinstance(outcomes[1], Record)
    assert names(disk)[:1] == ["a"]
    assert "c" in names(disk)


def test_a_head_longer_than_a_page_is_read(disk: Disk) -> None:
    tags = {f"tag {n}": "0123456789ab" for n in range(500)}
    disk.write([record("a", tags=tags)])
    [head] = disk.delete(["default:a"])
    assert head.tags == tags
