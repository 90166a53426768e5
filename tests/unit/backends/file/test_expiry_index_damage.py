"""What somebody or some misfortune does to the wheel spoils no more than need be."""

from __future__ import annotations

import asyncio
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
from tests.support.maintenance_rounds import (
    DAY,
    LATER,
    NOW,
    SOON,
    lines,
    looked_through,
    made_round,
    names,
    plant,
    write,
)
from tests.support.polling import POLL_SECONDS


@pytest.fixture
def backend(cache_dir: Path) -> FileBackend:
    return looked_through(cache_dir)


def test_lines_lead_nowhere_but_to_entries(
    backend: FileBackend, cache_dir: Path, tmp_path: Path
) -> None:
    other = FileBackend(tmp_path / "other")
    write(other, "k", "x", ends=SOON)
    [target] = (path for path in (tmp_path / "other").glob("default/??/*") if "-k" in path.name)
    folder, file = target.parts[-2:]
    (cache_dir / "linked").symlink_to(tmp_path / "other" / "default")
    shutil.rmtree(cache_dir / "default" / folder, ignore_errors=True)
    (cache_dir / "default" / folder).symlink_to(target.parent)
    misplaced = cache_dir / "default" / "00" / "00000000-misplaced"
    misplaced.parent.mkdir(exist_ok=True)
    shutil.copy(target, misplaced)
    plant(
        cache_dir,
        b"../../etc/passwd\n/etc/passwd\n.locks\n\n\0\n\xff\xfe\ndefault/00\n"
        + f"../other/default/{folder}/{file}\nlinked/{folder}/{file}\n".encode()
        + f"default/{folder}/{file}\ndefault/00/{misplaced.name}\n".encode()
        + f"default/../default/{folder}/{file}\ndefault/00/00000000-\0\n".encode()
        + b"default/00/00000000-absent\n"
        + b"x" * 5000,
    )
    assert made_round(backend, SOON + 300) == []
    assert len(names(tmp_path / "other")) == 2
    assert misplaced.exists()
    assert lines(cache_dir) == []


def as_link(bucket: Path, victim: Path) -> None:
    bucket.symlink_to(victim)


def as_second_name(bucket: Path, victim: Path) -> None:
    os.link(victim, bucket)


def as_pipe(bucket: Path, victim: Path) -> None:
    os.mkfifo(bucket)


def as_folder(bucket: Path, victim: Path) -> None:
    bucket.mkdir()


@pytest.mark.parametrize("planted", [as_link, as_second_name, as_pipe, as_folder])
def test_what_was_planted_in_the_place_of_a_bucket_is_not_written(
    backend: FileBackend,
    cache_dir: Path,
    tmp_path: Path,
    planted: Callable[[Path, Path], None],
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    write(backend, "k", ends=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    asyncio.run(backend.close())
    bucket.unlink()
    planted(bucket, victim)
    write(backend, "k", "j", ends=SOON)
    assert victim.read_text() == "precious"
    assert names(cache_dir) == {"k", "j", "lasts"}
    assert made_round(backend, SOON + 300) == []
    assert sorted(made_round(backend, NOW + DAY) or ()) == ["j", "k"]
    assert victim.read_text() == "precious"


def test_what_was_planted_in_the_place_of_the_wheel_is_not_entered(
    backend: FileBackend, cache_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "640").write_text("precious")
    (cache_dir / ".expiring").symlink_to(tmp_path / "victim")
    write(backend, "k", ends=SOON)
    assert made_round(backend, SOON + 300) == []
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["640"]
    assert made_round(backend, NOW + DAY) == ["k"]


@contextmanager
def largest_file(size: int) -> Generator[None, None, None]:
    """Have the kernel refuse what goes beyond, in the midst of a write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_was_cut_off_spoils_no_other(backend: FileBackend, cache_dir: Path) -> None:
    others = [f"k{n}" for n in range(200)]
    write(backend, *others, ends=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    size = bucket.stat().st_size
    with largest_file(size + 9):
        write(backend, "cut", "unnoted", ends=SOON)
    assert bucket.stat().st_size == size + 9
    assert names(cache_dir) == {"lasts", "cut", "unnoted", *others}
    write(FileBackend(cache_dir), "next", ends=SOON)  # which knows nothing of that
    assert sorted(made_round(backend, SOON + 300) or ()) == sorted([*others, "next"])
    assert sorted(made_round(backend, NOW + DAY) or ()) == ["cut", "unnoted"]


def test_what_could_not_be_noted_is_noted_when_it_is_written_again(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, *(f"k{n}" for n in range(200)), ends=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    for room in (9, 0):
        with largest_file(bucket.stat().st_size + room):
            write(backend, f"cut{room}", ends=SOON)
    write(backend, "cut9", "cut0", ends=SOON)
    assert len(made_round(backend, SOON + 300) or ()) == 202
    assert names(cache_dir) == {"lasts"}


def test_lines_that_are_written_while_a_bucket_is_read_are_read(cache_dir: Path) -> None:
    plant(cache_dir, b"\none\n\ntw")
    with (cache_dir / ".expiring" / "640").open("ab", buffering=0) as late:
        batches: Iterator[list[str]] = expiry_index.iter_due(Layout(str(cache_dir)), NOW)
        assert next(batches) == ["one"]
        late.write(b"o\n\nthree\n\nfo")
        assert next(batches) == ["two", "three"]
        late.write(b"ur\n")  # too late
        assert list(batches) == [["four"]]
    assert list((cache_dir / ".expiring").iterdir()) == []


@pytest.mark.parametrize("filling", [b"\0", b"\n", b"x" * 3000 + b"\n", b"\xff\n"])
def test_of_a_gigabyte_of_garbage_no_more_is_read_than_a_bucket_may_hold(
    backend: FileBackend, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, filling: bytes
) -> None:
    monkeypatch.setattr(expiry_index, "LARGEST", 100_000)
    write(backend, "k", ends=SOON)
    [bucket] = (cache_dir / ".expiring").iterdir()
    plant(cache_dir, bucket.read_bytes() + filling * (200_000 // len(filling)))
    bucket.unlink()
    garbage = cache_dir / ".expiring" / "640"
    os.truncate(garbage, 1 << 30)
    steps = list(expiry_index.iter_due(Layout(str(cache_dir)), NOW))
    assert (
        len(steps) <= 4 * 100_000 // expiry_index._STEP
    )  # twice, for who might be writing just then
    assert max(sum(map(len, step)) for step in steps) <= expiry_index._STEP
    assert steps[0][0].endswith("-k")
    assert not garbage.exists()


def test_where_nobody_makes_rounds_the_oldest_buckets_go_and_everything_is_looked_at(
    backend: FileBackend, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_index, "MOST", 5)
    write(backend, *(f"lost{n}" for n in range(3)), ends=NOW - 1000)
    for n in range(1, 20):
        plant(cache_dir, b"", bucket=64 * n)
    write(FileBackend(cache_dir), "k", ends=SOON)
    assert len(list((cache_dir / ".expiring").iterdir())) == 5
    write(backend, "j", ends=LATER)
    assert len(list((cache_dir / ".expiring").iterdir())) == 5
    assert sorted(made_round(backend, NOW + 600) or ()) == ["lost0", "lost1", "lost2"]
    assert names(cache_dir) == {"k", "j", "lasts"}
    assert made_round(backend, SOON + 300) == ["k"]


def test_a_wheel_that_was_removed_while_it_was_open_is_made_anew(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, "k", "j", ends=SOON)
    shutil.rmtree(cache_dir / ".expiring")
    write(backend, "k", ends=SOON)
    assert made_round(backend, SOON + 300) == ["k"]
    assert made_round(backend, NOW + DAY) == ["j"]


def test_after_a_clock_was_put_back_everything_over_goes_within_a_day(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, "k", "long", ends=SOON)
    write(backend, "long", ends=LATER)
    assert made_round(backend, NOW + 3600) == ["k"]  # by a clock an hour ahead
    write(backend, "k", "j", ends=SOON)
    assert made_round(backend, NOW) == []
    assert names(cache_dir) == {"k", "j", "long", "lasts"}
    made_round(backend, SOON + 300)
    assert made_round(backend, NOW + 3600 + DAY) is not None
    assert names(cache_dir) == {"lasts"}


def test_of_two_rounds_at_once_each_entry_is_removed_by_one(
    backend: FileBackend, cache_dir: Path
) -> None:
    write(backend, *(f"k{n}" for n in range(300)), ends=SOON)
    write(backend, *(f"l{n}" for n in range(300)), ends=SOON + 64)
    write(backend, "l0", ends=LATER)
    other = FileBackend(cache_dir)
    removed: list[Head] = []

    async def both() -> None:
        for one in (backend, other):
            assert await one.maintain(SOON + 600) == ()
            (cache_dir / ".swept").unlink()  # as if both had looked before either noted it
        is_over = False
        while not is_over:
            steps = await asyncio.gather(*(one.maintain(SOON + 600) for one in (backend, other)))
            is_over = steps == [None, None]
            for heads in steps:
                removed.extend(heads or ())

    asyncio.run(both())
    assert len(removed) == len({head.key for head in removed}) == 599
    assert names(cache_dir) == {"lasts", "l0"}
    assert {line.partition("-")[2] for line in lines(cache_dir)} == {"l0"}
    assert made_round(backend, LATER + 2000) == ["l0"]


async def test_a_round_that_is_cancelled_is_gone_on_with(cache_dir: Path) -> None:
    backend = await asyncio.to_thread(looked_through, cache_dir)
    await asyncio.to_thread(write, backend, *(f"k{n}" for n in range(300)), ends=SOON)
    for turns in range(6):
        step = asyncio.create_task(backend.maintain(SOON + 300))
        for _ in range(turns):
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
    patience = time.monotonic() + 60
    # A step that was cancelled may be under way; there is no other one meanwhile.
    while await backend.maintain(SOON + 300) is not None or names(cache_dir) != {"lasts"}:
        assert time.monotonic() < patience
        await asyncio.sleep(POLL_SECONDS)
    await backend.close()
    assert list((cache_dir / ".expiring").iterdir()) == []


async def test_a_round_that_cannot_be_noted_is_not_made_and_cleaning_up_still_is(
    cache_dir: Path,
) -> None:
    backend = await asyncio.to_thread(looked_through, cache_dir)
    await asyncio.to_thread(write, backend, "k", ends=SOON)
    (cache_dir / ".swept").unlink()
    (cache_dir / ".swept").mkdir()  # which stops root too, as a directory to read only would not
    os.utime(cache_dir / ".swept", (NOW, NOW))
    for _ in range(2):
        with pytest.raises(OSError, match="swept"):
            await backend.maintain(SOON + 600)
    assert names(cache_dir) == {"k", "lasts"}
    await backend.sweep(SOON + 600)
    assert names(cache_dir) == {"lasts"}
    await backend.close()
