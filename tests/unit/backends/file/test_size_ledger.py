"""The book tells how much a directory holds, whoever changes it and however they end."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aiocache_pe.backends.base import Change
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import FOLDERS, Layout
from aiocache_pe.backends.file.scan import RecountRound, recount
from aiocache_pe.backends.file.size_ledger import UNBOUNDED, Bounds, SizeLedger, Totals
from tests.support.file_records import record
from tests.support.polling import make_environment

BOUNDS = Bounds(max_entries=1000)
DIES = """
import os, signal, sys
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from tests.support.file_records import record
disk = Disk(Layout(sys.argv[1]))
disk.write([record(f"dying{n}") for n in range(10)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def layout(cache_dir: Path) -> Layout:
    return Layout(str(cache_dir))


def opened(layout: Layout, bounds: Bounds = BOUNDS) -> SizeLedger:
    book = SizeLedger(layout.book, layout.make_root, bounds)
    assert book.refresh()
    return book


def truth(disk: Disk) -> Totals:
    """What there is, by looking."""
    files = list(Path(disk.layout.root).glob("default/??/*"))
    return Totals(len(files), sum(file.stat().st_size for file in files))


def test_there_is_no_book_before_somebody_has_bounds(layout: Layout) -> None:
    disk = Disk(layout)
    disk.write([record()])
    assert disk.room.book.add(1, 1) is None
    assert disk.room.book.totals() == (0, 0)
    assert not Path(layout.book).exists()


def test_rows_of_several_are_one_sum(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    assert one.add(3, 300) == (3, 300)
    assert two.add(-1, -100) == (2, 200)
    assert one.totals() == (2, 200)
    one.close()
    assert two.totals() == (2, 200)
    three = opened(layout)
    assert three.add(1, 50) == (3, 250)
    assert not three.was_left
    assert Path(layout.book).stat().st_size < 100  # the row that was given back serves again


def test_many_processes_at_once_are_one_sum(layout: Layout) -> None:
    books = list[SizeLedger]()
    for number in range(1, 71):
        books.append(opened(layout))
        assert books[-1].add(1, 10) == (number, number * 10)
    assert {book.totals() for book in books} == {(70, 700)}
    for book in books:
        book.close()


def test_threads_that_add_at_once_lose_nothing(layout: Layout) -> None:
    books = [opened(layout), opened(layout)]
    threads = [
        threading.Thread(target=lambda book=book: [book.add(1, 10) for _ in range(200)])
        for book in books * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books[0].totals() == (800, 8000)


def test_every_change_is_in_the_book_also_of_those_without_bounds(layout: Layout) -> None:
    opened(layout)
    disk = Disk(layout)

    def put(name: str, payload: bytes) -> Change:
        return lambda before: record(name, payload)

    disk.write([record(f"k{n}", b"x" * n) for n in range(50)])
    disk.write([record("k7", b"replaced")])
    disk.update("default:k8", put("k8", b"updated"))
    disk.update("default:new", put("new", b"made"))
    disk.update("default:k9", lambda before: None)
    disk.update("default:absent", lambda before: None)
    disk.update("default:k10", lambda before: before)
    disk.delete(["default:k1", "default:absent"])
    disk.delete(["default:k2"], lambda head: False)
    disk.write([record("other")])
    path = Path(layout.path("default:k3"))
    path.write_bytes(b"d" * path.stat().st_size)
    disk.read(["default:k3"])  # damaged, so it is set aside
    assert not path.exists()
    assert disk.room.book.totals() == truth(disk)
    assert disk.clear("default:") == 49
    assert disk.room.book.totals() == (0, 0)


def test_what_the_library_keeps_for_itself_is_not_counted(layout: Layout) -> None:
    opened(layout)
    disk = Disk(layout)
    disk.update("default+stats:counters", lambda before: record("x"))
    long = "a" * 200
    disk.update(f"{long}+tags:t", lambda before: record("x"))
    assert disk.room.book.totals() == (0, 0)
    assert disk.clear("default+stats:") == 1
    assert disk.room.book.totals() == (0, 0)


def test_who_is_killed_leaves_a_row_that_is_gone_on_with(layout: Layout) -> None:
    opened(layout).close()
    command = [sys.executable, "-c", DIES, layout.root]
    root = Path(__file__).parents[4]
    killed = subprocess.run(command, cwd=root, env=make_environment(), timeout=60, check=False)
    assert killed.returncode == -9
    book = opened(layout)
    assert book.was_left
    assert book.totals().entries == 10
    book.add(-10, 0)
    assert book.totals().entries == 0


def test_bounds_are_noted_for_who_has_none(layout: Layout) -> None:
    assert SizeLedger(layout.book, layout.make_root, UNBOUNDED).record_noted == UNBOUNDED
    opened(layout, Bounds(7, None))
    assert opened(layout, UNBOUNDED).record_noted == (7, None)
    opened(layout, Bounds(None, 9))
    assert opened(layout, UNBOUNDED).record_noted == (None, 9)


@pytest.mark.parametrize("content", [b"", b"nonsense of some length, longer than a header is"])
def test_a_book_that_was_spoilt_begins_anew(layout: Layout, content: bytes) -> None:
    book = opened(layout)
    book.add(5, 5)
    book.close()
    Path(layout.book).write_bytes(content)
    book = opened(layout)
    assert book.counts == 0
    recount(layout, book)
    assert book.totals() == (0, 0)
    Path(layout.book).write_bytes(b"")  # while it is open
    assert book.counts == 0
    assert book.add(1, 1) == (1, 1)


def test_a_directory_that_was_removed_has_a_new_book(layout: Layout) -> None:
    book = opened(layout)
    book.add(5, 5)
    Path(layout.book).unlink()
    assert book.refresh()
    assert book.totals() == (0, 0)


def test_a_count_puts_right_what_was_done_by_hand(layout: Layout) -> None:
    book = opened(layout)
    disk = Disk(layout)
    disk.write([record(str(n)) for n in range(100)])
    for file in list(Path(layout.root).glob("default/??/*"))[:40]:
        file.unlink()
    recount(layout, book)
    assert book.totals() == truth(disk) == (60, truth(disk).weight)


def test_of_two_counts_at_once_one_counts(layout: Layout) -> None:
    disk = Disk(layout)
    disk.write([record(str(n)) for n in range(100)])
    book = opened(layout)
    counts = [RecountRound(layout, book), RecountRound(layout, book)]
    for folder in FOLDERS:
        for count in counts:
            count.folder(folder)
    for count in counts:
        count.settle()
    assert book.totals() == truth(disk)
    assert book.counts == 1


def counted_meanwhile(disk: Disk, book: SizeLedger, per_folder: int) -> None:
    """Count, while entries come and go: as many of each, so that the whole stays the same."""
    count = RecountRound(disk.layout, book)
    for n, folder in enumerate(FOLDERS):
        count.folder(folder)
        disk.write([record(f"{n}-{m}") for m in range(per_folder)])
        disk.delete([f"default:{n - 1}-{m}" for m in range(per_folder)])
    count.settle()


def test_a_book_is_put_right_while_others_change_things(layout: Layout) -> None:
    """On the average nothing is lost: the error is a small part of what was changed."""
    disk, book = Disk(layout), opened(layout)
    disk.write([record(f"old{n}") for n in range(500)])
    recount(layout, book)
    book.add(-400, -40_000)
    counted_meanwhile(disk, book, 2)
    assert abs(book.totals().entries - truth(disk).entries) < 110  # five deviations


@pytest.mark.parametrize("per_folder", [0, 1, 8])
def test_a_count_spoils_no_book_for_what_chance_may_be(layout: Layout, per_folder: int) -> None:
    disk, book = Disk(layout), opened(layout)
    disk.write([record(f"old{n}") for n in range(500)])
    recount(layout, book)
    counted_meanwhile(disk, book, per_folder)
    assert book.totals() == truth(disk)


def test_a_book_that_is_emptied_during_a_count_is_begun_anew_by_the_next(layout: Layout) -> None:
    disk, book = Disk(layout), opened(layout)
    disk.write([record(str(n)) for n in range(100)])
    recount(layout, book)
    count = RecountRound(layout, book)
    Path(layout.book).write_bytes(b"")
    for folder in FOLDERS:
        count.folder(folder)
    count.settle()
    book.close()
    book = opened(layout)
    assert not book.is_whole
    recount(layout, book)
    assert book.totals() == truth(disk)


def test_changes_are_counted_on_whoever_comes_and_goes(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    before = one.changes
    for _ in range(3):
        one.add(1, 100)
        two.add(0, 0)  # which is none
    assert one.changes == two.changes == before + 3
    two.close()
    assert one.changes == before + 3
    assert not opened(layout).was_left
    assert one.changes >= before + 3


def test_a_folder_in_which_no_book_can_be_opened_is_an_error(layout: Layout) -> None:
    layout.make_root()
    Path(layout.book).mkdir()
    assert not SizeLedger(layout.book, layout.make_root, UNBOUNDED).refresh()
    with pytest.raises(OSError, match=r"\.book"):
        SizeLedger(layout.book, layout.make_root, BOUNDS).refresh()
