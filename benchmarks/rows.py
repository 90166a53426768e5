"""Rows P1 to P8 and P10 to P12 of the project's performance table, with their targets.

Row P9, the hit ratios, is measured by `benchmarks.traces`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["us", "ms", "bytes", "ratio"]


@dataclass(frozen=True, slots=True)
class Line:
    """One contender in a row.

    Attributes:
        label: name in the table and in targets; unique in its row.
        contender: ``MODULE.STORE`` of `benchmarks.contenders`, or a module of `benchmarks`.
        operation: function of `benchmarks.operations`, or of that module.
        n: number of operations that one round times.
        unit: unit of the figure.
        entries: number of entries that the store holds beforehand.
    """

    label: str
    contender: str
    operation: str
    n: int
    unit: Unit = "us"
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for the median of one line, or for the ratio of two medians.

    Attributes:
        line: label of the line.
        bound: value to stay below or to reach.
        against: label of the line that divides; empty for a median by itself.
        at_least: whether the bound is a minimum.
    """

    line: str
    bound: float
    against: str = ""
    at_least: bool = False

    def __str__(self) -> str:
        figure = f"{self.line} / {self.against}" if self.against else self.line
        return f"{figure} {'>=' if self.at_least else '<='} {self.bound:g}"

    def compute(self, medians: Mapping[str, float]) -> float | None:
        """Return the figure to compare with the bound, or None if a median is missing."""
        value, divisor = medians.get(self.line), medians.get(self.against)
        if value is None or not self.against:
            return value
        return None if divisor is None else value / divisor

    def is_met(self, figure: float) -> bool:
        """Return whether a figure keeps to the bound."""
        return figure >= self.bound if self.at_least else figure <= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    """Lines that are measured side by side; the others are divided by the first one."""

    id: str
    title: str
    lines: tuple[Line, ...]
    targets: tuple[Target, ...] = ()


def make_rows(sizes: Sequence[int]) -> tuple[Row, ...]:
    """Return every row; ``sizes`` are the numbers of entries of the stores of P8."""
    return (*HITS, *FILES, *REDIS, WAITERS, *_make_size_rows(sizes), *MEMORY, *CALLS, *MISSES)


def _make_set_row(title: str, keys: Literal["new", "existing"]) -> Row:
    """Return P4 for new or for existing keys; the cost of a file system depends on it."""
    return Row(
        "P4",
        f"file set, {title}",
        (
            Line("ours, one awaited", "ours.files", f"set_{keys}", 3000),
            Line("ours, 64 at once", "ours.files", f"concurrent_set_{keys}", 6400),
            Line("ours, set_many", "ours.files", f"set_many_{keys}", 5000),
            Line("cashews disk", "cashews.disk", f"set_{keys}", 2000),
            Line("diskcache", "diskcache.disk", f"blocking_set_{keys}", 3000),
        ),
        (
            Target("ours, one awaited", 0.8, "cashews disk"),
            Target("ours, 64 at once", 1.0, "diskcache"),
            Target("ours, set_many", 0.6, "diskcache"),
        ),
    )


HITS = (
    Row(
        "P1",
        "decorated call, hit in memory",
        (
            Line("ours", "ours.memory", "hit", 100_000),
            Line("async-lru", "async_lru.memory", "hit", 100_000),
            Line("aiocache", "aiocache.memory", "hit", 20_000),
            Line("cashews", "cashews.memory", "hit", 10_000),
            Line("dict of futures", "bare.memory", "hit", 200_000),
        ),
        (
            Target("ours", 1.0, "async-lru"),
            Target("aiocache", 10, "ours", at_least=True),
            Target("cashews", 25, "ours", at_least=True),
        ),
    ),
    Row(
        "P2",
        "decorated call, hit over files",
        (
            Line("ours", "ours.files", "hit", 50_000),
            Line("diskcache.get", "diskcache.one_text", "blocking_get", 30_000),
            Line("diskcache memoize", "diskcache.disk", "blocking_hit", 10_000),
            Line("cashews disk", "cashews.disk", "hit", 3000),
        ),
        (
            Target("ours", 0.4, "diskcache.get"),
            Target("cashews disk", 40, "ours", at_least=True),
        ),
    ),
    Row(
        "P6",
        "blocking decorated call, hit in memory",
        (
            Line("ours", "ours.blocking_memory", "blocking_hit", 100_000),
            Line("ours, over files", "ours.blocking_files", "blocking_hit", 50_000),
            Line("diskcache memoize", "diskcache.disk", "blocking_hit", 10_000),
        ),
        (
            Target("ours", 0.1, "diskcache memoize"),
            Target("ours, over files", 0.1, "diskcache memoize"),
        ),
    ),
)

FILES = (
    Row(
        "P3",
        "file get, memory tier off, pages warm",
        (
            Line("ours", "ours.untiered_files", "get", 20_000),
            Line("diskcache.get", "diskcache.disk", "blocking_get", 20_000),
            Line("cashews disk", "cashews.disk", "get", 4000),
        ),
        (
            Target("ours", 1.3, "diskcache.get"),
            Target("cashews disk", 12, "ours", at_least=True),
        ),
    ),
    Row(
        "P3",
        "longest stall of the loop, 64 tasks reading",
        (
            Line("ours", "ours.untiered_files", "stall", 20_000, "ms"),
            Line("diskcache.get", "diskcache.on_loop", "stall", 20_000, "ms"),
            Line("cashews disk", "cashews.disk", "stall", 6400, "ms"),
            Line("nothing read", "bare.memory", "stall", 200_000, "ms"),
        ),
        (Target("ours", 5),),
    ),
    _make_set_row("new keys", "new"),
    _make_set_row("overwritten keys", "existing"),
)

REDIS = (
    Row(
        "P5",
        "Redis get, past the memory tier",
        (
            Line("ours", "ours.untiered_redis", "get", 4000),
            Line("redis.asyncio and json", "bare.redis", "get", 4000),
            Line("aiocache", "aiocache.redis", "get", 4000),
            Line("cashews", "cashews.redis", "get", 4000),
        ),
        (Target("ours", 1.10, "redis.asyncio and json"),),
    ),
    Row(
        "P5",
        "Redis get, kept in memory and tracked",
        (
            Line("ours", "ours.redis", "get", 50_000),
            Line("cashews, client-side", "cashews.client_side_redis", "get", 20_000),
        ),
        (Target("ours", 0.6, "cashews, client-side"),),
    ),
    Row(
        "P5",
        "Redis get_many of 1,000",
        (
            Line("ours", "ours.untiered_redis", "get_many", 100),
            Line("redis.asyncio and json", "bare.redis", "get_many", 100),
        ),
        (Target("ours", 1.25, "redis.asyncio and json"),),
    ),
)

WAITERS = Row(
    "P7",
    "1,000 callers on one missing key, a waiter",
    (
        Line("ours, memory", "ours.memory", "wait_for_one_call", 10_000),
        Line("ours, files", "ours.files", "wait_for_one_call", 10_000),
        Line("async-lru", "async_lru.memory", "wait_for_one_call", 10_000),
        Line("dict of futures", "bare.memory", "wait_for_one_call", 10_000),
    ),
    (
        Target("ours, memory", 15),
        Target("ours, files", 15),
    ),
)

_SIZE_OPERATIONS: tuple[tuple[str, str, int, Unit], ...] = (
    ("open and first get", "open_and_get", 10, "ms"),
    ("get", "get", 10_000, "us"),
    ("set, new keys", "set_new", 1000, "us"),
    ("set, overwritten keys", "set_existing", 1000, "us"),
)


def _make_size_rows(sizes: Sequence[int]) -> list[Row]:
    """Return P8: a row for each operation, with a line for each size."""
    few, many = f"{min(sizes):,}", f"{max(sizes):,}"
    rows = []
    for title, operation, n, unit in _SIZE_OPERATIONS:
        lines = tuple(Line(f"{size:,}", "large_store", operation, n, unit, size) for size in sizes)
        targets = [Target(many, 1.3, few)] if len(sizes) > 1 else []
        if operation == "open_and_get":
            targets.append(Target(many, 20))
        rows.append(Row("P8", f"{title}, by entries in the store", lines, tuple(targets)))
    return rows


MEMORY = (
    Row(
        "P8",
        "memory tier, own bytes per entry",
        (Line("ours", "large_store", "measure_tier_entry", 10_000, "bytes"),),
        (Target("ours", 400),),
    ),
    Row(
        "P8",
        "growth of the process for each byte of memory_max_bytes",
        (
            Line("texts", "large_store", "measure_text_growth", 10_000, "ratio"),
            Line("tuples of short texts", "large_store", "measure_tuple_growth", 10_000, "ratio"),
        ),
        (
            Target("texts", 1.2),
            Target("tuples of short texts", 1.2),
        ),
    ),
)

CALLS = (
    Row(
        "P10",
        "whole processes, over bare Python",
        (
            Line("import aiocache_pe", "processes", "import_aiocache_pe", 10, "ms"),
            Line("aiocache_pe, usual names", "processes", "import_usual_names", 10, "ms"),
            Line("aiocache-pe --get", "processes", "get_existing_key", 10, "ms"),
        ),
        (Target("import aiocache_pe", 30), Target("aiocache-pe --get", 160)),
    ),
    Row(
        "P11",
        "key of a chat call, 4 messages of 2.4 kB",
        (
            Line("ours", "ours.memory", "make_new_keys", 10_000),
            Line("json and sha256", "bare.memory", "make_new_keys", 10_000),
        ),
        (Target("ours", 10),),
    ),
)

MISSES = (
    Row(
        "P12",
        "decorated miss in memory",
        (
            Line("ours", "ours.memory", "miss", 5000),
            Line("aiocache", "aiocache.memory", "miss", 5000),
            Line("cashews", "cashews.memory", "miss", 5000),
        ),
        (Target("ours", 1.0, "aiocache"),),
    ),
    Row(
        "P12",
        "decorated miss over files",
        (
            Line("ours", "ours.files", "miss", 2000),
            Line("ours, blocking", "ours.blocking_files", "blocking_miss", 1000),
            Line("cashews disk", "cashews.disk", "miss", 2000),
            Line("diskcache memoize", "diskcache.disk", "blocking_miss", 2000),
        ),
        (Target("ours", 0.6, "cashews disk"),),
    ),
    Row(
        "P12",
        "decorated miss over Redis",
        (
            Line("ours", "ours.redis", "miss", 2000),
            Line("GET and SET", "bare.redis", "miss", 2000),
            Line("cashews", "cashews.redis", "miss", 2000),
        ),
        (Target("ours", 1.6, "GET and SET"),),
    ),
)
