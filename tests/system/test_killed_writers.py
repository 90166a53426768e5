"""Writers that are killed with ``kill -9`` lose nothing they acknowledged, and spoil nothing.

Four processes write into one directory; at random moments one is killed and replaced.
How hard it tries: see `tests.support.scale`.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file import scan
from aiocache_pe.backends.file.atomic_write import TEMPORARY
from aiocache_pe.record import unpack
from tests.support.polling import poll_blocking
from tests.support.processes.write_until_killed import COUNTERS, GONE, SLOTS, State, value_of
from tests.support.scale import make_random, report, scale_size

ROOT = Path(__file__).parents[2]
KILLS = 20
LIFE = 8_000  # bytes of diary after which the longest-lived writer is killed, some 80 writes


class Slot:
    """One of the places of writers: a process that is replaced, and a diary that stays."""

    def __init__(self, directory: Path, number: int) -> None:
        self.number = number
        self.directory = directory
        self.diary = directory.parent / f"diary-{number}"
        self.errors = directory.parent / f"errors-{number}"
        self.lives = 0
        self._process: subprocess.Popen[bytes]
        self._born_at = 0

    def bear(self, seed: str) -> None:
        self._born_at = self.written
        self.lives += 1
        life = f"{seed}/{self.lives}"
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "tests.support.processes.write_until_killed",
                        str(self.directory),
                    ),
                    *(str(self.diary), str(self.number), life),
                ],
                cwd=ROOT,
                stderr=errors,
            )

    @property
    def written(self) -> int:
        return self.diary.stat().st_size if self.diary.exists() else 0

    def wait_for(self, progress: int) -> None:
        """Wait until the writer has come so far, in bytes of its diary."""
        poll_blocking(
            lambda: self.written >= self._born_at + progress or self._process.poll() is not None,
            deadline=60,
        )

    def kill(self) -> None:
        assert self._process.poll() is None, self.errors.read_text()
        self._process.kill()
        self._process.wait()


def possible_states(diaries: list[Path]) -> tuple[dict[str, list[State]], dict[str, list[int]]]:
    """What each key may hold, and between which numbers each counter must be."""
    states: dict[str, list[State]] = {}
    counters: dict[str, list[int]] = {name: [0, 0] for name in COUNTERS}
    for diary in diaries:
        begun: dict[int, dict[str, Any]] = {}
        for line in diary.read_bytes().split(b"\n")[:-1]:  # the last was cut short, or is empty
            note = json.loads(line)
            if "begin" in note:
                begun[note["begin"]] = note["change"]
            changes = note.get("change") or begun.pop(note.get("done"), {})
            for key, state in changes.items():
                if key in counters:
                    counters[key]["begin" in note] += 1
                elif "begin" in note:
                    states.setdefault(key, [GONE]).append(state)
                else:
                    states[key] = [state]
    return states, counters


def entry_files(directory: Path) -> list[Path]:
    areas = [area for area in directory.iterdir() if area.is_dir() and area.name[0] != "."]
    return [file for area in areas for file in area.glob("*/*") if file.is_file()]


async def test_a_killed_writer_loses_no_acknowledged_write(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, kills = secrets.token_hex(4), scale_size(KILLS)
    chance = make_random(seed)
    slots = [Slot(cache_dir, number) for number in range(SLOTS)]
    began = time.monotonic()
    for slot in slots:
        slot.bear(seed)
    try:
        for number in range(kills):
            slot = slots[number % SLOTS]
            slot.wait_for(chance.randrange(1, LIFE))
            slot.kill()
            slot.bear(seed)
    finally:
        for slot in slots:
            slot.kill()
    seconds = time.monotonic() - began

    files = entry_files(cache_dir)
    drafts = [file for file in files if file.name.startswith(TEMPORARY)]
    entries = [file for file in files if file not in drafts]
    for file in entries:
        unpack(file.read_bytes())
    assert not (cache_dir / ".damaged").exists()

    states, counters = possible_states([slot.diary for slot in slots if slot.written])
    async with CacheManager(directory=cache_dir) as cache:
        found = await cache.get_many(states)
        wrong = {
            key: (may_be, repr(found.get(key, GONE))[:100])
            for key, may_be in states.items()
            if not any(found.get(key, GONE) == expected(key, state) for state in may_be)
        }
        assert not wrong, f"seed {seed}"
        totals = {name: await cache.get(name, 0) for name in counters}
        for name, (acknowledged, begun) in counters.items():
            assert acknowledged <= totals[name] <= begun, f"{name}, seed {seed}"
        listed = cache.keys()
        assert {key async for key in listed} == {*found, *(n for n in totals if totals[n])}
        assert (await cache.get_stats()).errors == 0

        later = time.time() + 7200
        monkeypatch.setattr(scan, "time", SimpleNamespace(time=lambda: later))
        await cache.cleanup_expired()
    assert not [file for file in entry_files(cache_dir) if file.name.startswith(TEMPORARY)]
    open_ends = Counter(len(may_be) > 1 for may_be in states.values())
    report(
        f"kill -9: {kills + SLOTS} kills in {seconds:.0f} s, "
        f"{sum(s.written for s in slots) // 1000} kB of diary, {len(states)} keys "
        f"({open_ends[True]} with an unacknowledged write), {len(entries)} files verified, "
        f"{len(drafts)} drafts left and swept, "
        f"increments {sum(c[0] for c in counters.values())} acknowledged, "
        f"{sum(totals.values())} found, {sum(c[1] for c in counters.values())} begun; seed {seed}"
    )


def expected(key: str, state: State) -> Any:
    return GONE if state == GONE else value_of(key, state)


def test_the_diary_would_show_a_lost_write(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    notes = [
        {"begin": 1, "change": {"a": [1, 0], "b": [1, 0], COUNTERS[0]: "+1"}},
        {"done": 1},
        {"begin": 2, "change": {"b": GONE, COUNTERS[0]: "+1"}},
    ]
    diary.write_text("".join(json.dumps(note) + "\n" for note in notes) + '{"done": 2')
    states, counters = possible_states([diary])
    assert states == {"a": [[1, 0]], "b": [[1, 0], GONE]}
    assert counters[COUNTERS[0]] == [1, 2]
