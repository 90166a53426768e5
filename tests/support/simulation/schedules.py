"""Random schedules of callers over a simulated loop, and the promises that each must keep.

``python -m tests.support.simulation.schedules KIND SEED`` runs one schedule again and prints its
log. ``... KIND FIRST LAST`` runs the seeds of a range until one fails.

A schedule has a few callers of two keys. They read a source, whose version grows, through
`CacheManager.get_or_set` and other reads. They change the source, and then remove its entry in any
way. They are cancelled at any step. The promises:

- A read that begins after a change was acknowledged returns no older version.
- One caller computes a key at a time, as long as the key was not changed.
- Only a cancelled call raises `CancelledError`, and only a computation raises its error.
- Each caller owns its value: no change by another caller is in it.
- Every call ends within a minute, also if computations need each other, and no task remains.
- Counters and registers are linearizable.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from typing import Any

from aiocache_pe import BackendError, CacheManager, LoadTimeoutError, refresh
from aiocache_pe.backends.base import Backend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.events import BackendFailed
from aiocache_pe.runtime.randomness import RANDOM
from tests.support.history import ABSENT, Operation, is_linearizable
from tests.support.internals import wait_for_refreshes
from tests.support.simulation.loop import SimulatedClock, SimulatedLoop
from tests.support.simulation.store import Faults, SimulatedStore

KINDS = {
    "memory": None,
    "store": Faults(),
    "faults": Faults(refuse=0.05, lose=0.05, restart=0.02),
}
"""Kinds of schedules: over the memory store, or over a simulated store with its faults."""

COMMAND = "python -m tests.support.simulation.schedules"
KEYS: tuple[str, ...] = ("k0", "k1")
LONGEST_CALL = 60.0
"""Seconds in which each call must end; a computation takes a second."""
MAX_DEPTH = 3
"""The greatest number of computations within each other."""
TAG = "tag"
MANNERS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"lock": False},
    {"ttl": 1.0, "stale_ttl": 5.0},
    {"ttl": 1.0, "stale_ttl": 5.0, "soft_timeout": 0.05},
    {"ttl": 1.0, "refresh_ahead": 0.3},
    {"hard_timeout": 0.2},
)
"""Arguments of `CacheManager.get_or_set`."""

_failures: ContextVar[list[object]] = ContextVar("failures")


class FactoryError(Exception):
    """The error of a computation."""


class Computation:
    """A computation of a key that was not changed yet.

    Attributes:
        key: the key.
        rivals: computations of the same key that began while it ran.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.rivals: list[Computation] = []


class Schedule:
    """One schedule: callers, their source, and the checks.

    Args:
        kind: one of `KINDS`.
        seed: the seed of all random choices.
    """

    def __init__(self, kind: str, seed: int) -> None:
        RANDOM.seed(seed)
        self._chance = chance = random.Random(seed)
        self._loop = SimulatedLoop(chance)
        clock, faults = SimulatedClock(self._loop), KINDS[kind]
        self._is_lossy = faults is not None and faults.restart > 0
        store: Backend = MemoryBackend(clock=clock)
        if faults is not None:
            store = SimulatedStore(chance, clock, faults)
        self._cache = CacheManager(store, clock=clock)
        # Callers also set values in half of the schedules, and make one change at a time there.
        self._turn = asyncio.Lock() if chance.random() < 0.5 else None
        self._versions = dict.fromkeys(KEYS, 1)
        self._floors = dict.fromkeys(KEYS, 0)
        self._changes = Counter[str]()
        self._running: list[Computation] = []
        self._has_rivals = False
        self._history: list[Operation] = []
        self._ticks = 0
        self.log: list[str] = []

    def run(self) -> int:
        """Run the schedule, and return the number of steps.

        Raises:
            AssertionError: a promise is broken.
        """
        self._loop.run(self._main())
        assert not self._has_rivals, "two computations of one key ran at once"
        history = sorted(self._history, key=lambda one: one.called)
        assert is_linearizable(history, is_lossy=self._is_lossy), "\n".join(
            ["no order explains the answers:", *map(str, history)]
        )
        assert not self._loop.errors, self._loop.errors
        return self._loop.steps

    async def _main(self) -> None:
        self._cache.subscribe(BackendFailed, lambda event: _failures.get([]).append(event))
        callers = range(self._chance.randint(2, 4))
        await asyncio.gather(*[self._run_caller(number) for number in callers])
        await self._check_stored()
        await wait_for_refreshes(self._cache)
        await self._check_stored()
        await self._cache.close()

    async def _run_caller(self, number: int) -> None:
        calls = (self._read, self._read, self._read, self._peek, self._change, self._operate)
        for _ in range(self._chance.randint(1, 4)):
            await self._pause()
            began = self._loop.time()
            work = asyncio.ensure_future(self._chance.choice(calls)())
            is_cancelled = self._chance.random() < 0.2
            if is_cancelled:
                await self._pause()
                work.cancel()
            try:
                line = await work
            except asyncio.CancelledError:
                assert is_cancelled, "a caller that was not cancelled got a CancelledError"
                line = "is cancelled"
            self.log.append(f"{self._loop.time():.3f} s, caller {number} {line}")
            assert self._loop.time() < began + LONGEST_CALL, "a call waits for too long"

    async def _pause(self) -> None:
        if self._chance.random() < 0.6:
            for _ in range(self._chance.randrange(4)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self._chance.choice((0.01, 0.1, 1.0)) * self._chance.random())

    # Reads of a source

    async def _read(self) -> str:
        key, manner = self._chance.choice(KEYS), self._chance.choice(MANNERS)
        is_refresh = self._chance.random() < 0.1
        self._changes[key] += is_refresh  # callers that arrive later join no earlier computation
        floor = self._floors[key]
        try:
            with refresh() if is_refresh else contextlib.nullcontext():
                value = await self._cache.get_or_set(
                    key, lambda: self._compute(key, is_refresh=is_refresh), tags=[TAG], **manner
                )
        except FactoryError:
            return f"computes {key} in vain"
        except LoadTimeoutError:
            assert "hard_timeout" in manner
            return f"computes {key} for too long"
        return self._check(key, floor, value)

    async def _compute(self, key: str, *, is_refresh: bool, depth: int = 0) -> list[object]:
        """Compute a value; at times, the computation needs the other key first.

        Args:
            key: the key.
            is_refresh: whether the call refreshes all keys, so that no other caller joins it.
            depth: the number of computations around this one. Computations that wait for each other
                compute both keys, so an inner one is not joined either.
        """
        mine = Computation(key)
        is_joined = not is_refresh and not depth and not self._changes[key]
        if is_joined:
            for other in self._running:
                if other.key == key:
                    other.rivals.append(mine)
            self._running.append(mine)
        try:
            version = self._versions[key]
            await self._pause()
            if depth < MAX_DEPTH and self._chance.random() < 0.15:
                await self._read_other(key, is_refresh, depth + 1)
            if self._chance.random() < 0.1:
                raise FactoryError
        except asyncio.CancelledError:
            mine.rivals.clear()  # its callers have left it
            raise
        finally:
            if is_joined:
                self._running.remove(mine)
            self._has_rivals |= bool(mine.rivals)
        return [version]

    async def _read_other(self, key: str, is_refresh: bool, depth: int) -> None:
        [other] = set(KEYS) - {key}
        self._changes[other] += is_refresh  # the inner call refreshes, too
        floor = self._floors[other]
        value = await self._cache.get_or_set(
            other, lambda: self._compute(other, is_refresh=is_refresh, depth=depth), tags=[TAG]
        )
        self._check(other, floor, value)

    async def _peek(self) -> str:
        key = self._chance.choice(KEYS)
        floor = self._floors[key]
        if self._chance.random() < 0.5:
            return self._check(key, floor, await self._cache.get(key))
        return self._check(key, floor, (await self._cache.get_many(KEYS)).get(key))

    def _check(self, key: str, floor: int, value: Any) -> str:
        if value is None:
            return f"finds no {key}"
        assert len(value) == 1, f"{key} is {value!r}, which another caller has changed"
        [version] = value
        assert version >= floor, (
            f"{key} is {version} after a change to {floor} was acknowledged; "
            f"the last lines of the log: {self.log[-5:]}"
        )
        value.append("changed")
        return f"reads {key} of version {version}"

    async def _check_stored(self) -> None:
        for key in KEYS:
            self._check(key, self._floors[key], await self._cache.get(key))

    # Changes of a source

    async def _change(self) -> str:
        async with self._turn or contextlib.nullcontext():
            return await self._change_now()

    async def _change_now(self) -> str:
        cache, key = self._cache, self._chance.choice(KEYS)
        changes: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "delete": lambda: cache.delete(key),
            "delete_many": lambda: cache.delete_many(KEYS),
            "pop": lambda: cache.pop(key),
            "invalidate": lambda: cache.invalidate("k*"),
            "clear": cache.clear,
            "delete_by_tag": lambda: cache.delete_by_tag(TAG),
        }
        if self._turn is not None:
            changes["set"] = lambda: cache.set(key, [self._versions[key]], tags=[TAG])
        name = self._chance.choice(list(changes))
        keys = [key] if name in {"delete", "pop", "set"} else KEYS
        for each in keys:
            self._versions[each] += 1
            self._changes[each] += 1
        versions = dict(self._versions)
        failures = _note_failures()
        touches = [cache.touch(key)] if self._chance.random() < 0.2 else []
        await asyncio.gather(*touches, changes[name]())
        if not failures:
            for each in keys:
                self._floors[each] = max(self._floors[each], versions[each])
        return f"changes {keys} by {name}" + (", which fails" if failures else "")

    # Registers and counters

    async def _operate(self) -> str:
        cache = self._cache.namespace("registers")
        verb = self._chance.choice(("set", "get", "add", "delete", "pop", "incr", "touch"))
        value = self._chance.randint(1, 99)
        works: dict[str, Callable[[], Awaitable[int]]] = {
            "set": lambda: cache.set("r", value),
            "get": lambda: cache.get("r", ABSENT),
            "add": lambda: cache.add("r", value),
            "delete": lambda: cache.delete("r"),
            "pop": lambda: cache.pop("r", ABSENT),
            "incr": lambda: cache.incr("r", value),
            "touch": lambda: cache.touch("r", None),
        }
        called, failures = self._tick(), _note_failures()
        answer: int | None = None
        try:
            answer = await works[verb]()
        except BackendError:
            assert failures
        finally:
            # A call without an answer has changed the register until now, or never.
            if failures:
                answer = None
            self._history.append(Operation(verb, value, answer, called, self._tick()))
        return f"operates: {verb} {value} -> {answer}"

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks


def _note_failures() -> list[object]:
    """Return a list of the failures of the store that this task causes from now on."""
    failures: list[object] = []
    _failures.set(failures)
    return failures


def run_schedules(kind: str, seeds: Iterable[int]) -> tuple[int, int]:
    """Run the schedules of some seeds, and return their number and that of their steps.

    Raises:
        AssertionError: a schedule breaks a promise; the message has the command to repeat it.
    """
    count = steps = 0
    for seed in seeds:
        schedule = Schedule(kind, seed)
        try:
            steps += schedule.run()
        except Exception as error:
            command = f"python -m {__spec__.name} {kind} {seed}"
            raise AssertionError(
                f"{type(error).__name__}: {error}\nrepeat it: {command}"
            ) from error
        count += 1
    return count, steps


def main(kind: str, first: int, last: int | None = None) -> None:
    """Run the schedule of one seed and print its log, or the schedules of a range."""
    began = time.perf_counter()
    if last is None:
        schedule = Schedule(kind, first)
        try:
            schedule.run()
        finally:
            sys.stdout.write("\n".join([*schedule.log, ""]))
        return
    count, steps = run_schedules(kind, range(first, last))
    seconds = time.perf_counter() - began
    sys.stdout.write(f"{kind}: {count} schedules, {steps} steps, {count / seconds:.0f}/s\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
