"""The command line as users run it: in a process, with pipes, at a terminal."""

from __future__ import annotations

import errno
import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = (sys.executable, "-m", "aiocache_pe")
CTRL_C = "\x03"
TIMEOUT_SECONDS = 60.0  # a command takes less on the slowest machine
RETRY_SECONDS = 3.0  # Ctrl-C is pressed again after this time

# Makes the terminal the controlling one of the process, so that Ctrl-C typed there reaches it.
_AT_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """Exit code and output of a command that has ended."""

    code: int
    out: str
    err: str = ""


def make_environment(**more: str) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": ""}
    return os.environ | own | more


def run_program(
    directory: Path, *args: str, stdin: str | bytes = "", **more: str
) -> CompletedCommand:
    """Run the program in a directory, without a terminal."""
    done = subprocess.run(
        [*MODULE, *args],
        cwd=directory,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        env=make_environment(**more),
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return CompletedCommand(done.returncode, done.stdout.decode(), done.stderr.decode())


def run_at_terminal(
    directory: Path, *args: str, wait_for: str = "", typed: str = "", **more: str
) -> CompletedCommand:
    """Run the program at a terminal.

    Args:
        directory: its working directory.
        args: its arguments.
        wait_for: text that must appear before anything is typed.
        typed: text to type; empty for none.
        more: environment variables.
    """
    ours, theirs = pty.openpty()
    env = make_environment(COLUMNS="300", TERM="xterm", **more)
    command = [sys.executable, "-c", _AT_TERMINAL, *MODULE, *args]
    with subprocess.Popen(
        command, cwd=directory, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        output, end, pressed = b"", time.monotonic() + TIMEOUT_SECONDS, False
        try:
            os.close(theirs)
            while (chunk := _read(ours)) is None or chunk:
                assert time.monotonic() < end, f"still running, with the output {output!r}"
                output += chunk or b""
                again = chunk is None and typed == CTRL_C
                if typed and wait_for.encode() in output and (again or not pressed):
                    os.write(ours, typed.encode())
                    pressed = True
            code = process.wait(TIMEOUT_SECONDS)
        finally:
            process.kill()
            os.close(ours)
    return CompletedCommand(code, output.decode().replace("\r\n", "\n"))


def press_ctrl_c(process: subprocess.Popen[str]) -> int:
    """Press Ctrl-C until a process ends, and return its exit code.

    One signal may not be enough: if it arrives just before a process starts to wait for input,
    the process handles it only after the wait.
    """
    for _ in range(round(TIMEOUT_SECONDS / RETRY_SECONDS)):
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(RETRY_SECONDS)
        except subprocess.TimeoutExpired:
            pass
    process.kill()
    raise AssertionError("the process does not end on Ctrl-C")


def install_slow_store(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a third-party store, ``slow://SECONDS``, that prints a line before it clears."""
    info = site / "slow_store-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aiocache_pe.backends]\nslow = slow_store:Slow\n")
    (site / "slow_store.py").write_text(_SLOW_STORE)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def _read(terminal: int) -> bytes | None:
    """Return the next output at a terminal: ``None`` after a timeout, empty at its end."""
    if not select.select([terminal], [], [], RETRY_SECONDS)[0]:
        return None
    try:
        return os.read(terminal, 65536)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise


_SLOW_STORE = """
import asyncio
import sys


class Slow:
    name = "slow"

    def __init__(self, url):
        self.seconds = float(url.partition("://")[2])

    async def read(self, keys):
        return {}

    async def write(self, records):
        return records

    async def delete(self, keys, only=None):
        return []

    async def update(self, key, change):
        return change(None)

    async def scan(self, prefix, pattern=None):
        raise RuntimeError("no list today")
        yield []

    async def clear(self, prefix):
        print("clearing", file=sys.stderr, flush=True)
        await asyncio.sleep(self.seconds)
        return 3

    async def close(self):
        pass
"""
