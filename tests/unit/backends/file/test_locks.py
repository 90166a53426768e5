"""A byte lock has one holder among all threads and processes, and is released with it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.backends.file import locks as module
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.exceptions import BackendError, LockTimeoutError
from tests.support.polling import poll_blocking

HOLDER = """
import sys, time
from aiocache_pe.backends.file.locks import ByteLocks
with ByteLocks(sys.argv[1]).hold(7):
    print("held", flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "locks")


@pytest.fixture
def holder(path: str) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds lock 7."""
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_threads_exclude_each_other(path: str) -> None:
    locks, inside, most = ByteLocks(path), 0, list[int]()

    def work() -> None:
        nonlocal inside
        for _ in range(200):
            with locks.hold(7):
                inside += 1
                most.append(inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 1600


def test_descriptions_of_the_file_exclude_each_other(path: str) -> None:
    with ByteLocks(path).hold(7):
        with pytest.raises(LockTimeoutError, match=r"another process holds lock 7 of .*/locks"):
            ByteLocks(path).hold(7).__enter__()
        with ByteLocks(path).hold(8):
            pass
    with ByteLocks(path).hold(7):
        pass


def test_waiting_for_a_thread_ends_after_the_timeout(path: str) -> None:
    locks = ByteLocks(path)
    with locks.hold(7), pytest.raises(LockTimeoutError, match="a thread holds lock 7"):
        locks.hold(7).__enter__()


def test_callers_do_not_wait_in_vain_for_a_lock_that_stays_held(path: str) -> None:
    with ByteLocks(path).hold(7):
        locks = ByteLocks(path)
        with pytest.raises(LockTimeoutError):
            locks.hold(7).__enter__()
        began = time.monotonic()
        for _ in range(100):
            with pytest.raises(LockTimeoutError):
                locks.hold(7).__enter__()
        assert time.monotonic() - began < 2.0  # 5 seconds at 50 ms each
    with locks.hold(7):
        assert locks._overdue == set()


def test_a_timeout_is_a_backend_error_and_an_os_error() -> None:
    assert issubclass(LockTimeoutError, BackendError | TimeoutError)
    assert issubclass(LockTimeoutError, OSError)


def test_a_killed_process_holds_no_lock(path: str, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(LockTimeoutError):
        ByteLocks(path).hold(7).__enter__()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with ByteLocks(path).hold(7):
        pass


def test_large_numbers_can_be_locked(path: str) -> None:
    locks = ByteLocks(path)
    for slot in (0, 1, 2**32 - 1, 2**62 - 1):
        with locks.hold(slot):
            pass
    assert Path(path).stat().st_size == 0


def test_an_exception_inside_releases_the_lock(path: str) -> None:
    locks = ByteLocks(path)
    with pytest.raises(ZeroDivisionError), locks.hold(7):
        raise ZeroDivisionError
    with ByteLocks(path).hold(7):
        pass


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    locks = ByteLocks(str(folder / "locks"), folder.mkdir)
    with locks.hold(1):
        assert folder.is_dir()


def test_a_removed_lock_file_is_created_again(path: str) -> None:
    locks = ByteLocks(path)
    with locks.hold(1):
        Path(path).unlink()
    with locks.hold(1):
        assert Path(path).exists()
        assert os.fstat(locks._fd).st_nlink == 1


def test_a_closed_file_is_opened_again_on_use(path: str) -> None:
    locks = ByteLocks(path)
    with locks.hold(1):
        pass
    locks.close()
    locks.close()
    with locks.hold(1):
        pass


def test_a_link_in_place_of_the_file_is_replaced(tmp_path: Path, path: str) -> None:
    (tmp_path / "victim").write_text("mine")
    Path(path).symlink_to(tmp_path / "victim")
    with ByteLocks(path).hold(1):
        assert not Path(path).is_symlink()
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_forked_child_has_locks_of_its_own(path: str) -> None:
    locks = ByteLocks(path)
    with locks.hold(7):
        child = os.fork()
        if child == 0:  # it must wait for its parent and not share the parent's lock
            status = 1
            try:
                locks.hold(7).__enter__()
            except LockTimeoutError:
                with locks.hold(8):
                    status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(LockTimeoutError):
            ByteLocks(path).hold(7).__enter__()
    poll_blocking(lambda: locks._fd >= 0)


def test_posix_locks_serve_systems_without_locks_of_descriptions(
    path: str, monkeypatch: pytest.MonkeyPatch, holder: subprocess.Popen[str]
) -> None:
    monkeypatch.setattr(module, "_OFD_SETLK", None)
    with pytest.raises(LockTimeoutError):
        ByteLocks(path).hold(7).__enter__()
    with ByteLocks(path).hold(8):
        pass
    holder.kill()
    holder.wait()
    with ByteLocks(path).hold(7):
        pass


def test_an_error_of_the_lock_reaches_the_caller(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with pytest.raises(OSError, match="no locks"):
        ByteLocks(path).hold(1).__enter__()
