"""What is over is found without looking at everything, and nothing else is touched."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from aiocache_pe.backends.file import disk as verbs
from aiocache_pe.backends.file import expiry_index, scan
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.reading import read_head
from aiocache_pe.record import Head
from tests.support.file_records import record
from tests.support.maintenance_rounds import (
    DAY,
    LATER,
    NOW,
    SOON,
    lines,
    looked_through,
    made_round,
    names,
    write,
)
from tests.support.polling import list_open_files


@pytest.fixture
def backend(cache_dir: Path) -> FileBackend:
    return looked_through(cache_dir)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The entries whose head is read, of a round or of a change."""
    seen: list[str] = []

    def noted(path: str, key: str = "") -> Head:
        seen.append(path)
        return read_head(path, key)

    monkeypatch.setattr(verbs, "read_head", noted)
    monkeypatch.setattr(scan, "read_head", noted)
    return seen


def test_a_round_looks_at_nothing_but_what_was_to_end(
    backend: FileBackend, cache_dir: Path, looks: list[str]
) -> None:
    write(backend, *(f"short{n}" for n in range(150)), ends=SOON)
    write(backend, *(f"long{n}" for n in range(50)), ends=LATER)
    removed = made_round(backend, SOON + 300)
    assert sorted(removed or ()) == sorted(f"short{n}" for n in range(150))
    assert len(looks) == 150
    assert len(names(cache_dir)) == 51
    assert len(lines(cache_dir)) == 50  # the bucket of the others went with them


def test_what_lasts_or_is_no_entry_of_a_user_is_not_noted(
    backend: FileBackend, cache_dir: Path
) -> None:
    side = record("x", expires_at=SOON)
    moved = Head(1, "default+stats:x", "json", NOW, 1, SOON)
    asyncio.run(backend.write([type(side)(moved, b"1")]))
    write(backend, "never", ends=1e300)
    assert not (cache_dir / ".expiring").exists()


def test_what_may_be_served_stale_is_left_until_then(backend: FileBackend, cache_dir: Path) -> None:
    asyncio.run(backend.write([record("k", expires_at=SOON, stale_until=LATER)]))
    assert made_round(backend, SOON + 300) == []
    assert made_round(backend, LATER + 2000) == ["k"]
    assert lines(cache_dir) == []


@pytest.mark.parametrize("ttl", [0.5, 60.0, 3600.0, 86_400.0, 30 * 86_400.0, 365 * 86_400.0])
def test_an_entry_stays_for_a_sixteenth_longer_at_most(
    backend: FileBackend, cache_dir: Path, ttl: float
) -> None:
    end = time.time() + ttl
    write(backend, "k", ends=end)
    assert made_round(backend, end + max(64, ttl / 16) + expiry_index.GRACE + 600) == ["k"]


def test_a_year_of_ends_is_few_files(backend: FileBackend, cache_dir: Path) -> None:
    for day in range(366):
        write(backend, *(f"{day}-{n}" for n in range(3)), ends=NOW + day * DAY)
    assert len(list(cache_dir.glob(".expiring/*"))) < 100


def test_what_is_replaced_again_and_again_has_one_line(
    backend: FileBackend, cache_dir: Path
) -> None:
    for n in range(300):
        write(backend, "k", ends=SOON + n * 60)
    assert len(lines(cache_dir)) == 1
    assert made_round(backend, SOON + 300) == []  # it is noted anew for when it ends now
    assert len(lines(cache_dir)) == 1
    assert made_round(backend, SOON + 300 * 60 + 4000) == ["k"]


def test_what_is_to_end_sooner_is_noted_for_then(backend: FileBackend, cache_dir: Path) -> None:
    write(backend, "k", ends=LATER)
    write(backend, "k", ends=SOON)
    assert made_round(backend, SOON + 300) == ["k"]
    assert made_round(backend, LATER + 2000) == []


def test_what_two_processes_noted_is_noted_once_when_it_lasts(
    backend: FileBackend, cache_dir: Path
) -> None:
    other = FileBackend(cache_dir)
    write(backend, "k", ends=SOON)
    write(other, "k", ends=SOON)
    assert len(lines(cache_dir)) == 2
    write(other, "k", ends=LATER)
    assert made_round(backend, SOON + 300) == []
    assert len(lines(cache_dir)) == 1


def test_lines_of_what_is_gone_or_was_made_to_last_do_no_harm(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, "deleted", "lasting", ends=SOON)
    asyncio.run(backend.delete(["default:deleted"]))
    write(backend, "lasting")
    assert made_round(backend, SOON + 300) == []
    assert names(cache_dir) == {"lasting", "lasts"}
    assert lines(cache_dir) == []


def test_what_is_written_again_after_a_clear_is_found(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, "k", ends=SOON)
    asyncio.run(backend.clear("default:"))
    write(backend, "k", ends=SOON)
    assert made_round(backend, SOON + 300) == ["k"]


def test_a_directory_that_was_removed_gets_a_wheel_of_its_own(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, "k", ends=SOON)
    shutil.rmtree(cache_dir)
    write(backend, "k", "j", ends=SOON)
    assert len(lines(cache_dir)) == 2


def test_a_bucket_that_was_not_read_to_its_end_is_begun_again(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, *(f"k{n}" for n in range(200)), ends=SOON)
    asyncio.run(backend.maintain(SOON + 300))
    removed = asyncio.run(backend.maintain(SOON + 300))
    assert removed is not None
    assert 0 < len(removed) < 200
    other = FileBackend(cache_dir)
    assert made_round(other, SOON + 900) is not None
    assert names(cache_dir) == {"lasts"}
    assert made_round(backend, SOON + 900) == []  # the first one comes too late, and goes on
    asyncio.run(backend.close())


def test_entries_that_were_not_noted_are_found_within_a_day(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, "k", ends=SOON)
    shutil.rmtree(cache_dir / ".expiring")
    assert made_round(backend, SOON + 300) == []
    assert made_round(backend, NOW + DAY) == ["k"]


def test_a_bucket_that_is_full_has_everything_looked_at(
    backend: FileBackend, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_index, "LARGEST", 200)
    monkeypatch.setattr(expiry_index, "LARGEST", 200)
    write(backend, *(f"k{n}" for n in range(50)), ends=SOON)
    assert len(lines(cache_dir)) < 10
    assert len(made_round(backend, SOON + 300) or ()) == 50
    assert lines(cache_dir) == []


def test_cleaning_up_reads_the_buckets_too(backend: FileBackend, cache_dir: Path) -> None:
    write(backend, "k", ends=SOON)
    write(backend, "j", ends=LATER)
    asyncio.run(backend.sweep(SOON + 300))
    assert names(cache_dir) == {"j", "lasts"}
    assert len(lines(cache_dir)) == 1


def test_a_dead_process_has_the_entries_counted_but_not_looked_at(
    cache_dir: Path, looks: list[str]
) -> None:
    backend = FileBackend(cache_dir, max_entries=500)
    write(backend, *(f"k{n}" for n in range(30)))
    assert made_round(backend, NOW) == []
    assert len(looks) == 30
    asyncio.run(backend.close())
    book = Disk(Layout(str(cache_dir))).room.book
    assert book.refresh()
    book.add(7, 0)
    book.after_fork()  # gone without a word, as if it had been killed
    assert made_round(backend, NOW + 1) == []
    assert len(looks) == 30
    assert book.refresh()
    assert book.totals().entries == 30


@pytest.mark.usefixtures("umask_zero")
def test_the_wheel_is_private(backend: FileBackend, cache_dir: Path) -> None:
    write(backend, "k", ends=SOON)
    folder = cache_dir / ".expiring"
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert [oct(path.stat().st_mode)[-3:] for path in folder.iterdir()] == ["600"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at descriptors in /proc")
def test_few_buckets_are_open_and_none_after_closing(backend: FileBackend, cache_dir: Path) -> None:
    folder = cache_dir / ".expiring"
    for n in range(30):
        write(backend, f"k{n}", ends=SOON + n * 1000)
    assert len(set(lines(cache_dir))) == 30
    assert len(list_open_files(folder)) == 9
    asyncio.run(backend.close())
    assert list_open_files(folder) == []
    write(backend, "k", ends=SOON)
    assert len(list_open_files(folder)) == 2
    del backend


def test_a_forked_child_writes_lines_of_its_own(cache_dir: Path) -> None:
    one = Disk(Layout(str(cache_dir)))
    one.write([record("a", expires_at=SOON)])
    one.wheel.after_fork()
    one.write([record("a", expires_at=SOON), record("b", expires_at=SOON)])
    assert len(lines(cache_dir)) == 3
