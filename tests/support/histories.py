"""Processes that record histories at once, while they are killed, stopped and cut off."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.history_log import Findings, check_logs
from tests.support.polling import make_environment
from tests.support.processes.record_history import HANG_SECONDS, Settings

ROOT = Path(__file__).parents[2]
MODULE = "tests.support.processes.record_history"
WARNINGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")  # of forks


class Recorders:
    """Processes of `tests.support.processes.record_history`, one for each slot.

    Args:
        folder: the folder of the logs.
        cache: the arguments of their managers.
        slots: the number of processes.
        seconds: the time in which they make calls.
        seed: the seed of all random choices.
        settings: further fields of `Settings`.

    Attributes:
        counts: the number of kills, stops, forks and other disturbances.
        errors: the number of failures that the processes have counted.
    """

    def __init__(
        self,
        folder: Path,
        cache: Mapping[str, Any],
        *,
        slots: int,
        seconds: float,
        seed: str,
        **settings: Any,
    ) -> None:
        self.chance = random.Random(seed)
        self.counts = Counter[str]()
        self.errors = 0
        self._seconds = seconds
        self._until = 0
        self._stack = ExitStack()
        self._settings = [
            Settings(dict(cache), str(folder), slot, slots, seed, **settings)
            for slot in range(slots)
        ]
        self._processes = [self._start(settings) for settings in self._settings]

    def run(self, disturbances: Sequence[Callable[[Recorders], None]]) -> None:
        """Disturb the processes at random until they end.

        Raises:
            AssertionError: a process hangs or fails.
        """
        with self._stack:
            for process in self._processes:
                self._wait_until_ready(process)
            self._until = time.monotonic_ns() + round(self._seconds * 1e9)
            for process in self._processes:
                self._begin(process)
            while disturbances and time.monotonic_ns() < self._until - 300_000_000:
                time.sleep(self.chance.uniform(0.05, 0.25))
                self.chance.choice(disturbances)(self)
            for process in self._processes:
                seconds_left = max(0.0, (self._until - time.monotonic_ns()) / 1e9)
                output, _ = process.communicate(timeout=seconds_left + 2 * HANG_SECONDS)
                assert process.returncode == 0, f"a process ended with {process.returncode}"
                forks, errors = json.loads(output)
                self.counts["forks"] += forks
                self.errors += errors

    def kill(self) -> None:
        """Kill a process, and start its successor."""
        slot = self.chance.randrange(len(self._processes))
        self._processes[slot].kill()
        self._processes[slot].communicate()
        process = self._processes[slot] = self._start(self._settings[slot])
        self._wait_until_ready(process)
        self._begin(process)
        self.counts["kills"] += 1

    def stop(self) -> None:
        """Stop a process for a while."""
        process = self.chance.choice(self._processes)
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.01, 0.4))
        process.send_signal(signal.SIGCONT)
        self.counts["stops"] += 1

    def _start(self, settings: Settings) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, *WARNINGS, "-m", MODULE, json.dumps(asdict(settings))],
            cwd=ROOT,
            env=make_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._stack.callback(_end, process)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

    def _begin(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        process.stdin.write(b"%d\n" % self._until)
        process.stdin.flush()


def record_histories(
    folder: Path,
    cache: Mapping[str, Any],
    disturbances: Sequence[Callable[[Recorders], None]] = (),
    *,
    is_lossy: bool = False,
    delay: float = 0.0,
    **options: Any,
) -> tuple[Recorders, Findings]:
    """Record histories and check them; see `Recorders` and `check_logs`."""
    folder.mkdir()
    recorders = Recorders(folder, cache, **options)
    recorders.run(disturbances)
    return recorders, check_logs(folder, is_lossy=is_lossy, delay=delay)


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:  # which closes its pipes
        process.kill()
