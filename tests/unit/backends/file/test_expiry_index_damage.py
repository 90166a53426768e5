"""Damage to the expiry index, accidental or malicious, has limited effects."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aiocache_pe.backends.file import expiry_index
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.record import Head
from tests.support.file_store import (
    DAY,
    LATER,
    NOW,
    SOON,
    list_entry_names,
    list_index_lines,
    make_walked_store,
    plant_bucket,
    run_round,
    write_entries,
)
from tests.support.polling import POLL_SECONDS


@pytest.fixture
def backend(cache_dir: Path) -> FileBackend:
    return make_walked_store(cache_dir)


def test_lines_lead_to_entries_of_the_directory_only(
    backend: FileBackend, cache_dir: Path, tmp_path: Path
) -> None:
    other = FileBackend(tmp_path / "other")
    write_entries(other, "k", "x", expires_at=SOON)
    [target] = (path for path in (tmp_path / "other").glob("default/??/*") if "-k" in path.name)
    folder, file = target.parts[-2:]
    (cache_dir / "linked").symlink_to(tmp_path / "other" / "default")
    shutil.rmtree(cache_dir / "default" / folder, ignore_errors=True)
    (cache_dir / "default" / folder).symlink_to(target.parent)
    misplaced = cache_dir / "default" / "00" / "00000000-misplaced"
    misplaced.parent.mkdir(exist_ok=True)
    shutil.copy(target, misplaced)
    plant_bucket(
        cache_dir,
        b"../../etc/passwd\n/etc/passwd\n.locks\n\n\0\n\xff\xfe\ndefault/00\n"
        + f"../other/default/{folder}/{file}\nlinked/{folder}/{file}\n".encode()
        + f"default/{folder}/{file}\ndefault/00/{misplaced.name}\n".encode()
        + f"default/../default/{folder}/{file}\ndefault/00/00000000-\0\n".encode()
        + b"default/00/00000000-absent\n"
        + b"x" * 5000,
    )
    assert run_round(backend, SOON + 300) == []
    assert len(list_entry_names(tmp_path / "other")) == 2
    assert misplaced.exists()
    assert list_index_lines(cache_dir) == []


def plant_link(bucket: Path, victim: Path) -> None:
    bucket.symlink_to(victim)


def plant_second_name(bucket: Path, victim: Path) -> None:
    os.link(victim, bucket)


def plant_pipe(bucket: Path, victim: Path) -> None:
    os.mkfifo(bucket)


def plant_folder(bucket: Path, victim: Path) -> None:
    bucket.mkdir()


@pytest.mark.parametrize("plant", [plant_link, plant_second_name, plant_pipe, plant_folder])
def test_a_planted_file_in_place_of_a_bucket_is_not_written(
    backend: FileBackend,
    cache_dir: Path,
    tmp_path: Path,
    plant: Callable[[Path, Path], None],
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    write_entries(backend, "k", expires_at=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    asyncio.run(backend.close())
    bucket.unlink()
    plant(bucket, victim)
    write_entries(backend, "k", "j", expires_at=SOON)
    assert victim.read_text() == "precious"
    assert list_entry_names(cache_dir) == {"k", "j", "permanent"}
    found = sorted(run_round(backend, SOON + 300) or ())
    assert found == ([] if plant is plant_second_name else ["j", "k"])
    assert sorted(found + (run_round(backend, NOW + DAY) or [])) == ["j", "k"]
    assert victim.read_text() == "precious"


def test_a_link_in_place_of_the_index_is_replaced(
    backend: FileBackend, cache_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "640").write_text("precious")
    (cache_dir / ".expiring").symlink_to(tmp_path / "victim")
    write_entries(backend, "k", expires_at=SOON)
    assert run_round(backend, SOON + 300) == ["k"]
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["640"]


@contextmanager
def limit_file_size(size: int) -> Generator[None, None, None]:
    """Let the kernel refuse bytes beyond a size, also within a write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_was_cut_off_damages_no_other(backend: FileBackend, cache_dir: Path) -> None:
    others = [f"k{n}" for n in range(200)]
    write_entries(backend, *others, expires_at=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    size = bucket.stat().st_size
    with limit_file_size(size + 9):
        write_entries(backend, "cut", "unlisted", expires_at=SOON)
    assert bucket.stat().st_size == size + 9
    assert list_entry_names(cache_dir) == {"permanent", "cut", "unlisted", *others}
    write_entries(FileBackend(cache_dir), "next", expires_at=SOON)  # by another process
    assert sorted(run_round(backend, SOON + 300) or ()) == sorted([*others, "next"])
    assert sorted(run_round(backend, NOW + DAY) or ()) == ["cut", "unlisted"]


def test_a_line_that_could_not_be_written_is_written_with_the_next_version(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, *(f"k{n}" for n in range(200)), expires_at=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    for space in (9, 0):
        with limit_file_size(bucket.stat().st_size + space):
            write_entries(backend, f"cut{space}", expires_at=SOON)
    write_entries(backend, "cut9", "cut0", expires_at=SOON)
    assert len(run_round(backend, SOON + 300) or ()) == 202
    assert list_entry_names(cache_dir) == {"permanent"}


def test_lines_that_are_written_while_a_bucket_is_read_are_read(cache_dir: Path) -> None:
    plant_bucket(cache_dir, b"\none\n\ntw")
    with (cache_dir / ".expiring" / "640").open("ab", buffering=0) as late:
        batches: Iterator[list[str]] = expiry_index.iter_due(Layout(str(cache_dir)), NOW)
        assert next(batches) == ["one"]
        late.write(b"o\n\nthree\n\nfo")
        assert next(batches) == ["two", "three"]
        late.write(b"ur\n")  # after the last read before the removal
        assert list(batches) == [["four"]]
    assert list((cache_dir / ".expiring").iterdir()) == []


@pytest.mark.parametrize("filling", [b"\0", b"\n", b"x" * 3000 + b"\n", b"\xff\n"])
def test_no_more_is_read_of_a_gigabyte_of_garbage_than_a_bucket_may_hold(
    backend: FileBackend, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, filling: bytes
) -> None:
    monkeypatch.setattr(expiry_index, "MAX_BUCKET_BYTES", 100_000)
    write_entries(backend, "k", expires_at=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    plant_bucket(cache_dir, bucket.read_bytes() + filling * (200_000 // len(filling)))
    bucket.unlink()
    garbage = cache_dir / ".expiring" / "640"
    os.truncate(garbage, 1 << 30)
    batches = list(expiry_index.iter_due(Layout(str(cache_dir)), NOW))
    # The bucket is read twice, the second time for lines written just before its removal.
    assert len(batches) <= 4 * 100_000 // expiry_index._BATCH_BYTES
    assert max(sum(map(len, batch)) for batch in batches) <= expiry_index._BATCH_BYTES
    assert batches[0][0].endswith("-k")
    assert not garbage.exists()


def test_too_many_buckets_lose_the_oldest_and_cause_a_walk(
    backend: FileBackend, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_index, "MAX_BUCKETS", 5)
    write_entries(backend, *(f"lost{n}" for n in range(3)), expires_at=NOW - 1000)
    for n in range(1, 20):
        plant_bucket(cache_dir, b"", end=64 * n)
    write_entries(FileBackend(cache_dir), "k", expires_at=SOON)
    assert len(list((cache_dir / ".expiring").iterdir())) == 5
    write_entries(backend, "j", expires_at=LATER)
    assert len(list((cache_dir / ".expiring").iterdir())) == 5
    assert sorted(run_round(backend, NOW + 600) or ()) == ["lost0", "lost1", "lost2"]
    assert list_entry_names(cache_dir) == {"k", "j", "permanent"}
    assert run_round(backend, SOON + 300) == ["k"]


def test_an_index_that_was_removed_while_open_is_created_again(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, "k", "j", expires_at=SOON)
    shutil.rmtree(cache_dir / ".expiring")
    write_entries(backend, "k", expires_at=SOON)
    assert run_round(backend, SOON + 300) == ["k"]
    assert run_round(backend, NOW + DAY) == ["j"]


def test_expired_entries_are_removed_within_a_day_after_a_clock_was_set_back(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, "k", "long", expires_at=SOON)
    write_entries(backend, "long", expires_at=LATER)
    assert run_round(backend, NOW + 3600) == ["k"]  # by a clock that is an hour ahead
    write_entries(backend, "k", "j", expires_at=SOON)
    assert run_round(backend, NOW) == []
    assert list_entry_names(cache_dir) == {"k", "j", "long", "permanent"}
    run_round(backend, SOON + 300)
    assert run_round(backend, NOW + 3600 + DAY) is not None
    assert list_entry_names(cache_dir) == {"permanent"}


def test_each_entry_is_removed_by_one_of_two_concurrent_rounds(
    backend: FileBackend, cache_dir: Path
) -> None:
    write_entries(backend, *(f"k{n}" for n in range(300)), expires_at=SOON)
    write_entries(backend, *(f"l{n}" for n in range(300)), expires_at=SOON + 64)
    write_entries(backend, "l0", expires_at=LATER)
    backends = (backend, FileBackend(cache_dir))
    removed: list[Head] = []

    async def run_both() -> None:
        for one in backends:
            assert await one.maintain(SOON + 600) == ()
            (cache_dir / ".swept").unlink()  # as if both had read it before either wrote it
        steps: list[object] = []
        while steps != [None, None]:
            results = await asyncio.gather(*(one.maintain(SOON + 600) for one in backends))
            steps = list(results)
            for heads in results:
                removed.extend(heads or ())

    asyncio.run(run_both())
    assert len(removed) == len({head.key for head in removed}) == 599
    assert list_entry_names(cache_dir) == {"permanent", "l0"}
    assert {line.partition("-")[2] for line in list_index_lines(cache_dir)} == {"l0"}
    assert run_round(backend, LATER + 2000) == ["l0"]


async def test_a_round_goes_on_after_a_cancelled_step(cache_dir: Path) -> None:
    backend = await asyncio.to_thread(make_walked_store, cache_dir)
    names = [f"k{n}" for n in range(300)]
    await asyncio.to_thread(write_entries, backend, *names, expires_at=SOON)
    for ticks in range(6):
        step = asyncio.create_task(backend.maintain(SOON + 300))
        for _ in range(ticks):
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
    deadline = time.monotonic() + 60
    # A cancelled step may still be in progress, and meanwhile `maintain` returns None.
    while await backend.maintain(SOON + 300) is not None or list_entry_names(cache_dir) != {
        "permanent"
    }:
        assert time.monotonic() < deadline
        await asyncio.sleep(POLL_SECONDS)
    await backend.close()
    assert list((cache_dir / ".expiring").iterdir()) == []


async def test_a_round_that_cannot_be_recorded_is_not_made_but_a_sweep_is(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Layout, path: str, flags: int) -> int:
        raise OSError(errno.EROFS, "the file system is read-only", path)

    backend = await asyncio.to_thread(make_walked_store, cache_dir)
    await asyncio.to_thread(write_entries, backend, "k", expires_at=SOON)
    monkeypatch.setattr(Layout, "open_owned", refuse)
    for _ in range(2):
        with pytest.raises(OSError, match="swept"):
            await backend.maintain(SOON + 600)
    assert list_entry_names(cache_dir) == {"k", "permanent"}
    await backend.sweep(SOON + 600)
    assert list_entry_names(cache_dir) == {"permanent"}
    await backend.close()
