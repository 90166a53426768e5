"""Writers that are killed with ``kill -9`` lose no acknowledged write and damage no entry.

Four processes write into one directory. At random moments one of them is killed and replaced.
`tests.support.scale` multiplies the number of kills.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.atomic_write import TEMPORARY_PREFIX
from aiocache_pe.record import unpack
from tests.support.polling import poll_blocking
from tests.support.processes.write_until_killed import COUNTERS, DELETED, SLOTS, State, make_value
from tests.support.scale import make_random, report, scale_size

ROOT = Path(__file__).parents[2]
KILLS = 20
MAX_LIFETIME = 8_000  # bytes of log until a writer is killed, some 80 writes


class Slot:
    """A slot for writers: a process that is replaced, and a log that remains."""

    def __init__(self, directory: Path, number: int) -> None:
        self.number = number
        self.directory = directory
        self.log = directory.parent / f"log-{number}"
        self.errors = directory.parent / f"errors-{number}"
        self.starts = 0
        self._process: subprocess.Popen[bytes]
        self._started_at = 0

    def start(self, seed: str) -> None:
        self._started_at = self.written
        self.starts += 1
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "tests.support.processes.write_until_killed",
                        str(self.directory),
                    ),
                    *(str(self.log), str(self.number), f"{seed}/{self.starts}"),
                ],
                cwd=ROOT,
                stderr=errors,
            )

    @property
    def written(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def wait_for(self, progress: int) -> None:
        """Wait until the writer has logged a number of bytes."""
        poll_blocking(
            lambda: self.written >= self._started_at + progress or self._process.poll() is not None,
            deadline=60,
        )

    def kill(self) -> None:
        assert self._process.poll() is None, self.errors.read_text()
        self._process.kill()
        self._process.wait()


def compute_states(logs: list[Path]) -> tuple[dict[str, list[State]], dict[str, list[int]]]:
    """Return the possible states of each key, and the bounds of each counter, by the logs."""
    states: dict[str, list[State]] = {}
    counters: dict[str, list[int]] = {name: [0, 0] for name in COUNTERS}
    for log in logs:
        begun: dict[int, dict[str, Any]] = {}
        for line in log.read_bytes().split(b"\n")[:-1]:  # the last line is incomplete or empty
            item = json.loads(line)
            if "begin" in item:
                begun[item["begin"]] = item["change"]
            changes = item.get("change") or begun.pop(item.get("done"), {})
            for key, state in changes.items():
                if key in counters:
                    counters[key]["begin" in item] += 1
                elif "begin" in item:
                    states.setdefault(key, [DELETED]).append(state)
                else:
                    states[key] = [state]
    return states, counters


def list_files(directory: Path) -> list[Path]:
    areas = [area for area in directory.iterdir() if area.is_dir() and area.name[0] != "."]
    return [file for area in areas for file in area.glob("*/*") if file.is_file()]


async def test_a_killed_writer_loses_no_acknowledged_write(cache_dir: Path) -> None:
    seed, kills = secrets.token_hex(4), scale_size(KILLS)
    chance = make_random(seed)
    slots = [Slot(cache_dir, number) for number in range(SLOTS)]
    began = time.monotonic()
    for slot in slots:
        slot.start(seed)
    try:
        for number in range(kills):
            slot = slots[number % SLOTS]
            slot.wait_for(chance.randrange(1, MAX_LIFETIME))
            slot.kill()
            slot.start(seed)
    finally:
        for slot in slots:
            slot.kill()
    seconds = time.monotonic() - began

    files = list_files(cache_dir)
    temporary = [file for file in files if file.name.startswith(TEMPORARY_PREFIX)]
    entries = [file for file in files if file not in temporary]
    for file in entries:
        unpack(file.read_bytes())
    assert not (cache_dir / ".damaged").exists()

    states, counters = compute_states([slot.log for slot in slots if slot.written])
    async with CacheManager(directory=cache_dir) as cache:
        found = await cache.get_many(states)
        wrong = {
            key: (possible, repr(found.get(key, DELETED))[:100])
            for key, possible in states.items()
            if not any(found.get(key, DELETED) == get_expected(key, state) for state in possible)
        }
        assert not wrong, f"seed {seed}"
        totals = {name: await cache.get(name, 0) for name in counters}
        for name, (acknowledged, begun) in counters.items():
            assert acknowledged <= totals[name] <= begun, f"{name}, seed {seed}"
        keys = cache.keys()
        assert {key async for key in keys} == {*found, *(n for n in totals if totals[n])}
        assert (await cache.get_stats()).errors == 0

        await cache.cleanup_expired()
    assert not [file for file in list_files(cache_dir) if file.name.startswith(TEMPORARY_PREFIX)]
    is_uncertain = Counter(len(possible) > 1 for possible in states.values())
    report(
        f"kill -9: {kills + SLOTS} kills in {seconds:.0f} s, "
        f"{sum(s.written for s in slots) // 1000} kB of logs, {len(states)} keys "
        f"({is_uncertain[True]} with an unacknowledged write), {len(entries)} files verified, "
        f"{len(temporary)} temporary files left and swept, "
        f"increments {sum(c[0] for c in counters.values())} acknowledged, "
        f"{sum(totals.values())} found, {sum(c[1] for c in counters.values())} begun; seed {seed}"
    )


def get_expected(key: str, state: State) -> Any:
    return DELETED if state == DELETED else make_value(key, state)


def test_a_log_reveals_a_lost_write(tmp_path: Path) -> None:
    log = tmp_path / "log"
    items = [
        {"begin": 1, "change": {"a": [1, 0], "b": [1, 0], COUNTERS[0]: "+1"}},
        {"done": 1},
        {"begin": 2, "change": {"b": DELETED, COUNTERS[0]: "+1"}},
    ]
    log.write_text("".join(json.dumps(item) + "\n" for item in items) + '{"done": 2')
    states, counters = compute_states([log])
    assert states == {"a": [[1, 0]], "b": [[1, 0], DELETED]}
    assert counters[COUNTERS[0]] == [1, 2]
