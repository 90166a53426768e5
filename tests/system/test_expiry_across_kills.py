"""What ends goes, and nothing else, while four processes write and one of them is killed.

Nothing is looked at but what was noted to end: no round of these may go through everything.
How hard it tries: see `tests.support.scale`.
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
from aiocache_pe.backends.file.scan import count
from tests.support.processes.line_protocol import talking
from tests.support.processes.write_expiring import LONG, plan
from tests.support.scale import is_full_run, make_random, report, scale_size

WRITERS, PHASES, DOOMED, DEATH = 4, 4, 1, 2
WRITES = scale_size(100)  # of a writer in a phase
LATER = 4_000.0  # seconds from phase to phase: what was to end soon is over then
SEED = "7"


class Writer:
    """A writer, and what its entries may be by what it acknowledged."""

    def __init__(self, slot: int, process: subprocess.Popen[str]) -> None:
        self.slot = slot
        self.process = process
        self.ends: dict[str, list[float | None]] = {}
        """By key: when it may end, ``None`` for never. Without a key nothing was written."""
        self.was_killed = False

    def begin(self, phase: int, now: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([phase, now, WRITES]) + "\n")
        self.process.stdin.flush()

    def wait(self, phase: int, now: float, kill_after: int | None = None) -> None:
        """Wait until everything is acknowledged, or so much, and kill it then."""
        assert self.process.stdout is not None
        acknowledged: set[int] = set()
        while len(acknowledged) < (kill_after or WRITES):
            line = self.process.stdout.readline()
            assert line, f"a writer ended, {self.process.wait()}"
            acknowledged.add(int(line))
        if kill_after is not None:
            self.process.kill()
            self.process.wait()
            self.was_killed = True
            acknowledged.update(map(int, self.process.stdout))
        for number, (key, ttl) in enumerate(plan(self.slot, phase, WRITES)):
            end = None if ttl is None else now + ttl
            if number in acknowledged:
                self.ends[key] = [end]
            else:
                self.ends.setdefault(key, [0.0]).append(end)


@pytest.fixture
def writers(cache_dir: Path) -> Iterator[list[Writer]]:
    """Two of them with a bound, which has all of them keep a book, and two without."""
    with ExitStack() as stack:
        made = []
        for slot in range(WRITERS):
            bound = 1_000_000 if slot % 2 else 0
            writer = talking("tests.support.processes.write_expiring", cache_dir, slot, bound)
            made.append(Writer(slot, stack.enter_context(writer)))
        yield made


async def made_round(backend: FileBackend, now: float) -> int:
    """Make a round if there is one to make; how many entries it removed."""
    removed = 0
    while (heads := await backend.maintain(now)) is not None:
        assert all(head.is_removable(now, stale=True) for head in heads)
        removed += len(heads)
    return removed


async def there(backend: FileBackend) -> dict[str, float | None]:
    """When what is there ends, by key."""
    return {
        head.key.removeprefix("default:"): head.expires_at
        async for heads in backend.scan("default:")
        for head in heads
    }


def wrong(writers: list[Writer], found: dict[str, float | None], now: float) -> list[str]:
    """What is there that is over, or not there and alive, or not what was written last."""
    told = []
    for writer in writers:
        for key, ends in writer.ends.items():
            lives = [end for end in ends if end is None or end > now]
            if key in found and found[key] not in lives:
                told.append(f"{key} ends {found[key]}, of {ends}, now {now}")
            elif key not in found and len(lives) == len(ends):
                told.append(f"{key} is not there, of {ends}, now {now}")
    return told


@pytest.mark.timeout(600 if is_full_run() else 120)
def test_what_is_over_goes_and_what_lives_stays(cache_dir: Path, writers: list[Writer]) -> None:
    backend = FileBackend(cache_dir)
    cache_dir.mkdir(mode=0o700)
    began = time.monotonic()
    first = now = time.time() + LATER
    death = make_random(SEED).randrange(1, WRITES)
    removed = 0
    with asyncio.Runner() as runner:
        assert runner.run(made_round(backend, first)) == 0  # it looks at everything, once a day
        for phase in range(PHASES):
            for writer in writers:
                if not writer.was_killed:
                    writer.begin(phase, now)
            removed += runner.run(made_round(backend, now))  # while they write
            for writer in writers:
                if not writer.was_killed:
                    dies = phase == DEATH and writer.slot == DOOMED
                    writer.wait(phase, now, death if dies else None)
            runner.run(backend.sweep(now))  # beside whatever round somebody else makes
            assert wrong(writers, runner.run(there(backend)), now) == []
            now += LATER
        for writer in writers:
            if not writer.was_killed:
                writer.process.communicate(timeout=60)
                assert writer.process.returncode == 0
        removed += runner.run(made_round(backend, now))
        assert (cache_dir / ".walked").stat().st_mtime == pytest.approx(first)
        found = runner.run(there(backend))
        assert wrong(writers, found, now) == []
        runner.run(backend.sweep(now + LONG + LONG / 8))
        lasting = runner.run(there(backend))
        assert wrong(writers, lasting, now + LONG) == []
        assert set(lasting) == {key for key in found if found[key] is None}
        book = Disk(Layout(str(cache_dir))).room.book
        assert book.refresh()
        assert book.totals() == count(f"{cache_dir}/default")
        assert list((cache_dir / ".expiring").iterdir()) == []
        runner.run(backend.close())
    report(
        f"{WRITERS} processes, {PHASES * WRITES} writes each, one killed after {death} of a "
        f"phase: {removed} removed in rounds of this process, {len(found)} left alive, "
        f"{len(lasting)} without an end; {time.monotonic() - began:.1f} s"
    )
