"""What a dead process noted is taken over once, and what a living one notes is left to it."""

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

NOTES_AND_DIES = """
import asyncio, os, signal, sys
from aiocache_pe.backends.fallback.journal import Journal

async def main():
    await Journal(sys.argv[1]).note(["key", "k\\ud800"], ["area:"])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def files(folder: str) -> list[Path]:
    return list(Path(folder).iterdir())


@pytest.fixture
def orphan(tmp_path: Path) -> str:
    """A folder with the journal of a process that was killed."""
    folder = str(tmp_path / "journals")
    subprocess.run([sys.executable, "-c", NOTES_AND_DIES, folder], check=False)
    assert len(files(folder)) == 1
    return folder


def test_of_many_survivors_one_takes_it_over(orphan: str) -> None:
    survivors = [Journal(orphan) for _ in range(8)]
    adopted: list[bool] = []
    together = threading.Barrier(len(survivors))

    def adopt(journal: Journal) -> Callable[[], None]:
        def work() -> None:
            together.wait()
            adopted.append(journal.adopt())

        return work

    threads = [threading.Thread(target=adopt(journal)) for journal in survivors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(adopted) == [False] * 7 + [True]
    [heir] = [journal for journal in survivors if len(journal)]
    assert heir.pending(10)[:2] == (["key", "k\ud800"], ["area:"])
    assert heir.adopt() is False  # it has it


def test_who_adopted_it_and_dies_leaves_it_to_the_next(orphan: str) -> None:
    first, second = Journal(orphan), Journal(orphan)
    assert first.adopt()
    assert not second.adopt()
    first.after_fork()  # closes its files, as the end of a process does
    assert second.adopt()
    assert len(second) == 3


def test_what_is_not_settled_is_not_removed(orphan: str) -> None:
    journal = Journal(orphan)
    journal.adopt()
    journal.finish()
    assert len(files(orphan)) == 1
    journal.mark_settled(journal.pending(10))
    journal.finish()
    assert files(orphan) == []


async def test_a_living_processs_is_left_to_it(tmp_path: Path) -> None:
    living, other = Journal(str(tmp_path)), Journal(str(tmp_path))
    await living.note(["key"])
    assert other.has_other_journals()
    assert other.adopt() is False
    assert len(other) == 0
    living.mark_settled(living.pending(10))
    living.finish()
    assert not other.has_other_journals()


def test_what_is_damaged_is_passed_over(tmp_path: Path) -> None:
    lines = ['["k", "whole"]', "7", "null", '["x", "no kind"]', '["k", 7]', '["k", "ha']
    (tmp_path / "journal-1-a").write_text("\n".join(lines))
    journal = Journal(str(tmp_path))
    assert journal.adopt()
    assert journal.pending(10)[:2] == (["whole"], [])


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("in the way")
    journal = Journal(str(tmp_path / "journals"))
    assert journal.adopt() is False
    with pytest.raises(OSError, match="journals"):
        await journal.note(["key"])


async def test_what_is_changed_again_while_it_is_settled_is_settled_again(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    await journal.note(["k", "other"])
    taken = journal.pending(10)
    await journal.note(["k"])
    journal.mark_settled(taken)
    assert journal.pending(10).keys == ["k"]
    taken = journal.pending(10)
    journal.open(["k"])
    journal.mark_settled(taken)
    assert journal.pending(10).keys == ["k"]
    journal.mark_settled(journal.pending(10))
    assert len(journal) == 0


async def test_what_cannot_be_written_down_is_not_waiting_to_be_settled(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    journal = Journal(str(tmp_path / "file" / "journals"))
    for _ in range(2):  # and it is an error each time
        with pytest.raises(OSError, match="Not a directory"):
            await journal.note(["k"])
    assert len(journal) == 0


async def test_half_a_line_that_a_full_disk_left_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = Journal(str(tmp_path)), os.write
    await journal.note(["one"])

    def full(fd: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(errno.ENOSPC, "no space left on device")
        return write(fd, data[: len(data) - 7])

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        with pytest.raises(OSError, match="no space"):
            await journal.note(["two"])
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        await journal.note(["three"])
    journal.close()
    assert len(journal) == 0
    heir = Journal(str(tmp_path))
    assert heir.adopt()
    assert heir.pending(10).keys == ["one", "three"]
    heir.close()
