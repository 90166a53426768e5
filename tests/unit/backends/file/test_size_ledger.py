"""The size ledger has the true totals of a directory after all changes, crashes and recounts."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import zip_longest
from pathlib import Path

import pytest

from aiocache_pe.backends.base import Change
from aiocache_pe.backends.file import scan
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.scan import iter_recount, recount
from aiocache_pe.backends.file.size_ledger import UNBOUNDED, Bounds, SizeLedger, Totals
from tests.support.file_store import list_entry_files, make_record
from tests.support.polling import make_environment

BOUNDS = Bounds(max_entries=1000)
WRITER = """
import os, signal, sys
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from tests.support.file_store import make_record
disk = Disk(Layout(sys.argv[1]))
disk.write([make_record(f"killed{n}") for n in range(10)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def layout(cache_dir: Path) -> Layout:
    return Layout(str(cache_dir))


@pytest.fixture
def step_per_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each step of a recount count one folder."""
    monkeypatch.setattr(scan, "COUNT_STEP", 0)


def open_ledger(layout: Layout, bounds: Bounds = BOUNDS) -> SizeLedger:
    ledger = SizeLedger(layout.ledger, layout.make_root, bounds)
    assert ledger.ensure_open()
    return ledger


def count_files(disk: Disk) -> Totals:
    """Return the true totals."""
    files = list_entry_files(Path(disk.layout.root))
    return Totals(len(files), sum(file.stat().st_size for file in files))


def test_a_process_without_bounds_creates_no_ledger(layout: Layout) -> None:
    disk = Disk(layout)
    disk.write([make_record()])
    assert disk.bounds.ledger.add(1, 1) is None
    assert disk.bounds.ledger.get_totals() == (0, 0)
    assert not Path(layout.ledger).exists()


def test_the_totals_are_the_sum_of_all_rows(layout: Layout) -> None:
    one, two = open_ledger(layout), open_ledger(layout)
    assert one.add(3, 300) == (3, 300)
    assert two.add(-1, -100) == (2, 200)
    assert one.get_totals() == (2, 200)
    one.close()
    assert two.get_totals() == (2, 200)
    three = open_ledger(layout)
    assert three.add(1, 50) == (3, 250)
    assert not three.needs_recount
    assert Path(layout.ledger).stat().st_size < 100  # the released row is used again


def test_the_totals_include_the_rows_of_many_processes(layout: Layout) -> None:
    ledgers = list[SizeLedger]()
    for number in range(1, 71):
        ledgers.append(open_ledger(layout))
        assert ledgers[-1].add(1, 10) == (number, number * 10)
    assert {ledger.get_totals() for ledger in ledgers} == {(70, 700)}
    for ledger in ledgers:
        ledger.close()


def test_concurrent_threads_lose_no_change(layout: Layout) -> None:
    ledgers = [open_ledger(layout), open_ledger(layout)]
    threads = [
        threading.Thread(target=lambda ledger=ledger: [ledger.add(1, 10) for _ in range(200)])
        for ledger in ledgers * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledgers[0].get_totals() == (800, 8000)


def test_every_change_is_recorded_by_processes_without_bounds_too(layout: Layout) -> None:
    open_ledger(layout)
    disk = Disk(layout)

    def put(name: str, payload: bytes) -> Change:
        return lambda before: make_record(name, payload)

    disk.write([make_record(f"k{n}", b"x" * n) for n in range(50)])
    disk.write([make_record("k7", b"replaced")])
    disk.update("default:k8", put("k8", b"updated"))
    disk.update("default:new", put("new", b"created"))
    disk.update("default:k9", lambda before: None)
    disk.update("default:absent", lambda before: None)
    disk.update("default:k10", lambda before: before)
    disk.delete(["default:k1", "default:absent"])
    disk.delete(["default:k2"], lambda head: False)
    disk.write([make_record("other")])
    path = Path(layout.get_path("default:k3"))
    path.write_bytes(b"d" * path.stat().st_size)
    disk.read(["default:k3"])  # damaged, so it is moved aside
    assert not path.exists()
    assert disk.bounds.ledger.get_totals() == count_files(disk)
    assert disk.clear("default:") == 49
    assert disk.bounds.ledger.get_totals() == (0, 0)


def test_internal_records_are_not_counted(layout: Layout) -> None:
    open_ledger(layout)
    disk = Disk(layout)
    disk.update("default+stats:counters", lambda before: make_record("x"))
    long = "a" * 200
    disk.update(f"{long}+tags:t", lambda before: make_record("x"))
    assert disk.bounds.ledger.get_totals() == (0, 0)
    assert disk.clear("default+stats:") == 1
    assert disk.bounds.ledger.get_totals() == (0, 0)


def test_the_row_of_a_killed_process_is_taken_over(layout: Layout) -> None:
    open_ledger(layout).close()
    command = [sys.executable, "-c", WRITER, layout.root]
    root = Path(__file__).parents[4]
    killed = subprocess.run(command, cwd=root, env=make_environment(), timeout=60, check=False)
    assert killed.returncode == -9
    ledger = open_ledger(layout)
    assert ledger.needs_recount
    assert ledger.get_totals().entries == 10
    ledger.add(-10, 0)
    assert ledger.get_totals().entries == 0


def test_bounds_are_recorded_for_processes_without_bounds(layout: Layout) -> None:
    closed = SizeLedger(layout.ledger, layout.make_root, UNBOUNDED)
    assert closed.recorded_bounds == UNBOUNDED
    open_ledger(layout, Bounds(7, None))
    assert open_ledger(layout, UNBOUNDED).recorded_bounds == (7, None)
    open_ledger(layout, Bounds(None, 9))
    assert open_ledger(layout, UNBOUNDED).recorded_bounds == (None, 9)


@pytest.mark.parametrize("content", [b"", b"nonsense of some length, longer than a header is"])
def test_a_damaged_ledger_starts_from_zero(layout: Layout, content: bytes) -> None:
    ledger = open_ledger(layout)
    ledger.add(5, 5)
    ledger.close()
    Path(layout.ledger).write_bytes(content)
    ledger = open_ledger(layout)
    assert ledger.recounts == 0
    recount(layout, ledger)
    assert ledger.get_totals() == (0, 0)
    Path(layout.ledger).write_bytes(b"")  # while it is open
    assert ledger.recounts == 0
    assert ledger.add(1, 1) == (1, 1)


def test_a_directory_that_was_removed_gets_a_new_ledger(layout: Layout) -> None:
    ledger = open_ledger(layout)
    ledger.add(5, 5)
    Path(layout.ledger).unlink()
    assert ledger.ensure_open()
    assert ledger.get_totals() == (0, 0)


def test_a_recount_corrects_for_files_that_were_removed_manually(layout: Layout) -> None:
    ledger = open_ledger(layout)
    disk = Disk(layout)
    disk.write([make_record(str(n)) for n in range(100)])
    for file in list_entry_files(Path(layout.root))[:40]:
        file.unlink()
    recount(layout, ledger)
    assert ledger.get_totals() == count_files(disk) == (60, count_files(disk).size)


@pytest.mark.usefixtures("step_per_folder")
def test_one_of_two_concurrent_recounts_corrects_the_ledger(layout: Layout) -> None:
    disk = Disk(layout)
    disk.write([make_record(str(n)) for n in range(100)])
    ledger = open_ledger(layout)
    for _ in zip_longest(iter_recount(layout, ledger), iter_recount(layout, ledger)):
        pass
    assert ledger.get_totals() == count_files(disk)
    assert ledger.recounts == 1


def recount_during_changes(disk: Disk, ledger: SizeLedger, per_folder: int) -> None:
    """Recount while as many entries are added as removed, so that their number stays the same."""
    for n, _ in enumerate(iter_recount(disk.layout, ledger)):
        disk.write([make_record(f"{n}-{m}") for m in range(per_folder)])
        disk.delete([f"default:{n - 1}-{m}" for m in range(per_folder)])


@pytest.mark.usefixtures("step_per_folder")
@pytest.mark.parametrize("per_folder", [0, 1, 8])
def test_a_recount_during_changes_is_right_within_one_percent(
    layout: Layout, per_folder: int
) -> None:
    """Concurrent changes leave an error, by chance, that is a small part of their number."""
    disk, ledger = Disk(layout), open_ledger(layout)
    disk.write([make_record(f"old{n}") for n in range(500)])
    recount(layout, ledger)
    ledger.add(-400, -40_000)  # as if changes had not been recorded
    recount_during_changes(disk, ledger, per_folder)
    entries = count_files(disk).entries
    error = abs(ledger.get_totals().entries - entries)
    assert error <= entries / 100 if per_folder else error == 0


@pytest.mark.usefixtures("step_per_folder")
def test_a_ledger_that_is_truncated_during_a_recount_is_corrected_by_the_next(
    layout: Layout,
) -> None:
    disk, ledger = Disk(layout), open_ledger(layout)
    disk.write([make_record(str(n)) for n in range(100)])
    recount(layout, ledger)
    steps = iter_recount(layout, ledger)
    next(steps)
    Path(layout.ledger).write_bytes(b"")
    assert len(list(steps)) == 255
    ledger.close()
    ledger = open_ledger(layout)
    assert not ledger.is_complete
    recount(layout, ledger)
    assert ledger.get_totals() == count_files(disk)


def test_a_folder_in_place_of_the_ledger_is_replaced_by_a_process_with_bounds(
    layout: Layout,
) -> None:
    layout.make_root()
    Path(layout.ledger).mkdir()
    assert not SizeLedger(layout.ledger, layout.make_root, UNBOUNDED).ensure_open()
    assert SizeLedger(layout.ledger, layout.make_root, BOUNDS).ensure_open()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 400, bytes(100_000), b"aiocpe1\n" + b"\x11" * 400, b"aiocpe1\n\xff"],
    ids=["empty", "garbage", "zeros", "garbage numbers", "cut"],
)
@pytest.mark.parametrize("is_open", [True, False])
def test_an_overwritten_ledger_costs_no_entry_and_refuses_no_write(
    layout: Layout, content: bytes, is_open: bool
) -> None:
    disk = Disk(layout, Bounds(max_entries=50))
    disk.write([make_record(str(n)) for n in range(40)])
    if not is_open:
        disk.close()
    Path(layout.ledger).write_bytes(content)
    for n in range(40, 45):
        assert not isinstance(disk.write([make_record(str(n))])[0], OSError)
    assert count_files(disk).entries == 45
    disk.bounds.enforce()
    assert disk.bounds.ledger.get_totals() == count_files(disk)
    disk.write([make_record(str(n)) for n in range(45, 80)])
    assert count_files(disk).entries == 50
