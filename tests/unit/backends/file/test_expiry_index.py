"""The expiry index finds expired entries without a walk, and touches no other entry."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from aiocache_pe.backends.file import disk as disk_module
from aiocache_pe.backends.file import expiry_index, scan
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.record import Head, Record
from tests.support.file_store import (
    DAY,
    LATER,
    NOW,
    SOON,
    list_entry_names,
    list_index_lines,
    make_record,
    make_walked_store,
    run_round,
    write_entries,
)
from tests.support.polling import list_open_files


@pytest.fixture
def backend(cache_dir: Path) -> FileBackend:
    return make_walked_store(cache_dir)


@pytest.fixture
def read_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the files from which rounds and changes read heads."""
    paths: list[str] = []

    def log_and_read(path: str, key: str = "") -> Head:
        paths.append(path)
        return read_head(path, key)

    monkeypatch.setattr(disk_module, "read_head", log_and_read)
    monkeypatch.setattr(scan, "read_head", log_and_read)
    return paths


def test_a_round_reads_only_the_entries_that_are_due(
    backend: FileBackend, cache_dir: Path, read_paths: list[str]
) -> None:
    write_entries(backend, *(f"short{n}" for n in range(150)), expires_at=SOON)
    write_entries(backend, *(f"long{n}" for n in range(50)), expires_at=LATER)
    removed = run_round(backend, SOON + 300)
    assert sorted(removed or ()) == sorted(f"short{n}" for n in range(150))
    assert len(read_paths) == 150
    assert len(list_entry_names(cache_dir)) == 51
    assert len(list_index_lines(cache_dir)) == 50  # the bucket of the others was removed


def test_entries_without_expiry_and_internal_records_have_no_line(
    backend: FileBackend, cache_dir: Path
) -> None:
    head = Head(1, "default+stats:x", "json", NOW, 1, SOON)
    asyncio.run(backend.write([Record(head, b"1")]))
    write_entries(backend, "never", expires_at=1e300)
    assert not (cache_dir / ".expiring").exists()


def test_an_entry_that_may_be_served_stale_stays_until_then(
    backend: FileBackend, cache_dir: Path
) -> None:
    asyncio.run(backend.write([make_record("k", expires_at=SOON, stale_until=LATER)]))
    assert run_round(backend, SOON + 300) == []
    assert run_round(backend, LATER + 2000) == ["k"]
    assert list_index_lines(cache_dir) == []


@pytest.mark.parametrize("ttl", [0.5, 60.0, 3600.0, 86_400.0, 30 * 86_400.0, 365 * 86_400.0])
def test_an_expired_entry_stays_for_at_most_a_sixteenth_of_its_ttl(
    backend: FileBackend, cache_dir: Path, ttl: float
) -> None:
    end = time.time() + ttl
    write_entries(backend, "k", expires_at=end)
    latest = end + max(64, ttl / 16) + expiry_index.GRACE_SECONDS + 600
    assert run_round(backend, latest) == ["k"]


def test_expiry_times_of_a_year_need_few_buckets(backend: FileBackend, cache_dir: Path) -> None:
    for day in range(366):
        write_entries(backend, *(f"{day}-{n}" for n in range(3)), expires_at=NOW + day * DAY)
    assert len(list(cache_dir.glob(".expiring/*"))) < 100


def test_an_entry_that_is_replaced_again_and_again_has_one_line(
    backend: FileBackend, cache_dir: Path
) -> None:
    for n in range(300):
        write_entries(backend, "k", expires_at=SOON + n * 60)
    assert len(list_index_lines(cache_dir)) == 1
    assert run_round(backend, SOON + 300) == []  # it gets a line for its present expiry
    assert len(list_index_lines(cache_dir)) == 1
    assert run_round(backend, SOON + 300 * 60 + 4000) == ["k"]


def test_an_earlier_expiry_gets_a_line(backend: FileBackend, cache_dir: Path) -> None:
    write_entries(backend, "k", expires_at=LATER)
    write_entries(backend, "k", expires_at=SOON)
    assert run_round(backend, SOON + 300) == ["k"]
    assert run_round(backend, LATER + 2000) == []


def test_lines_of_two_processes_become_one_when_the_entry_is_prolonged(
    backend: FileBackend, cache_dir: Path
) -> None:
    other = FileBackend(cache_dir)
    write_entries(backend, "k", expires_at=SOON)
    write_entries(other, "k", expires_at=SOON)
    assert len(list_index_lines(cache_dir)) == 2
    write_entries(other, "k", expires_at=LATER)
    assert run_round(backend, SOON + 300) == []
    assert len(list_index_lines(cache_dir)) == 1


def test_lines_of_removed_entries_and_of_entries_without_expiry_are_harmless(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, "deleted", "prolonged", expires_at=SOON)
    asyncio.run(backend.delete(["default:deleted"]))
    write_entries(backend, "prolonged")
    assert run_round(backend, SOON + 300) == []
    assert list_entry_names(cache_dir) == {"permanent", "prolonged"}
    assert list_index_lines(cache_dir) == []


def test_an_entry_written_after_a_clear_is_found(backend: FileBackend, cache_dir: Path) -> None:
    write_entries(backend, "k", expires_at=SOON)
    asyncio.run(backend.clear("default:"))
    write_entries(backend, "k", expires_at=SOON)
    assert run_round(backend, SOON + 300) == ["k"]


def test_a_directory_that_was_removed_gets_a_new_index(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, "k", expires_at=SOON)
    shutil.rmtree(cache_dir)
    write_entries(backend, "k", "j", expires_at=SOON)
    assert len(list_index_lines(cache_dir)) == 2


def test_the_next_round_continues_with_a_bucket_that_was_not_finished(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, *(f"k{n}" for n in range(200)), expires_at=SOON)
    asyncio.run(backend.maintain(SOON + 300))
    removed = asyncio.run(backend.maintain(SOON + 300))
    assert removed is not None
    assert 0 < len(removed) < 200
    other = FileBackend(cache_dir)
    assert run_round(other, SOON + 900) is not None
    assert list_entry_names(cache_dir) == {"permanent"}
    assert run_round(backend, SOON + 900) == []  # the first process goes on and finds nothing
    asyncio.run(backend.close())


def test_entries_without_a_line_are_found_within_a_day(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, "k", expires_at=SOON)
    shutil.rmtree(cache_dir / ".expiring")
    assert run_round(backend, SOON + 300) == []
    assert run_round(backend, NOW + DAY) == ["k"]


def test_a_full_bucket_causes_a_walk(
    backend: FileBackend, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_index, "MAX_BUCKET_BYTES", 200)
    write_entries(backend, *(f"k{n}" for n in range(50)), expires_at=SOON)
    assert len(list_index_lines(cache_dir)) < 10
    assert len(run_round(backend, SOON + 300) or ()) == 50
    assert list_index_lines(cache_dir) == []


def test_a_sweep_reads_past_buckets(backend: FileBackend, cache_dir: Path) -> None:
    write_entries(backend, "k", expires_at=SOON)
    write_entries(backend, "j", expires_at=LATER)
    asyncio.run(backend.sweep(SOON + 300))
    assert list_entry_names(cache_dir) == {"j", "permanent"}
    assert len(list_index_lines(cache_dir)) == 1


def test_a_recount_after_a_kill_reads_no_entries(cache_dir: Path, read_paths: list[str]) -> None:
    backend = FileBackend(cache_dir, max_entries=500)
    write_entries(backend, *(f"k{n}" for n in range(30)))
    assert run_round(backend, NOW) == []
    assert len(read_paths) == 30
    asyncio.run(backend.close())
    ledger = Disk(Layout(str(cache_dir))).bounds.ledger
    assert ledger.ensure_open()
    ledger.add(7, 0)
    ledger.after_fork()  # leaves its row without a mark, as if it had been killed
    assert run_round(backend, NOW + 1) == []
    assert len(read_paths) == 30
    assert ledger.ensure_open()
    assert ledger.get_totals().entries == 30


@pytest.mark.usefixtures("umask_zero")
def test_the_index_is_private(backend: FileBackend, cache_dir: Path) -> None:
    write_entries(backend, "k", expires_at=SOON)
    folder = cache_dir / ".expiring"
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert [oct(path.stat().st_mode)[-3:] for path in folder.iterdir()] == ["600"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at descriptors in /proc")
def test_few_buckets_are_open_and_none_after_closing(backend: FileBackend, cache_dir: Path) -> None:
    folder = cache_dir / ".expiring"
    for n in range(30):
        write_entries(backend, f"k{n}", expires_at=SOON + n * 1000)
    assert len(set(list_index_lines(cache_dir))) == 30
    assert len(list_open_files(folder)) == 9
    asyncio.run(backend.close())
    assert list_open_files(folder) == []
    write_entries(backend, "k", expires_at=SOON)
    assert len(list_open_files(folder)) == 2
    del backend


def test_a_forked_child_writes_its_own_lines(cache_dir: Path) -> None:
    disk = Disk(Layout(str(cache_dir)))
    disk.write([make_record("a", expires_at=SOON)])
    disk.expiry_index.after_fork()
    disk.write([make_record("a", expires_at=SOON), make_record("b", expires_at=SOON)])
    assert len(list_index_lines(cache_dir)) == 3
