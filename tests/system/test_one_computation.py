"""Single computation of a missing key by many tasks, threads and processes, also after kills.

`tests.support.scale` describes the sizes. Factories of 3 s and 200 kills need
``AIOCACHE_STRESS=10``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from aiocache_pe import CacheManager, cached
from tests.support.polling import poll_blocking
from tests.support.processes.compute_values import KEY, Log, make_key
from tests.support.scale import make_random, report, scale_size
from tests.support.servers.redis_server import Server

ROOT = Path(__file__).parents[2]
SECONDS = 0.3  # of the factory; 3 in full
PROCESSES, TASKS = 8, 50
RUNNING, KILLS = 6, 20  # 200 in full


class Computer:
    """A process of `tests.support.processes.compute_values`."""

    def __init__(self, mode: str, store: Path | str, log: Path, seconds: float, size: int) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.processes.compute_values", mode, str(store)),
                *(str(log), str(seconds), str(size)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def wait_for(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"

    def start(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def wait(self) -> None:
        assert self._process.wait(60) == 0
        self._process.communicate()


def read_lines(log: Path) -> list[tuple[str, ...]]:
    text = log.read_text() if log.exists() else ""
    complete = text[: text.rfind("\n") + 1]  # without a line that is being written
    return [tuple(line.split()) for line in complete.splitlines()]


def list_computing_pids(log: Path) -> list[int]:
    """Return the process ids of the computations, in order."""
    return [int(pid) for word, _, pid in read_lines(log) if word == "begin"]


def wait_for_computations(log: Path, count: int) -> None:
    poll_blocking(lambda: len(list_computing_pids(log)) >= count, deadline=60)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def store(request: pytest.FixtureRequest, cache_dir: Path) -> Path | str:
    """Return the store that the processes share: a directory, or the URL of a Redis server."""
    if getattr(request, "param", "file") == "file":
        return cache_dir
    server: Server = request.getfixturevalue("own_redis")
    return server.url


@pytest.fixture
def computers(store: Path | str, log: Path) -> Iterator[list[Computer]]:
    """Start processes that are ready to request one key with many tasks each."""
    with ExitStack() as stack:
        computers: list[Computer] = []
        for _ in range(PROCESSES):
            computers.append(Computer("one-key", store, log, scale_size(10) * SECONDS / 10, TASKS))
            stack.callback(computers[-1].kill)
        for computer in computers:
            computer.wait_for("ready")
        yield computers


@pytest.mark.parametrize("store", ["memory", "file"])
async def test_a_thousand_tasks_compute_once(store: str, cache_dir: Path) -> None:
    calls, seconds = list[int](), scale_size(10) * SECONDS / 10

    async def factory() -> int:
        calls.append(1)
        await asyncio.sleep(seconds)
        return 7

    async with CacheManager(store, directory=cache_dir if store == "file" else None) as cache:
        values = await asyncio.gather(*(cache.get_or_set(KEY, factory) for _ in range(1000)))
    assert values == [7] * 1000
    assert calls == [1]
    report(f"1,000 tasks over {store}, a factory of {seconds:g} s: 1 call")


@pytest.mark.parametrize("store", ["memory", "file"])
def test_many_threads_compute_once(store: str, cache_dir: Path) -> None:
    calls, seconds = list[int](), scale_size(10) * SECONDS / 10
    together = threading.Barrier(32)
    cache = CacheManager(store, directory=cache_dir if store == "file" else None)

    @cached(cache=cache)
    def slow() -> int:
        calls.append(1)
        time.sleep(seconds)
        return 7

    def call() -> int:
        together.wait()
        return slow()

    with ThreadPoolExecutor(32) as pool:
        futures = [pool.submit(call) for _ in range(32)]
        assert [future.result() for future in futures] == [7] * 32
    assert calls == [1]
    slow.cache.close()
    report(f"32 threads over {store}, a factory of {seconds:g} s: 1 call")


@pytest.mark.parametrize("store", ["file", "redis"], indirect=True)
def test_many_processes_compute_once(
    computers: list[Computer], log: Path, request: pytest.FixtureRequest
) -> None:
    began = time.monotonic()
    for computer in computers:
        computer.start()
    for computer in computers:
        computer.wait_for("done")
        computer.wait()
    assert len(list_computing_pids(log)) == 1
    report(
        f"{PROCESSES} processes x {TASKS} tasks over {request.node.callspec.id}: 1 call, "
        f"all served after {time.monotonic() - began:.2f} s"
    )


@pytest.mark.parametrize("store", ["file", "redis"], indirect=True)
def test_when_the_computing_process_is_killed_another_takes_over(
    computers: list[Computer], log: Path
) -> None:
    for computer in computers:
        computer.start()
    poll_blocking(lambda: list_computing_pids(log), deadline=30)
    [victim] = [computer for computer in computers if computer.pid == list_computing_pids(log)[0]]
    killed = time.monotonic()
    victim.kill()
    poll_blocking(lambda: len(list_computing_pids(log)) > 1, deadline=30)
    seconds = time.monotonic() - killed
    for computer in computers:
        if computer is not victim:
            computer.wait_for("done")
            computer.wait()
    assert len(list_computing_pids(log)) == 2
    report(
        f"kill -9 of the computing process: another began after {seconds * 1000:.0f} ms, 2 calls"
    )


def test_random_kills_leave_no_key_stuck_and_cause_no_double_computation(
    cache_dir: Path, log: Path
) -> None:
    seed, kills = time.time_ns(), scale_size(KILLS)
    chance, shared_log = make_random(str(seed)), Log(log)
    last = 1_000_000

    def start_computer(to: int) -> Computer:
        return Computer("many-keys", cache_dir, log, 0.03, to)

    began = time.monotonic()
    computers = [start_computer(last) for _ in range(RUNNING)]
    try:
        for number in range(kills):
            wait_for_computations(log, len(list_computing_pids(log)) + 3)
            time.sleep(chance.uniform(0, 0.05))
            # Every second kill ends the process that began the latest computation.
            pid = list_computing_pids(log)[-1] if number % 2 else chance.choice(computers).pid
            at = next((n for n, each in enumerate(computers) if each.pid == pid), 0)
            shared_log.add("kill", "-", computers[at].pid)
            computers[at].kill()
            computers[at] = start_computer(last)
        goal = make_key(len({key for word, key, _ in read_lines(log) if word == "begin"}) + 20)
        poll_blocking(
            lambda: (
                {int(pid) for word, key, pid in read_lines(log) if (word, key) == ("has", goal)}
                >= {computer.pid for computer in computers}
            ),
            deadline=100,
        )
    finally:
        for computer in computers:
            shared_log.add("kill", "-", computer.pid)
            computer.kill()
    computing: dict[str, int] = {}
    killed: set[int] = set()
    again = 0
    for word, key, text in read_lines(log):
        pid = int(text)
        if word == "kill":
            killed.add(pid)
        elif word == "begin":
            assert computing.get(key, pid) in {pid, *killed}, f"{key}: computed twice, seed {seed}"
            again += key in computing
            computing[key] = pid
        elif word == "end":
            computing.pop(key, None)
    report(
        f"{kills} kills among {RUNNING} processes in {time.monotonic() - began:.0f} s: "
        f"{len(list_computing_pids(log))} computations, {again} taken over from a killed process, "
        f"no key stuck, never two at once"
    )
