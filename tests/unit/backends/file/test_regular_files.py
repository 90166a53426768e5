"""No path below the directory follows a link, and the directory itself may be a link."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file import regular_files, scan
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import FOLDERS, Layout
from aiocache_pe.backends.file.regular_files import NotRegularError, open_below, open_regular
from aiocache_pe.backends.file.size_ledger import Bounds
from aiocache_pe.record import Record
from tests.support.file_store import make_record

DAY = 86_400.0


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("mine")
    return folder


def sweep(disk: Disk, now: float) -> None:
    for _ in scan.iter_sweep(disk.layout, disk.locks, now):
        pass


def test_a_link_in_place_of_damaged_receives_nothing_and_loses_nothing(
    cache_dir: Path, outside: Path
) -> None:
    disk = Disk(Layout(str(cache_dir)))
    disk.write([make_record("a")])
    (cache_dir / ".damaged").symlink_to(outside)
    sweep(disk, time.time() + 8 * DAY)
    assert (outside / "precious").read_text() == "mine"
    Path(disk.layout.get_path("default:a")).write_bytes(b"nonsense")
    disk.read(["default:a"])
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert len(list((cache_dir / ".damaged").iterdir())) == 1


def test_a_linked_folder_of_entries_is_neither_read_nor_swept_nor_evicted(
    cache_dir: Path, outside: Path
) -> None:
    disk = Disk(Layout(str(cache_dir)), Bounds(max_entries=2))
    other = Disk(Layout(str(outside)))
    other.write([make_record(str(n)) for n in range(20)])
    disk.write([make_record("a")])
    (outside / "default" / "00").mkdir(exist_ok=True)
    draft = outside / "default" / "00" / ".tmp-00000007-1-1"
    draft.write_text("half")
    for folder in FOLDERS:
        target = cache_dir / "default" / folder
        if (outside / "default" / folder).exists() and not target.exists():
            target.symlink_to(outside / "default" / folder)
    before = sorted(path for path in outside.rglob("*") if path.is_file())
    results = disk.read([f"default:{n}" for n in range(20)])
    assert not any(isinstance(result, Record) for result in results.values())
    assert disk.delete([f"default:{n}" for n in range(20)]).count(None) < 20  # refused
    sweep(disk, time.time() + 8 * DAY)
    assert scan.count_entries(disk.layout.get_area("default:")).entries == 1
    disk.bounds.ledger.add(1, 0)
    disk.write([make_record(f"new {n}") for n in range(10)])
    disk.bounds.enforce()
    assert sorted(path for path in outside.rglob("*") if path.is_file()) == before
    assert disk.clear("default:") <= 2
    assert sorted(path for path in outside.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("level", ["area", "folder"])
async def test_a_linked_folder_is_replaced_by_the_next_write(
    cache_dir: Path, outside: Path, level: str
) -> None:
    async with CacheManager(directory=cache_dir, memory_max_bytes=0) as cache:
        await cache.set("k", 1)
        [file] = cache_dir.glob("default/??/*-k")
        folder = file.parent if level == "folder" else file.parent.parent
        folder.rename(outside / "moved")
        folder.symlink_to(outside / "moved")
        assert await cache.get("k") is None
        assert await cache.set("k", 2)
        assert await cache.get("k") == 2
        assert not folder.is_symlink()
        assert len(list((outside / "moved").rglob("*-k"))) == 1


async def test_the_directory_may_be_a_link_and_lie_behind_one(tmp_path: Path) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "way").symlink_to(tmp_path / "disk")
    (tmp_path / "cache").symlink_to(tmp_path / "way" / "real")
    async with CacheManager(directory=tmp_path / "cache") as cache:
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1
    async with CacheManager(directory=tmp_path / "disk" / "real") as cache:
        assert await cache.get("k") == 1


@pytest.mark.parametrize("is_supported", [True, False])
def test_links_are_refused_at_every_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_supported: bool
) -> None:
    if not is_supported:
        monkeypatch.setattr(regular_files, "_openat2", None)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "folder" / "file")
    os.close(open_below(f"{tmp_path}/folder/file", os.O_RDONLY))
    for path in ("link/file", "folder/link", "link/link"):
        with pytest.raises(OSError, match=r"symbolic|levels"):
            open_below(f"{tmp_path}/{path}", os.O_RDONLY)
    with pytest.raises(NotRegularError, match="must be a regular file"):
        open_regular(f"{tmp_path}/folder/link")
    with pytest.raises(FileNotFoundError):
        open_regular(f"{tmp_path}/folder/absent")


def test_a_huge_record_with_a_wrong_checksum_is_not_held_in_memory(cache_dir: Path) -> None:
    disk = Disk(Layout(str(cache_dir)))
    disk.write([make_record("a")])
    path = Path(disk.layout.get_path("default:a"))
    line = path.read_bytes().partition(b"\n")[0].replace(b'"size":1', b'"size":268435456')
    path.write_bytes(line + b"\n")
    os.truncate(path, len(line) + 1 + 268_435_456)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "checksum" in str(disk.read(["default:a"])["default:a"])
    assert not path.exists()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024  # KiB


def test_a_large_record_is_read_after_its_verification(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    record = make_record("a", os.urandom(20 * 1024 * 1024))

    async def write_and_read() -> object:
        await backend.write([record])
        [found] = (await backend.read(["default:a"])).values()
        await backend.close()
        return found

    found = asyncio.run(write_and_read())
    assert getattr(found, "payload", None) == record.payload
