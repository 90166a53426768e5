"""Journal: one process adopts that of a crashed process, and none adopts that of a running one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from aiocache_pe.backends.fallback.journal import EVERYTHING, Journal, Pattern

RECORD_AND_CRASH = """
import asyncio, os, signal, sys
from aiocache_pe.backends.fallback.journal import Journal, Pattern

async def main():
    await Journal(sys.argv[1]).record(2.0, 1.0, ["key", "k\\ud800"], [Pattern("area:", "v*")])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def settle_all(journal: Journal) -> None:
    journal.mark_settled([*journal.get_keys(1000).items(), *journal.get_patterns().items()])


def list_files(folder: str) -> list[Path]:
    return list(Path(folder).glob("journal-*"))


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
    assert list(adopter.get_keys(10)) == ["key", "k\ud800"]
    assert list(adopter.get_patterns()) == [Pattern("area:", "v*")]
    assert [change.since for change in adopter.get_keys(10).values()] == [1.0, 1.0]
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
    settle_all(journal)
    journal.finish()
    assert list_files(orphan) == []


async def test_the_journal_of_a_running_process_is_not_adopted(tmp_path: Path) -> None:
    running, other = Journal(str(tmp_path)), Journal(str(tmp_path))
    await running.record(2.0, 1.0, ["key"])
    assert other.has_files()
    assert other.adopt() is False
    assert len(other) == 0
    settle_all(running)
    running.finish()
    assert not other.has_files()


async def test_a_directory_that_cannot_be_created_raises(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("in the way")
    journal = Journal(str(tmp_path / "journals"))
    assert journal.adopt() is False
    with pytest.raises(OSError, match="journals"):
        await journal.record(2.0, 1.0, ["key"])


async def test_a_change_made_during_its_settlement_is_settled_again(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    await journal.record(2.0, 1.0, ["k", "other"])
    changes = journal.get_keys(10)
    await journal.record(3.0, 1.0, ["k"])
    journal.mark_settled(changes.items())
    assert list(journal.get_keys(10)) == ["k"]
    changes = journal.get_keys(10)
    journal.confirm(4.0, 1.0, ["k"])
    journal.mark_settled(changes.items())
    assert list(journal.get_keys(10)) == ["k"]
    settle_all(journal)
    assert len(journal) == 0


async def test_a_change_that_cannot_be_recorded_is_not_pending(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    journal = Journal(str(tmp_path / "file" / "journals"))
    for _ in range(2):  # it raises each time
        with pytest.raises(OSError, match="file"):
            await journal.record(2.0, 1.0, ["k"])
    assert len(journal) == 0


async def test_an_incomplete_line_on_a_full_disk_damages_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = Journal(str(tmp_path)), os.write
    await journal.record(2.0, 1.0, ["one"])

    def write_until_full(fd: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(errno.ENOSPC, "no space left on device")
        return write(fd, data[: len(data) - 7])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_until_full)
        with pytest.raises(OSError, match="no space"):
            await journal.record(2.0, 1.0, ["two"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        await journal.record(2.0, 1.0, ["three"])
    journal.close()
    assert len(journal) == 0
    adopter = Journal(str(tmp_path))
    assert adopter.adopt()
    assert list(adopter.get_keys(10)) == ["one", "three"]
    adopter.close()


def make_valid(path: Path) -> None:
    journal = Journal(str(path.parent))
    asyncio.run(journal.record(2.0, 1.0, ["one", "two", "three"]))
    journal.close()
    next(path.parent.glob("journal-*")).rename(path)


def sign(text: str) -> bytes:
    return f"{crc32(text.encode()):08x} {text}\n".encode()


def truncate(path: Path) -> None:
    make_valid(path)
    path.write_bytes(path.read_bytes()[:-3])


def change_byte(path: Path) -> None:
    make_valid(path)
    path.write_bytes(path.read_bytes().replace(b"one", b"one!"))


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 30)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_link(path: Path) -> None:
    target = path.parent.parent / "target"
    target.write_text("mine")
    path.symlink_to(target)


def make_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": truncate,
    "changed": change_byte,
    "garbage": lambda path: path.write_bytes(os.urandom(10_000)),
    "long line": lambda path: path.write_bytes(b"x" * 1_000_000),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "sparse": make_sparse,
    "nested": lambda path: path.write_bytes(sign("[" * 100_000)),
    "null": lambda path: path.write_bytes(sign("null")),
    "number": lambda path: path.write_bytes(sign("[7, 1, 1, true]")),
    "no time": lambda path: path.write_bytes(sign('["k", null, 1, true]')),
    "text as time": lambda path: path.write_bytes(sign('["k", "1", 1, true]')),
    "NaN": lambda path: path.write_bytes(sign('["k", NaN, 1, true]')),
    "no pattern": lambda path: path.write_bytes(sign('[["p"], 1, 1, true]')),
    "number as pattern": lambda path: path.write_bytes(sign('[["p", 7], 1, 1, true]')),
    "other format": lambda path: path.write_bytes(b'["k", "key"]\n'),
    "pipe": os.mkfifo,
    "socket": make_socket,
    "link": make_link,
    "link to itself": lambda path: path.symlink_to(path),
    "link to nothing": lambda path: path.symlink_to(path.parent / "absent"),
    "folder": Path.mkdir,
    "full folder": make_full_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_counts_as_a_clear_of_everything(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    folder.mkdir()
    DAMAGES[damage](folder / "journal-1-a")
    journal, other = Journal(str(folder)), Journal(str(folder))
    began = time.monotonic()
    assert journal.adopt()
    assert time.monotonic() - began < 1
    assert EVERYTHING in journal.get_patterns()
    assert not other.adopt()
    settle_all(journal)
    journal.finish()
    assert not journal.has_files()
    assert not other.adopt()
    if damage == "link":
        assert (tmp_path / "target").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root creates devices")
def test_a_device_counts_as_a_clear_of_everything(tmp_path: Path) -> None:
    os.mknod(tmp_path / "journal-1-a", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    journal = Journal(str(tmp_path))
    assert journal.adopt()
    assert EVERYTHING in journal.get_patterns()
    settle_all(journal)
    journal.finish()
    assert list_files(str(tmp_path)) == []


async def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "journal-1-a").write_text("")
    (tmp_path / "journals").symlink_to("elsewhere")
    journal = Journal(str(tmp_path / "journals"))
    assert not journal.has_files()
    assert not journal.adopt()
    with pytest.raises(OSError, match="no link"):
        await journal.record(2.0, 1.0, ["k"])
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["journal-1-a"]


async def test_a_journal_without_descriptors_is_not_damaged(
    orphan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(orphan)

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(OSError, match="too many"):
            journal.adopt()
    assert journal.adopt()
    assert EVERYTHING not in journal.get_patterns()


async def test_many_changes_are_recorded_in_several_files(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    keys = [f"{n}" * 20_000 for n in range(1, 9)]
    for n in range(60):
        await journal.record(2.0, 1.0, [f"{n}:{key}" for key in keys])
    assert len(list_files(str(tmp_path))) > 1
    journal.close()
    adopter = Journal(str(tmp_path))
    assert adopter.adopt()
    assert len(adopter) == 480
    adopter.mark_settled(adopter.get_keys(400).items())
    adopter.compact()
    assert len(list_files(str(tmp_path))) == 1
    adopter.close()
    last = Journal(str(tmp_path))
    assert last.adopt()
    assert len(last) == 80
    settle_all(last)
    last.compact()
    assert list_files(str(tmp_path)) == []


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o277, 0o777])
async def test_files_and_folders_are_private(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        journal = Journal(str(tmp_path / "cache" / ".fallback-1" / ".journals"))
        await journal.record(2.0, 1.0, ["k"])
    finally:
        os.umask(before)
    paths = [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
    assert len(paths) == 6
    for path in paths:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
        assert not path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert (tmp_path / "cache" / ".gitignore").read_text() == "*\n"
