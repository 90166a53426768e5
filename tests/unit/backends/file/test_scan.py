"""Scans of a directory find all entries, and other files do not disturb them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiocache_pe.backends.file import scan
from aiocache_pe.backends.file.atomic_write import TEMPORARY_PREFIX
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.locks import ByteLocks
from tests.support.file_store import make_record, scan_keys


@pytest.fixture
def disk(cache_dir: Path) -> Disk:
    return Disk(Layout(str(cache_dir)))


def get_path(disk: Disk, name: str) -> Path:
    return Path(disk.layout.get_path(f"default:{name}"))


def test_a_scan_skips_damaged_and_foreign_files(disk: Disk, cache_dir: Path) -> None:
    assert scan_keys(disk.layout) == []
    disk.write([make_record("a"), make_record("b"), make_record("c"), make_record("x" * 500)])
    folder = get_path(disk, "a").parent
    get_path(disk, "b").write_bytes(b"nonsense")
    (folder / "README").write_text("about this folder")
    (folder / f"{TEMPORARY_PREFIX}1-1").write_text("half")
    (folder / "12345678-folder").mkdir()
    (folder / "12345678-link").symlink_to(get_path(disk, "c"))
    (cache_dir / "default" / "stray").write_text("file")
    misplaced = get_path(disk, "a").read_bytes().replace(b"default:a", b"elsewhere:a")
    (folder / "12345678-elsewhere").write_bytes(misplaced)
    assert scan_keys(disk.layout) == ["a", "c", "x" * 500]
    assert scan_keys(disk.layout, "x*") == ["x" * 500]
    assert scan_keys(disk.layout, "*y") == []
    assert scan_keys(disk.layout, prefix="absent:") == []


def test_counting_returns_the_number_of_files_and_their_bytes(disk: Disk) -> None:
    area = disk.layout.get_area("default:")
    assert scan.count_entries(area) == (0, 0)
    disk.write([make_record("a", bytes(1000)), make_record("b", bytes(500))])
    sizes = [get_path(disk, name).stat().st_size for name in "ab"]
    (get_path(disk, "a").parent / f"{TEMPORARY_PREFIX}1-1").write_bytes(bytes(9999))
    assert scan.count_entries(area) == (2, sum(sizes))


def sweep(disk: Disk, seconds: float = 0.0) -> None:
    for _ in scan.iter_sweep(disk.layout, disk.locks, time.time() + seconds):
        pass


def test_a_sweep_removes_the_remains_of_killed_processes_only(disk: Disk, cache_dir: Path) -> None:
    sweep(disk)  # the directory does not exist yet
    disk.write([make_record("a"), make_record("damaged")])
    get_path(disk, "damaged").write_bytes(b"nonsense")
    disk.read(["default:damaged"])
    folder, lock = get_path(disk, "a").parent, 999
    temporary = folder / f"{TEMPORARY_PREFIX}{lock:08x}-1-1"
    temporary.write_text("half")
    unnamed = folder / f"{TEMPORARY_PREFIX}999-1"  # without a lock in its name
    unnamed.write_text("half")
    (cache_dir / ".trash-1-1" / "3f").mkdir(parents=True)
    (cache_dir / ".trash-1-1" / "3f" / "entry").write_text("cleared")
    (cache_dir / "notes.txt").write_text("mine")
    with ByteLocks(disk.layout.locks).hold(lock):
        sweep(disk, 3500.0)
        assert temporary.exists()  # its process may still write it
    sweep(disk)
    assert not temporary.exists()
    assert unnamed.exists()
    assert not (cache_dir / ".trash-1-1").exists()
    assert len(list((cache_dir / ".damaged").iterdir())) == 1
    sweep(disk, 2 * 3600.0)
    assert not unnamed.exists()
    assert len(list((cache_dir / ".damaged").iterdir())) == 1
    sweep(disk, 8 * 86_400.0)
    assert list((cache_dir / ".damaged").iterdir()) == []
    assert (cache_dir / "notes.txt").read_text() == "mine"
    assert scan_keys(disk.layout) == ["a"]


def test_a_cleared_area_stays_while_its_process_may_count_it(disk: Disk, cache_dir: Path) -> None:
    (cache_dir / ".trash-1-1" / "3f").mkdir(parents=True)
    sweep(disk, 50.0)
    assert (cache_dir / ".trash-1-1" / "3f").is_dir()
    sweep(disk, 61.0)
    assert not (cache_dir / ".trash-1-1").exists()
