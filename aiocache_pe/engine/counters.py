"""Counting what a cache does, without slowing it down.

A hit raises one number in its slot; the first since the last report also notes the
slot. Everything else is added up when it is asked for or reported to the store.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import repeat

from aiocache_pe.engine.memory_entry import MemoryEntry, share
from aiocache_pe.record import Savings

_MANY = 256  # reads to add up at a time: a quarter of a millisecond


class Counters:
    """Counts of one namespace in this process, since they were last reported.

    Raising a number takes no lock: between two bytecodes that do so, CPython with a GIL
    does not switch threads. Without a GIL a count may be lost, an entry never.

    Args:
        on_first: called at the first hit since the last report, to bring about the next.
    """

    __slots__ = ("_last", "_loose", "_on_first", "_reads", "_touched", "counts")

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.counts: defaultdict[str, float] = defaultdict(float)
        self._touched: deque[MemoryEntry] = deque()
        self._loose: deque[tuple[str, float, float, Savings | None]] = deque()
        self._reads: defaultdict[str, int] = defaultdict(int)
        self._last: dict[str, float] = {}
        self._on_first = on_first

    def note_use(self, slot: MemoryEntry) -> None:
        """Note a slot at its first hit since the last report."""
        if slot.admitted_at:
            self._touched.append(slot)
            count = len(self._touched)
            if count == 1:
                self._on_first()
            elif count > _MANY:
                self._let_go()
        else:  # made for this one read: noted is what it amounts to, so that it can go
            slot.counted = slot.hits
            self._loose.append((slot.key, slot.used_at, slot.cost, slot.saves))
            if len(self._loose) == 1:
                self._on_first()
            elif len(self._loose) >= _MANY:
                self._settle_loose()

    def add(self, name: str, count: int = 1, *, report: bool = True) -> None:
        """Raise a counter; unless told otherwise, this brings about a report."""
        self.counts[name] += count
        if report:
            self._on_first()

    def read_parts(self) -> range:
        """In how many parts to `settle` what is noted by now; what comes meanwhile can wait."""
        return range(len(self._touched) // _MANY + 1)

    def settle(self) -> None:
        """Add up some of the hits that were noted.

        For who has the time to let others run in between: a second of reading can touch
        thousands of slots, and `take` would hold up the loop until it had seen them all.
        """
        touched = self._touched
        with suppress(IndexError):
            for _ in range(_MANY):
                self._count_slot(touched.popleft())

    def take_changes(self) -> tuple[dict[str, float], dict[str, tuple[int, float]]]:
        """What there is to report; the counting begins anew.

        Returns:
            The counters that are not zero, and per store key its hits and last access.
        """
        for _ in self.read_parts():
            self.settle()
        self._settle_loose()
        reads, self._reads = self._reads, defaultdict(int)
        last, self._last = self._last, {}
        report, self.counts = self.counts, defaultdict(float)
        report["hits"] += sum(reads.values())
        seen = map(last.get, reads, repeat(0.0))
        usage = dict(zip(reads, zip(reads.values(), seen, strict=True), strict=True))
        return {name: count for name, count in report.items() if count}, usage

    def restore_changes(self, report: Mapping[str, float]) -> None:
        """Count again what could not be reported."""
        for name, count in report.items():
            self.counts[name] += count

    def _let_go(self) -> None:
        """Look at the two that wait the longest: what left the tier is held only here by now."""
        touched = self._touched
        with suppress(IndexError):
            for _ in range(2):
                slot = touched.popleft()
                if not slot.admitted_at:
                    self._count_slot(slot)
                    continue
                touched.append(slot)
                if len(touched) == 1:  # all others were reported meanwhile
                    self._on_first()

    def _count_slot(self, slot: MemoryEntry) -> None:
        uses = slot.hits
        fresh, slot.counted = uses - slot.counted, uses
        used_at = slot.used_at
        slot.used_at = share(used_at // 1.0)  # it is told: one number will do for all
        self._count(slot.key, fresh, used_at, slot.cost, slot.saves)

    def _settle_loose(self) -> None:
        # Taken out one by one: who is about to add to it must not be left with an old one.
        loose = self._loose
        with suppress(IndexError):
            while loose:
                key, used_at, cost, saves = loose.popleft()
                self._count(key, 1, used_at, cost, saves)

    def _count(
        self, key: str, hits: int, used_at: float, cost: float, saves: Savings | None
    ) -> None:
        # Where something is raised, no call, so no thread can come between reading and writing.
        self._reads[key] += hits
        if used_at > self._last.get(key, 0.0):  # hits come in no order
            self._last[key] = used_at
        if cost:
            self.counts["seconds_saved"] += hits * cost
        if saves is not None:
            self.counts["input_tokens_saved"] += hits * saves.input_tokens
            self.counts["output_tokens_saved"] += hits * saves.output_tokens
            self.counts["money_saved"] += hits * saves.money
