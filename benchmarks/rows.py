"""The rows: which operation of which contender stands beside which, and what is promised.

Targets are those of the project's performance table. A row is added here and nowhere
else; P9 is `benchmarks.traces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from benchmarks.row import Line, Row, Target, Unit


def all_rows(sizes: Sequence[int]) -> tuple[Row, ...]:
    """Every row; ``sizes`` are the numbers of entries for P8."""
    return (*FIXED, *OVER_REDIS, *at_sizes(sizes), PROCESS, KEYS, VALUES, REFERENCE)


def _sets(title: str, kind: Literal["new", "again"]) -> Row:
    """P4 for new keys or for keys that are there: two tables, because disks care."""
    return Row(
        "P4",
        f"file set, {title}",
        (
            Line("ours, one awaited", "ours", f"set_{kind}", 3000),
            Line("ours, 64 at once", "ours", f"concurrent_set_{kind}", 6400),
            Line("ours, set_many", "ours", f"set_many_{kind}", 5000),
            Line("cashews disk", "cashews", f"disk_set_{kind}", 2000),
            Line("diskcache", "diskcache", f"set_{kind}", 3000),
        ),
        (
            Target("ours, one awaited", 0.8, "cashews disk"),
            Target("ours, 64 at once", 1.0, "diskcache"),
            Target("ours, set_many", 0.6, "diskcache"),
        ),
    )


FIXED = (
    Row(
        "P1",
        "decorated call, hit in memory",
        (
            Line("ours", "ours", "decorated_memory", 100_000),
            Line("async-lru", "async_lru", "decorated_hit", 100_000),
            Line("cachebox", "cachebox", "decorated_hit", 100_000),
            Line("aiocache", "aiocache", "decorated_hit", 20_000),
            Line("cashews", "cashews", "decorated_memory", 10_000),
            Line("no cache", "bare", "call", 200_000),
        ),
        (
            Target("ours", 1.0, "async-lru"),
            Target("aiocache", 10, "ours", least=True),
            Target("cashews", 25, "ours", least=True),
        ),
    ),
    Row(
        "P2",
        "decorated call, hit over files",
        (
            Line("ours", "ours", "decorated_file", 50_000),
            Line("diskcache.get", "diskcache", "text_get", 30_000),
            Line("diskcache memoize", "diskcache", "memoize_hit", 10_000),
            Line("cashews disk", "cashews", "decorated_disk", 3000),
        ),
        (
            Target("ours", 0.4, "diskcache.get"),
            Target("cashews disk", 40, "ours", least=True),
        ),
    ),
    Row(
        "P3",
        "file get, memory tier off, pages warm",
        (
            Line("ours", "ours", "file_get", 20_000),
            Line("diskcache.get", "diskcache", "get", 20_000),
            Line("diskcache in a thread", "diskcache", "get_in_thread", 4000),
            Line("cashews disk", "cashews", "disk_get", 4000),
        ),
        (
            Target("ours", 1.5, "diskcache.get"),
            Target("cashews disk", 10, "ours", least=True),
        ),
    ),
    Row(
        "P3",
        "longest stall of the loop, 64 tasks reading",
        (
            Line("ours", "ours", "file_stall", 20_000, "ms"),
            Line("diskcache.get", "diskcache", "stall", 20_000, "ms"),
            Line("diskcache in a thread", "diskcache", "stall_in_thread", 6400, "ms"),
            Line("cashews disk", "cashews", "disk_stall", 6400, "ms"),
            Line("nothing read", "bare", "stall", 200_000, "ms"),
        ),
        (Target("ours", 5, how="value"),),
    ),
    Row(
        "P6",
        "blocking decorated call, hit in memory",
        (
            Line("ours", "ours", "blocking_memory", 100_000),
            Line("ours, over files", "ours", "blocking_file", 50_000),
            Line("diskcache memoize", "diskcache", "memoize_hit", 10_000),
        ),
        (Target("ours", 0.1, "diskcache memoize"),),
    ),
    Row(
        "P6",
        "blocking decorated call, miss",
        (
            Line("ours, over files", "ours", "blocking_miss_file", 1000),
            Line("ours, in memory", "ours", "blocking_miss_memory", 2000),
            Line("diskcache memoize", "diskcache", "memoize_miss", 1000),
        ),
    ),
    _sets("new keys", "new"),
    _sets("overwritten keys", "again"),
    Row(
        "P7",
        "1,000 callers on one missing key, a waiter",
        (
            Line("ours, memory", "ours", "crowd_memory", 10_000),
            Line("ours, file", "ours", "crowd_file", 10_000),
            Line("async-lru", "async_lru", "crowd", 10_000),
            Line("a shared future", "bare", "crowd", 10_000),
        ),
        (
            Target("ours, memory", 15, how="value"),
            Target("ours, file", 15, how="value"),
        ),
    ),
)

OVER_REDIS = (
    Row(
        "P5",
        "Redis get, past the memory tier",
        (
            Line("ours", "ours_redis", "get", 4000),
            Line("redis.asyncio and json", "bare_redis", "get", 4000),
            Line("aiocache", "aiocache_redis", "get", 4000),
            Line("cashews", "cashews_redis", "get", 4000),
        ),
        (Target("ours", 1.10, "redis.asyncio and json"),),
    ),
    Row(
        "P5",
        "Redis get, kept in memory and tracked",
        (
            Line("ours", "ours_redis", "tracked_get", 50_000),
            Line("cashews, client-side", "cashews_redis", "client_side_get", 20_000),
        ),
        (Target("ours", 0.6, "cashews, client-side"),),
    ),
    Row(
        "P5",
        "Redis get_many of 1,000",
        (
            Line("ours", "ours_redis", "get_many", 100),
            Line("redis.asyncio and json", "bare_redis", "get_many", 100),
            Line("aiocache", "aiocache_redis", "get_many", 100),
            Line("cashews", "cashews_redis", "get_many", 100),
        ),
        (Target("ours", 1.25, "redis.asyncio and json"),),
    ),
)

_AT_SIZE: tuple[tuple[str, str, int, Unit], ...] = (
    ("open and first get", "open_", 10, "ms"),
    ("get", "get", 10_000, "us"),
    ("set, new keys", "set_new", 1000, "us"),
    ("set, overwritten keys", "set_again", 1000, "us"),
)


def at_sizes(sizes: Sequence[int]) -> tuple[Row, ...]:
    """P8: a table for each verb with a line for each size, and the memory of an entry."""
    few, many = f"{min(sizes):,}", f"{max(sizes):,}"
    rows = []
    for title, operation, n, unit in _AT_SIZE:
        lines = tuple(Line(f"{size:,}", "ours_at_size", operation, n, unit, size) for size in sizes)
        targets = [Target(many, 1.3, few)] if len(sizes) > 1 else []
        if operation == "open_":
            targets.append(Target(many, 20, how="value"))
        rows.append(Row("P8", f"{title}, by entries in the store", lines, tuple(targets)))
    overhead = (
        Line("ours", "ours_at_size", "tier_overhead", 10_000, "bytes"),
        Line("ours, full", "ours_at_size", "full_adaptive", 40_000, "bytes"),
        *(
            Line(f"ours, full, {policy}", "ours_at_size", f"full_{policy}", 10_000, "bytes")
            for policy in ("clock", "fifo", "lfu", "lirs", "lru", "s3fifo", "tinylfu")
        ),
    )
    kept = Row("P8", "memory tier, own bytes per entry", overhead, (_OVERHEAD,))
    return (*rows, kept)


_OVERHEAD = Target("ours", 400, how="value")

PROCESS = Row(
    "P10",
    "whole processes",
    (
        Line("import aiocache_pe", "processes", "import_ours", 10, "ms"),
        Line("from aiocache_pe import CacheManager, cached", "processes", "names_ours", 10, "ms"),
        Line("aiocache-pe --get", "processes", "get_ours", 10, "ms"),
        Line("bare Python", "processes", "bare", 10, "ms"),
        Line("import aiocache", "processes", "import_aiocache", 10, "ms"),
        Line("import cashews", "processes", "import_cashews", 10, "ms"),
        Line("import diskcache", "processes", "import_diskcache", 10, "ms"),
    ),
    (
        Target("import aiocache_pe", 60, "bare Python", how="difference"),
        Target("aiocache-pe --get", 180, "bare Python", how="difference"),
    ),
)

KEYS = Row(
    "P11",
    "key of a chat call, 4 messages of 2.4 kB",
    (
        Line("ours, new call", "ours_keys", "new", 10_000),
        Line("ours, known call", "ours_keys", "again", 50_000),
        Line("json and sha256 by hand", "bare", "key_of_chat", 10_000),
        Line("aiocache", "aiocache", "key", 10_000),
        Line("cashews", "cashews", "key", 10_000),
    ),
    (Target("ours, new call", 12, how="value"), Target("ours, known call", 12, how="value")),
)

VALUES = Row(
    "HIT",
    "decorated hit in memory, by kind of value, no target",
    (
        Line("text", "ours_values", "text", 50_000),
        Line("dict of 800 bytes", "ours_values", "completion", 30_000),
        Line("1,536 floats as a list", "ours_values", "floats", 5000),
        Line("1,536 floats as an array", "ours_values", "array", 20_000),
        Line("pydantic model", "ours_values", "model", 20_000),
    ),
)

REFERENCE = Row(
    "REF",
    "get of an 800-byte completion, no target",
    (
        Line("ours, memory", "ours", "memory_get", 50_000),
        Line("ours, file", "ours", "tier_get", 50_000),
        Line("aiocache, memory", "aiocache", "memory_get", 20_000),
        Line("cashews, memory", "cashews", "memory_get", 50_000),
        Line("py-key-value, memory", "py_key_value", "memory_get", 20_000),
        Line("py-key-value, disk", "py_key_value", "disk_get", 10_000),
    ),
)
