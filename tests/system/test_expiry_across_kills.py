"""Rounds remove exactly the expired entries while four processes write and one is killed.

The rounds read only the entries that the expiry index lists; none may walk through all entries.
`tests.support.scale` multiplies the number of writes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.scan import count_entries
from tests.support.processes.line_protocol import start_process
from tests.support.processes.write_expiring import LONG, plan_writes
from tests.support.scale import is_full_run, make_random, report, scale_size

WRITERS, PHASES = 4, 4
KILLED_SLOT, KILL_PHASE = 1, 2
WRITES = scale_size(100)  # of a writer in a phase
PHASE_SECONDS = 4_000.0  # longer than the short lifetimes
SEED = "7"


class Writer:
    """A writer process, and the states that its acknowledgements allow for its entries."""

    def __init__(self, slot: int, process: subprocess.Popen[str]) -> None:
        self.slot = slot
        self.process = process
        self.expiries: dict[str, list[float | None]] = {}
        """Possible times of expiry of each key, ``None`` for no expiry; no item without a write."""
        self.is_killed = False

    def begin(self, phase: int, now: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([phase, now, WRITES]) + "\n")
        self.process.stdin.flush()

    def wait(self, phase: int, now: float, kill_after: int | None = None) -> None:
        """Wait until all writes, or a number of them, are acknowledged; then kill if a number."""
        assert self.process.stdout is not None
        acknowledged: set[int] = set()
        while len(acknowledged) < (kill_after or WRITES):
            line = self.process.stdout.readline()
            assert line, f"a writer ended, {self.process.wait()}"
            acknowledged.add(int(line))
        if kill_after is not None:
            self.process.kill()
            self.process.wait()
            self.is_killed = True
            acknowledged.update(map(int, self.process.stdout))
        for number, (key, ttl) in enumerate(plan_writes(self.slot, phase, WRITES)):
            expiry = None if ttl is None else now + ttl
            if number in acknowledged:
                self.expiries[key] = [expiry]
            else:
                self.expiries.setdefault(key, [0.0]).append(expiry)


@pytest.fixture
def writers(cache_dir: Path) -> Iterator[list[Writer]]:
    """Start two writers with a bound, so that all keep a size ledger, and two without."""
    with ExitStack() as stack:
        writers = []
        for slot in range(WRITERS):
            bound = 1_000_000 if slot % 2 else 0
            process = start_process(
                "tests.support.processes.write_expiring", cache_dir, slot, bound
            )
            writers.append(Writer(slot, stack.enter_context(process)))
        yield writers


async def run_round(backend: FileBackend, now: float) -> int:
    """Make a round if one is due; return the number of removed entries."""
    removed = 0
    while (heads := await backend.maintain(now)) is not None:
        assert all(head.is_removable(now, stale=True) for head in heads)
        removed += len(heads)
    return removed


async def scan_expiries(backend: FileBackend) -> dict[str, float | None]:
    """Return the time of expiry of each stored entry."""
    return {
        head.key.removeprefix("default:"): head.expires_at
        async for heads in backend.scan("default:")
        for head in heads
    }


def find_faults(writers: list[Writer], stored: dict[str, float | None], now: float) -> list[str]:
    """Describe entries that are expired but stored, live but missing, or of an older write."""
    faults = []
    for writer in writers:
        for key, expiries in writer.expiries.items():
            live = [expiry for expiry in expiries if expiry is None or expiry > now]
            if key in stored and stored[key] not in live:
                faults.append(f"{key} expires at {stored[key]}, of {expiries}, now {now}")
            elif key not in stored and len(live) == len(expiries):
                faults.append(f"{key} is missing, of {expiries}, now {now}")
    return faults


@pytest.mark.timeout(600 if is_full_run() else 120)
def test_expired_entries_are_removed_and_live_ones_stay(
    cache_dir: Path, writers: list[Writer]
) -> None:
    backend = FileBackend(cache_dir)
    cache_dir.mkdir(mode=0o700)
    began = time.monotonic()
    first = now = time.time() + PHASE_SECONDS
    kill_after = make_random(SEED).randrange(1, WRITES)
    removed = 0
    with asyncio.Runner() as runner:
        assert runner.run(run_round(backend, first)) == 0  # the daily walk
        for phase in range(PHASES):
            for writer in writers:
                if not writer.is_killed:
                    writer.begin(phase, now)
            removed += runner.run(run_round(backend, now))  # during the writes
            for writer in writers:
                if not writer.is_killed:
                    is_doomed = phase == KILL_PHASE and writer.slot == KILLED_SLOT
                    writer.wait(phase, now, kill_after if is_doomed else None)
            runner.run(backend.sweep(now))  # during the rounds of the writers
            assert find_faults(writers, runner.run(scan_expiries(backend)), now) == []
            now += PHASE_SECONDS

        for writer in writers:
            if not writer.is_killed:
                writer.process.communicate(timeout=60)
                assert writer.process.returncode == 0
        removed += runner.run(run_round(backend, now))
        assert (cache_dir / ".walked").stat().st_mtime == pytest.approx(first)
        live = runner.run(scan_expiries(backend))
        assert find_faults(writers, live, now) == []
        runner.run(backend.sweep(now + LONG + LONG / 8))
        permanent = runner.run(scan_expiries(backend))
        assert find_faults(writers, permanent, now + LONG) == []
        assert set(permanent) == {key for key in live if live[key] is None}

        ledger = Disk(Layout(str(cache_dir))).bounds.ledger
        assert ledger.ensure_open()
        assert ledger.get_totals() == count_entries(f"{cache_dir}/default")
        assert list((cache_dir / ".expiring").iterdir()) == []
        runner.run(backend.close())
    report(
        f"{WRITERS} processes, {PHASES * WRITES} writes each, one killed after {kill_after} "
        f"writes of a phase: {removed} entries removed in rounds of this process, {len(live)} "
        f"live, {len(permanent)} without expiry; {time.monotonic() - began:.1f} s"
    )
