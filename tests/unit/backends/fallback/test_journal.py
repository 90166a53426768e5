"""Journal: one process adopts that of a crashed process, and none adopts that of a running one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aiocache_pe.backends.fallback.journal import Journal

RECORD_AND_CRASH = """
import asyncio, os, signal, sys
from aiocache_pe.backends.fallback.journal import Journal

async def main():
    await Journal(sys.argv[1]).record(["key", "k\\ud800"], ["area:"])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def list_files(folder: str) -> list[Path]:
    return list(Path(folder).iterdir())


@pytest.fixture
def orphan(tmp_path: Path) -> str:
    """Return a directory with the journal of a process that was killed."""
    folder = str(tmp_path / "journals")
    subprocess.run([sys.executable, "-c", RECORD_AND_CRASH, folder], check=False)
    assert len(list_files(folder)) == 1
    return folder


def test_one_of_many_processes_adopts_an_orphan(orphan: str) -> None:
    journals = [Journal(orphan) for _ in range(8)]
    results: list[bool] = []
    barrier = threading.Barrier(len(journals))

    def make_adoption(journal: Journal) -> Callable[[], None]:
        def adopt() -> None:
            barrier.wait()
            results.append(journal.adopt())

        return adopt

    threads = [threading.Thread(target=make_adoption(journal)) for journal in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    [adopter] = [journal for journal in journals if len(journal)]
    assert adopter.get_pending(10)[:2] == (["key", "k\ud800"], ["area:"])
    assert adopter.adopt() is False  # it has adopted the only one


def test_an_adopted_journal_is_adopted_again_after_another_crash(orphan: str) -> None:
    first, second = Journal(orphan), Journal(orphan)
    assert first.adopt()
    assert not second.adopt()
    first.after_fork()  # closes its files, as the end of a process does
    assert second.adopt()
    assert len(second) == 3


def test_a_file_with_unsettled_changes_is_not_removed(orphan: str) -> None:
    journal = Journal(orphan)
    journal.adopt()
    journal.finish()
    assert len(list_files(orphan)) == 1
    journal.mark_settled(journal.get_pending(10))
    journal.finish()
    assert list_files(orphan) == []


async def test_the_journal_of_a_running_process_is_not_adopted(tmp_path: Path) -> None:
    running, other = Journal(str(tmp_path)), Journal(str(tmp_path))
    await running.record(["key"])
    assert other.has_files()
    assert other.adopt() is False
    assert len(other) == 0
    running.mark_settled(running.get_pending(10))
    running.finish()
    assert not other.has_files()


def test_damaged_lines_are_skipped(tmp_path: Path) -> None:
    lines = ['["k", "whole"]', "7", "null", '["x", "no kind"]', '["k", 7]', '["k", "ha']
    (tmp_path / "journal-1-a").write_text("\n".join(lines))
    journal = Journal(str(tmp_path))
    assert journal.adopt()
    assert journal.get_pending(10)[:2] == (["whole"], [])


async def test_a_directory_that_cannot_be_created_raises(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("in the way")
    journal = Journal(str(tmp_path / "journals"))
    assert journal.adopt() is False
    with pytest.raises(OSError, match="journals"):
        await journal.record(["key"])


async def test_a_change_made_during_its_settlement_is_settled_again(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    await journal.record(["k", "other"])
    batch = journal.get_pending(10)
    await journal.record(["k"])
    journal.mark_settled(batch)
    assert journal.get_pending(10).keys == ["k"]
    batch = journal.get_pending(10)
    journal.confirm(["k"])
    journal.mark_settled(batch)
    assert journal.get_pending(10).keys == ["k"]
    journal.mark_settled(journal.get_pending(10))
    assert len(journal) == 0


async def test_a_change_that_cannot_be_recorded_is_not_pending(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    journal = Journal(str(tmp_path / "file" / "journals"))
    for _ in range(2):  # it raises each time
        with pytest.raises(OSError, match="Not a directory"):
            await journal.record(["k"])
    assert len(journal) == 0


async def test_an_incomplete_line_on_a_full_disk_damages_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = Journal(str(tmp_path)), os.write
    await journal.record(["one"])

    def write_until_full(fd: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(errno.ENOSPC, "no space left on device")
        return write(fd, data[: len(data) - 7])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_until_full)
        with pytest.raises(OSError, match="no space"):
            await journal.record(["two"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        await journal.record(["three"])
    journal.close()
    assert len(journal) == 0
    adopter = Journal(str(tmp_path))
    assert adopter.adopt()
    assert adopter.get_pending(10).keys == ["one", "three"]
    adopter.close()
