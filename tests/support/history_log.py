"""Logs of operations that several processes write, and the checks of all logs together.

Each process appends to a file of its own. A line is one ``write``, so a killed process leaves
complete lines, and an operation that it had begun has no end. There are two sorts of keys.

*Registers* are keys that callers change in every way. Their histories must be linearizable
(`tests.support.history`). So no read is stale, each ``add`` and ``pop`` has one winner, counters
are exact, and nothing returns that was removed. A register is used for a short time, because long
histories are slow to check.

*Sources* have a version that grows. Callers read it through computations, in the decorated
functions and in `CacheManager.get_or_set`. One process changes a source and removes its entry after
that. Once the removal is acknowledged, no read that begins may return an older version.
"""

from __future__ import annotations

import bisect
import itertools
import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from tests.support.history import ABSENT, Operation, is_linearizable

ALL = "*"
"""The key of an operation on all registers; ``r*`` and ``t*`` are those of one group."""
TAGGED = "t"
"""The beginning of the keys of registers that carry a tag."""
FAILED = "-"
"""The answer of an operation that failed, and that may have taken effect."""
READ, CHANGE = "read", "change"
"""The verbs on sources; the answer of a read, and the value of a change, is a version."""


class HistoryWriter:
    """The log of one process."""

    def __init__(self, folder: Path, name: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._fd = os.open(folder / f"{name}-{os.getpid()}.log", flags, 0o600)
        self._numbers = itertools.count()

    def begin(self, verb: str, key: str, value: int = 0, method: str = "-") -> int:
        """Write that an operation begins, and by which method; return its number."""
        number = next(self._numbers)
        line = f"b {number} {time.monotonic_ns()} {verb} {key} {value} {method}\n"
        os.write(self._fd, line.encode())
        return number

    def end(self, number: int, answer: int | str) -> None:
        """Write that an operation has ended."""
        os.write(self._fd, b"e %d %d %s\n" % (number, time.monotonic_ns(), str(answer).encode()))


class LoggedOperation(NamedTuple):
    """An operation of a log; ``answer`` is ``None`` if it is not known."""

    process: str
    verb: str
    method: str
    key: str
    value: int
    answer: int | None
    called: int
    returned: float


def read_logs(folder: Path) -> list[LoggedOperation]:
    """Return the operations of all processes."""
    return [one for path in sorted(folder.glob("*.log")) for one in _read_log(path)]


def _read_log(path: Path) -> Iterator[LoggedOperation]:
    begun: dict[str, LoggedOperation] = {}
    for line in path.read_text().splitlines():
        kind, number, moment, *words = line.split(" ")
        if kind == "b":
            verb, key, value, method = words
            begun[number] = LoggedOperation(
                path.stem, verb, method, key, int(value), None, int(moment), math.inf
            )
        else:
            one = begun.pop(number)
            answer = None if words[0] == FAILED else int(words[0])
            yield LoggedOperation(*one[:5], answer, one.called, int(moment))
    yield from begun.values()


@dataclass
class Findings:
    """Result of the checks.

    Attributes:
        operations: the number of operations of each verb.
        failed: the number of operations with a failure of the store, or without an end.
        stale_reads: the reads of sources that were older than an acknowledged change.
        disorders: the histories of registers that no order explains.
        longest_lag: seconds from the acknowledgement of a change to the latest read that returned
            an older version.
    """

    operations: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    longest_lag: float = 0.0
    stale_reads: list[str] = field(default_factory=list)
    disorders: list[str] = field(default_factory=list)


def check_logs(folder: Path, *, is_lossy: bool, delay: float = 0.0) -> Findings:
    """Check the logs of a folder.

    Args:
        folder: the folder.
        is_lossy: whether entries may vanish, because they expire, are evicted, or are lost with
            their server.
        delay: seconds that a read may lag behind the changes of another process.
    """
    findings = Findings()
    operations = read_logs(folder)
    for one in operations:
        findings.operations[one.verb] += 1
        findings.failed += one.answer is None
    sources = [one for one in operations if one.verb in {READ, CHANGE}]
    registers = [one for one in operations if one.verb not in {READ, CHANGE}]
    findings.stale_reads += _check_sources(sources, delay * 1e9)
    findings.longest_lag = _measure_longest_lag(sources) / 1e9
    findings.disorders += _check_registers(registers, delay * 1e9, is_lossy=is_lossy)
    return findings


class _Floors:
    """The versions that are acknowledged at each time."""

    def __init__(self, changes: Iterable[LoggedOperation]) -> None:
        done = sorted(changes, key=lambda one: one.returned)
        self._times = [one.returned for one in done]
        self._versions = list(itertools.accumulate((one.value for one in done), max))

    def get(self, moment: float) -> int:
        count = bisect.bisect_left(self._times, moment)
        return self._versions[count - 1] if count else 0


def _check_sources(operations: Iterable[LoggedOperation], delay: float) -> Iterator[str]:
    histories = _group_by(operations, lambda one: one.key)
    for history in histories.values():
        changes = [one for one in history if one.verb == CHANGE and one.answer is not None]
        floors = _Floors(changes)
        by_process = _group_by(changes, lambda one: one.process)
        own_floors = {process: _Floors(own) for process, own in by_process.items()}
        for one in history:
            if one.verb == READ and one.answer is not None and one.answer != ABSENT:
                floor = floors.get(one.called - delay)
                if one.process in own_floors:
                    floor = max(floor, own_floors[one.process].get(one.called))
                if one.answer < floor:
                    [change] = [change for change in changes if change.value == floor]
                    yield f"stale read {one}\n  after {change}"


def _measure_longest_lag(operations: Iterable[LoggedOperation]) -> float:
    """Return the nanoseconds from a change to the begin of the latest read that missed it."""
    longest = 0.0
    for history in _group_by(operations, lambda one: one.key).values():
        changes = sorted(
            (one for one in history if one.verb == CHANGE and one.answer is not None),
            key=lambda one: one.returned,
        )
        versions = list(itertools.accumulate((one.value for one in changes), max))
        for one in history:
            if one.verb == READ and one.answer is not None and one.answer != ABSENT:
                first_newer = bisect.bisect_right(versions, one.answer)
                if first_newer < len(changes):
                    longest = max(longest, one.called - changes[first_newer].returned)
    return longest


def _check_registers(
    operations: Iterable[LoggedOperation], delay: float, *, is_lossy: bool
) -> Iterator[str]:
    histories: defaultdict[str, list[Operation]] = defaultdict(list)
    removals: list[LoggedOperation] = []
    for one in operations:
        if one.key.endswith(ALL):
            removals.append(one)
            continue
        histories[one.key].append(_make_operation(one, delay))
    for key, history in histories.items():
        first = min(one.called for one in history)
        last = max(one.called if one.answer is None else one.returned for one in history)
        parts = [
            Operation("remove", 0, one.answer, one.called, one.returned)
            for one in removals
            if key.startswith(one.key.removesuffix(ALL))
            and one.called <= last
            and one.returned >= first
        ]
        is_tagged = key.startswith(TAGGED)
        parts += [_note_removals(one, parts) if is_tagged else one for one in history]
        if not is_linearizable(parts, is_lossy=is_lossy):
            lines = map(str, sorted(parts, key=lambda one: one.called))
            yield "\n  ".join([f"no order explains the answers of register {key}:", *lines])


def _make_operation(one: LoggedOperation, delay: float) -> Operation:
    called = one.called - (delay if one.verb == "get" else 0)
    return Operation(one.verb, one.value, one.answer, called, one.returned)


def _note_removals(one: Operation, removals: Iterable[Operation]) -> Operation:
    """Return an operation that knows whether a removal of its tag overlaps it.

    The tokens of the tags are read before the value is stored. If the tag is deleted between, the
    value is a miss, even if it replaces one that was stored after the removal.
    """
    may_vanish = one.verb in {"set", "add"} and any(
        removal.called <= one.returned and removal.returned >= one.called for removal in removals
    )
    return replace(one, may_vanish=may_vanish)


def _group_by(
    operations: Iterable[LoggedOperation], get_group: Callable[[LoggedOperation], str]
) -> dict[str, list[LoggedOperation]]:
    groups: defaultdict[str, list[LoggedOperation]] = defaultdict(list)
    for one in operations:
        groups[get_group(one)].append(one)
    return groups
