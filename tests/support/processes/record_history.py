"""Process whose callers use few keys in every way and write a log of it.

``python -m tests.support.processes.record_history SETTINGS``, with `Settings` as JSON. The process
prints ``ready``, and reads the time until which its callers make calls. They are tasks of several
event loops, and threads that block. `tests.support.history_log` describes the log and the keys.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aiocache_pe import BackendError, CacheManager, cached, cached_batch, sync
from aiocache_pe.events import BackendFailed
from tests.support.history import ABSENT
from tests.support.history_log import ALL, CHANGE, FAILED, READ, HistoryWriter
from tests.support.task_stacks import exit_after

FORKING = 0.03  # the probability of a fork after a call
PERIOD = 250_000_000  # nanoseconds for which the callers use the same registers
REGISTERS = 3  # of each group
SOURCES = 2  # of each process
CHILD_NANOSECONDS = 300_000_000  # for which a forked child makes calls
HANG_SECONDS = 90
"""Seconds after the end of its time, after which a process that hangs prints its stacks.

The last disturbance may take most of them: a primary that is going to be replaced makes its clients
wait until that has succeeded.
"""
PADDING = "padding " * 200
_failures: ContextVar[list[object]] = ContextVar("failures")


@dataclass(frozen=True)
class Settings:
    """The task of a process.

    Attributes:
        cache: the arguments of the manager.
        folder: the folder of the logs and of the sources.
        slot, slots: the number of this process among those that run at once. A killed process and
            its successor have the same slot.
        seed: the seed of the random choices.
        loops, tasks, threads: the number of event loops, of tasks in each, and of blocking threads.
        lifetimes: whether some entries expire within a fraction of a second.
        is_padded: whether values are long enough to be compressed.
        is_cancelling: whether some calls are cancelled.
        is_forking: whether the process forks at times, and the child goes on with blocking calls.
        register_share: the share of the calls that use registers; the others use sources.
        change_share: the share of changes among the calls that use sources.
        durations: maxima of the seconds of a computation, one of which is chosen at random.
    """

    cache: dict[str, Any]
    folder: str
    slot: int
    slots: int
    seed: str
    loops: int = 1
    tasks: int = 3
    threads: int = 1
    lifetimes: bool = False
    is_padded: bool = False
    is_cancelling: bool = False
    is_forking: bool = False
    register_share: float = 0.5
    change_share: float = 0.25
    durations: Sequence[float] = (0, 0.005, 0.05)


class Sources:
    """The present versions of all sources, shared by the processes through a mapped file.

    One process changes a source, in one of its threads at a time.
    """

    def __init__(self, folder: Path, slot: int, slots: int) -> None:
        fd = os.open(folder / "sources", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, 8 * SOURCES * slots)
        self._versions = memoryview(mmap.mmap(fd, 8 * SOURCES * slots)).cast("q")
        os.close(fd)
        self.count = SOURCES * slots
        self.locks = {slot * SOURCES + n: threading.Lock() for n in range(SOURCES)}

    def get(self, number: int) -> int:
        """Return the present version of a source."""
        return self._versions[number]

    def set(self, number: int, version: int) -> None:
        """Change a source."""
        self._versions[number] = version


class Call(NamedTuple):
    """An operation on a register.

    Attributes:
        verb: the name in the log.
        method: the name of the method.
        key: the key in the log.
        arguments, options: the arguments of the method.
        value: the value in the log.
    """

    verb: str
    method: str
    key: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    value: int = 0

    def parse(self, result: Any) -> int:
        """Return the answer for the log."""
        if self.key.endswith(ALL):
            return 1
        if self.method == "get_many":
            return int(result.get(self.key, ABSENT))
        return int(result)


VERBS = {
    "get": 5,
    "get_many": 1,
    "set": 3,
    "set_many": 1,
    "add": 2,
    "delete": 2,
    "delete_many": 1,
    "pop": 2,
    "incr": 2,
    "touch": 1,
    "invalidate": 0.3,
    "clear": 0.15,
    "delete_by_tag": 0.3,
}
"""Methods on registers with their frequencies."""


class Workload:
    """Random calls of one caller.

    Args:
        settings: the settings of the process.
        until: when to end, in nanoseconds of the monotonic clock.
        name: the name of the caller.
    """

    def __init__(self, settings: Settings, until: int, name: str) -> None:
        self.settings = settings
        self.name = name
        self._until = until
        self.chance = random.Random(f"{settings.seed}/{settings.slot}/{os.getpid()}/{name}")
        self._padding = [PADDING] if settings.is_padded else []

    def is_done(self) -> bool:
        """Return whether the time of the process has passed."""
        return time.monotonic_ns() >= self._until

    def choose_pause(self) -> float:
        """Return the seconds of a pause; most are 0."""
        return self.chance.choice((0, 0, 0, 0.001, 0.01)) * self.chance.random()

    def choose_duration(self) -> float:
        """Return the seconds of a computation."""
        return self.chance.choice(self.settings.durations) * self.chance.random()

    def choose_ttl(self) -> float | None:
        """Return a lifetime in seconds."""
        is_short = self.settings.lifetimes and self.chance.random() < 0.3
        return self.chance.uniform(0.02, 0.3) if is_short else None

    def make_value(self, version: int) -> list[Any]:
        """Return the value of a source."""
        return [version, *self._padding]

    def choose_call(self) -> Call:
        """Return an operation on a register."""
        chance = self.chance
        [method] = chance.choices(list(VERBS), list(VERBS.values()))
        group = chance.choice("rt")
        key = f"{group}{time.monotonic_ns() // PERIOD}.{chance.randrange(REGISTERS)}"
        if method == "clear":
            return Call("remove", method, ALL, (), {})
        if method == "invalidate":
            return Call("remove", method, "r*", ("r*",), {})
        if method == "delete_by_tag":
            return Call("remove", method, "t*", ("t",), {})
        if method in {"get", "pop"}:
            return Call(method, method, key, (key, ABSENT), {})
        if method in {"get_many", "delete_many"}:
            return Call(method.removesuffix("_many"), method, key, ([key],), {})
        if method == "delete":
            return Call(method, method, key, (key,), {})
        if method == "touch":
            return Call(method, method, key, (key, self.choose_ttl()), {})
        if method == "incr" and group == "r":
            delta = chance.randrange(1, 9)
            return Call(method, method, key, (key, delta), {"ttl": self.choose_ttl()}, delta)
        value = chance.randrange(1, 10**6) * 1000  # unlike the sum of a few deltas
        options = {"ttl": self.choose_ttl(), "tags": ["t"] if group == "t" else []}
        if method == "set_many":
            return Call("set", method, key, ({key: value},), options, value)
        method = method if method in {"set", "add"} else "set"
        return Call(method, method, key, (key, value), options, value)


CHANGES: dict[str, Callable[[Any, str, Any], Any]] = {
    "delete": lambda cache, key, value: cache.delete(key),
    "delete_many": lambda cache, key, value: cache.delete_many([key]),
    "pop": lambda cache, key, value: cache.pop(key),
    "set": lambda cache, key, value: cache.set(key, value, tags=["source"]),
    "set_many": lambda cache, key, value: cache.set_many({key: value}, tags=["source"]),
    "invalidate": lambda cache, key, value: cache.invalidate("s:*"),
    "clear": lambda cache, key, value: cache.clear(),
    "delete_by_tag": lambda cache, key, value: cache.delete_by_tag("source"),
}
"""Changes of the entry of a source, after which an older version may not be served."""


ENTRY: dict[str, Any] = {"key": "{number}", "key_prefix": "s", "tags": ["source"]}
"""Settings of all decorated functions, which share the entry of a source."""
MANNERS: tuple[dict[str, Any], ...] = (
    {},
    {"ttl": 0.2, "refresh_ahead": 0.3},
    {"ttl": 0.1, "stale_ttl": 10},
)
"""Further settings of functions that compute one source."""


def _decorate(values: Any, function: Callable[[int], Any]) -> list[Any]:
    return [cached(cache=values, **ENTRY, **manner)(function) for manner in MANNERS]


class Step(NamedTuple):
    """A call that a caller makes next; ``work`` returns its result, or an awaitable of it."""

    work: Callable[[], Any]
    may_be_cancelled: bool = False


Script = Generator[Step, Any, None]


class Recording:
    """The caches, the sources and the log of a process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.until = 0
        self.log = HistoryWriter(Path(settings.folder), f"slot{settings.slot}")
        self.sources = Sources(Path(settings.folder), settings.slot, settings.slots)
        self.cache = CacheManager(**settings.cache)
        self.cache.subscribe(BackendFailed, lambda event: _failures.get([]).append(event))
        self.forks = 0

    # Callers

    async def run_task(self, name: str) -> None:
        """Make random awaited calls until the end."""
        load = Workload(self.settings, self.until, name)
        values = self.cache.namespace("sources")

        async def compute(number: int) -> list[Any]:
            version = self.sources.get(number)
            await asyncio.sleep(load.choose_duration())
            return load.make_value(version)

        @cached_batch(cache=values, **ENTRY)
        async def compute_all(number: list[int]) -> list[Any]:
            return [await compute(each) for each in number]

        functions = [*_decorate(values, compute), compute_all]
        script = self._write_script(load, self.cache.namespace("registers"), values, functions)
        step = next(script, None)
        while step is not None:
            try:
                result = await self._await(load, step)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the script decides
                step = _throw(script, error)
            else:
                step = _send(script, result)
                await asyncio.sleep(load.choose_pause())

    async def _await(self, load: Workload, step: Step) -> Any:
        if not (step.may_be_cancelled and self.settings.is_cancelling):
            return await step.work()
        work = asyncio.ensure_future(step.work())
        if load.chance.random() < 0.15:
            for _ in range(load.chance.randrange(4)):
                await asyncio.sleep(0)
            work.cancel()
        return await work

    def run_thread(self, name: str, *, is_forking: bool = False) -> None:
        """Make random blocking calls until the end; fork at times."""
        load = Workload(self.settings, self.until, name)
        cache = sync.CacheManager.of(self.cache)
        values = cache.namespace("sources")

        def compute(number: int) -> list[Any]:
            version = self.sources.get(number)
            time.sleep(load.choose_duration())
            return load.make_value(version)

        @cached_batch(cache=values, **ENTRY)
        def compute_all(number: list[int]) -> list[Any]:
            return [compute(each) for each in number]

        functions = [*_decorate(values, compute), compute_all]
        script = self._write_script(load, cache.namespace("registers"), values, functions)
        step = next(script, None)
        while step is not None:
            try:
                result = step.work()
            except Exception as error:  # noqa: BLE001 - the script decides
                step = _throw(script, error)
            else:
                step = _send(script, result)
                time.sleep(load.choose_pause())
            if is_forking and load.chance.random() < FORKING:
                self._fork()

    def _write_script(
        self, load: Workload, registers: Any, values: Any, functions: Sequence[Any]
    ) -> Script:
        while not load.is_done():
            number = load.chance.randrange(self.sources.count)
            own_number = load.chance.choice(list(self.sources.locks) or [-1])
            if load.chance.random() < self.settings.register_share:
                yield from self._use_register(load, registers)
            elif load.chance.random() < self.settings.change_share and own_number >= 0:
                yield from self._change_source(load, values, functions[0], own_number)
            else:
                yield from self._read_source(load, values, functions, number)

    def _use_register(self, load: Workload, registers: Any) -> Script:
        call, failures = load.choose_call(), _note_failures()
        number = self.log.begin(call.verb, call.key, call.value)
        work = partial(getattr(registers, call.method), *call.arguments, **call.options)
        answer: int | str = FAILED
        try:
            answer = call.parse((yield Step(work, may_be_cancelled=True)))
        except asyncio.CancelledError:
            return  # it may have an effect later, so the log has no end
        except BackendError:
            assert failures
        self.log.end(number, FAILED if failures else answer)

    def _change_source(self, load: Workload, values: Any, compute: Any, source: int) -> Script:
        lock = self.sources.locks[source]
        if not lock.acquire(blocking=False):
            return  # another caller of this process changes it now
        try:
            version, failures, key = time.monotonic_ns(), _note_failures(), make_source_key(source)
            name = load.chance.choice([*CHANGES, "decorator", "cache_clear"])
            number = self.log.begin(CHANGE, key, version, name)
            self.sources.set(source, version)
            if name == "decorator":
                work = partial(compute.invalidate, source)
            elif name == "cache_clear":
                work = compute.cache_clear
            else:
                work = partial(CHANGES[name], values, key, load.make_value(version))
            result = yield Step(work)
            has_failed = failures or (result is False and name not in {"delete", "decorator"})
            self.log.end(number, FAILED if has_failed else 1)
        finally:
            lock.release()

    def _read_source(
        self, load: Workload, values: Any, functions: Sequence[Any], source: int
    ) -> Script:
        key, kind = make_source_key(source), load.chance.random()
        work: Callable[[], Any]
        if kind < 0.2:
            name, work = "get", partial(values.get, key)
        elif kind < 0.3:
            name, work = "get_many", partial(values.get_many, [key])
        elif kind < 0.5:
            name = "get_or_set"
            options = {"ttl": load.choose_ttl(), "tags": ["source"]}
            compute = functions[0].__wrapped__
            work = partial(values.get_or_set, key, lambda: compute(source), **options)
        elif kind < 0.6:
            name, work = "batch", partial(functions[-1], [source])
        else:
            manner = load.chance.randrange(len(MANNERS))
            name, work = f"function{manner}", partial(functions[manner], source)
        number = self.log.begin(READ, key, method=f"{load.name}:{name}".replace(" ", "-"))
        with suppress(asyncio.CancelledError):
            value = yield Step(work, may_be_cancelled=True)
            if isinstance(value, dict):
                value = value.get(key)
            elif value is not None and isinstance(value[0], list):
                [value] = value
            self.log.end(number, ABSENT if value is None else value[0])

    def _fork(self) -> None:
        """Let a forked child make blocking calls for a while, and wait for it."""
        pid = os.fork()
        if not pid:
            try:
                self.log = HistoryWriter(Path(self.settings.folder), "child")
                self.sources.locks.clear()  # the parent changes the sources
                self.until = min(self.until, time.monotonic_ns() + CHILD_NANOSECONDS)
                signal.alarm(HANG_SECONDS)
                self.run_thread("child")
            except BaseException:  # noqa: BLE001 - the child must not run the code of the parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        ended, status = os.waitpid(pid, 0)
        assert (ended, status) == (pid, 0)
        self.forks += 1


def _send(script: Script, result: Any) -> Step | None:
    with suppress(StopIteration):
        return script.send(result)
    return None


def _throw(script: Script, error: BaseException) -> Step | None:
    with suppress(StopIteration):
        return script.throw(error)
    return None


def make_source_key(number: int) -> str:
    """Return the key of a source, which is that of the decorated functions."""
    return f"s:{number}"


def _note_failures() -> list[object]:
    """Return a list of the failures of the store that this caller causes from now on."""
    failures: list[object] = []
    _failures.set(failures)
    return failures


def record(recording: Recording, until: int) -> None:
    """Run all callers of a process until a time, in nanoseconds of the monotonic clock."""
    settings, recording.until = recording.settings, until
    unhandled: list[dict[str, Any]] = []
    exit_after((until - time.monotonic_ns()) / 1e9 + HANG_SECONDS)

    async def run_tasks(number: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, error: unhandled.append(error))
        names = [f"task {number}.{n}" for n in range(settings.tasks)]
        await asyncio.gather(*map(recording.run_task, names))

    with ThreadPoolExecutor(settings.loops + settings.threads) as pool:
        jobs = [pool.submit(asyncio.run, run_tasks(n)) for n in range(settings.loops)]
        jobs += [pool.submit(recording.run_thread, f"thread {n}") for n in range(settings.threads)]
        recording.run_thread("main", is_forking=settings.is_forking)
        for job in jobs:
            job.result()
    assert not unhandled, unhandled


def main(text: str) -> None:
    """Record with the settings in a text, and print the number of forks and of errors."""
    recording = Recording(Settings(**json.loads(text)))
    cache = sync.CacheManager.of(recording.cache)
    cache.get("warm")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    record(recording, int(sys.stdin.readline()))
    errors = [cache.namespace(name).get_stats().errors for name in ("registers", "sources")]
    cache.close()
    sys.stdout.write(json.dumps([recording.forks, sum(errors)]))


if __name__ == "__main__":
    main(sys.argv[1])
