"""Counters of a namespace in this process, which cost a hit almost nothing.

A hit raises one number in its entry. The first hit since the last report also adds the entry to
a queue. Everything else is summed up when the counters are read or written to the store.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import repeat
from math import inf

from aiocache_pe.engine.memory_entry import MemoryEntry, share_time
from aiocache_pe.record import Savings

_MAX_KEYS = 2048
"""Keys of evicted entries with hits that are not reported: a megabyte.

The hits of more of them count in the statistics of the namespace, but not in those of the entry.
"""
_LARGE_BYTES = 4096  # of an entry; a chunk of larger ones would take much memory
_CHUNK = 256  # entries to sum up at a time, which takes a quarter of a millisecond


class Counters:
    """Counts of one namespace in this process since the last report.

    Raising a number takes no lock: CPython with a GIL does not switch threads between the
    bytecodes of it. Without a GIL a count may be lost, but never an entry.

    Args:
        on_activity: called at the first hit since the last report, and whenever a counter rises,
            so that the next report is scheduled.

    Attributes:
        counts: the counters by name, without the hits that are not summed up yet.
    """

    def __init__(self, on_activity: Callable[[], None]) -> None:
        self.counts: defaultdict[str, float] = defaultdict(float)
        self._hit_entries: deque[MemoryEntry] = deque()
        self._detached_hits: deque[tuple[str, float, float, Savings | None]] = deque()
        self._hits: defaultdict[str, int] = defaultdict(int)
        self._last_access: dict[str, float] = {}
        self._on_activity = on_activity

    def note_first_hit(self, entry: MemoryEntry) -> None:
        """Note an entry at its first hit since the last report."""
        if entry.is_in_tier:
            self._hit_entries.append(entry)
            length = len(self._hit_entries)
            if length == 1:
                self._on_activity()
            elif length > _CHUNK or entry.size > _LARGE_BYTES:
                self._release_evicted()
            return

        # The entry was made for this read only. Its numbers are kept, so that it can be freed.
        entry.counted_hits = entry.hits
        self._detached_hits.append((entry.key, entry.last_access, entry.cost, entry.saves))
        length = len(self._detached_hits)
        if length == 1:
            self._on_activity()
        elif length >= _CHUNK:
            self._sum_up_detached(_MAX_KEYS)

    def add(self, name: str, count: int = 1) -> None:
        """Raise a counter, and schedule a report."""
        self.counts[name] += count
        self._on_activity()

    def count_chunks(self) -> int:
        """Return how often to call `sum_up_chunk` for all hits that are noted now."""
        return len(self._hit_entries) // _CHUNK + 1

    def sum_up_chunk(self) -> None:
        """Sum up the hits of some entries.

        A second of reading can touch thousands of entries. A caller that lets other tasks run
        between the chunks does not hold up the event loop, as `take_changes` alone would.
        """
        entries = self._hit_entries
        with suppress(IndexError):
            for _ in range(_CHUNK):
                self._count_entry(entries.popleft())

    def take_changes(self) -> tuple[dict[str, float], dict[str, tuple[int, float]]]:
        """Return the changes since the last report, and start counting at zero.

        Returns:
            The counters that are not zero, and the hits and last access of each store key.
        """
        for _ in range(self.count_chunks()):
            self.sum_up_chunk()
        self._sum_up_detached()

        hits, self._hits = self._hits, defaultdict(int)
        last_access, self._last_access = self._last_access, {}
        counts, self.counts = self.counts, defaultdict(float)
        counts["hits"] += sum(hits.values())

        times = map(last_access.get, hits, repeat(0.0))
        usage = dict(zip(hits, zip(hits.values(), times, strict=True), strict=True))
        return {name: count for name, count in counts.items() if count}, usage

    def restore_changes(self, counts: Mapping[str, float]) -> None:
        """Add counters again that could not be reported."""
        for name, count in counts.items():
            self.counts[name] += count

    def _release_evicted(self) -> None:
        """Count and release the oldest entries if they were evicted from the tier.

        With eight at each new entry, a sixteenth of the queue keeps evicted values in memory.
        """
        entries = self._hit_entries
        with suppress(IndexError):
            for _ in range(8):
                entry = entries.popleft()
                if not entry.is_in_tier:
                    self._count_entry(entry, _MAX_KEYS)
                    continue
                entries.append(entry)
                if len(entries) == 1:  # a concurrent report has taken all other entries
                    self._on_activity()

    def _count_entry(self, entry: MemoryEntry, max_keys: float = inf) -> None:
        hits, last_access = entry.hits, entry.last_access
        new_hits, entry.counted_hits = hits - entry.counted_hits, hits
        # The exact time is counted below. Rounded, one number serves many entries.
        entry.last_access = share_time(last_access // 1.0)
        self._count(entry.key, new_hits, last_access, entry.cost, entry.saves, max_keys=max_keys)

    def _sum_up_detached(self, max_keys: float = inf) -> None:
        # One by one: a thread that is about to append must find the same deque.
        detached = self._detached_hits
        with suppress(IndexError):
            while detached:
                key, last_access, cost, saves = detached.popleft()
                self._count(key, 1, last_access, cost, saves, max_keys=max_keys)

    def _count(
        self,
        key: str,
        hits: int,
        last_access: float,
        cost: float,
        saves: Savings | None,
        *,
        max_keys: float,
    ) -> None:
        # No line that raises a number calls a function, so no other thread runs within it.
        if len(self._hits) >= max_keys and key not in self._hits:
            self.counts["hits"] += hits
            last_access = 0.0
        else:
            self._hits[key] += hits
        if last_access > self._last_access.get(key, 0.0):  # hits come in no order
            self._last_access[key] = last_access
        self.add_savings(hits, cost, saves)

    def add_savings(self, hits: int, cost: float, saves: Savings | None) -> None:
        """Add the seconds, and the tokens and money, that some hits saved."""
        if cost:
            self.counts["seconds_saved"] += hits * cost
        if saves is not None:
            self.counts["input_tokens_saved"] += hits * saves.input_tokens
            self.counts["output_tokens_saved"] += hits * saves.output_tokens
            self.counts["money_saved"] += hits * saves.money
