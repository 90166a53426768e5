"""Process that fills a memory tier with values of one kind and prints its growth.

``python -m tests.support.processes.fill_memory_tier KIND BYTES`` prints the growth of the process
divided by the bound of the tier. The store keeps nothing, so that only the tier grows.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from pydantic import BaseModel

from aiocache_pe import CacheManager
from aiocache_pe.backends.null import NullBackend
from aiocache_pe.record import Record


@dataclass(frozen=True)
class Point:
    """A frozen dataclass."""

    x: int
    label: str
    tags: tuple[str, ...]


class Answer(BaseModel):
    """A pydantic model."""

    number: int
    text: str
    scores: list[float]


CHAT = {"role": "assistant", "usage": {"input": 10, "output": 70}, "choices": [{"index": 0}]}
KINDS: dict[str, Callable[[int], Any]] = {
    "tuples of short strings": lambda n: tuple(f"{n + i:x}" for i in range(40)),
    "tuples of numbers": lambda n: tuple(n + i / 7 for i in range(40)),
    "sets of ints": lambda n: frozenset(range(n + 1000, n + 1040)),
    "nested tuples": lambda n: tuple((n + i + 1000, (f"{n + i}",)) for i in range(20)),
    "latin text": lambda n: f"{n} caf\xe9 " * 150,
    "cyrillic text": lambda n: f"{n} \u0442\u0435\u043a\u0441\u0442 " * 150,
    "ascii text with an emoji": lambda n: f"{n} words " * 150 + "\N{PILE OF POO}",
    "bytes": lambda n: b"%d bytes" % n * 150,
    "moments": lambda n: tuple(datetime.fromtimestamp(n + i, UTC) for i in range(20)),
    "decimals": lambda n: tuple(Decimal(n + i) / 7 for i in range(20)),
    "uuids and durations": lambda n: tuple((UUID(int=n + i), timedelta(n)) for i in range(9)),
    "large ints": lambda n: tuple((n + i) << 200 for i in range(20)),
    "paths": lambda n: tuple(Path(f"/data/{n}/{i}/file.txt") for i in range(9)),
    "small ints": lambda n: n,
    "chats": lambda n: {**CHAT, "created": n, "content": f"{n} words " * 90},
    "embeddings": lambda n: [n + i / 7 for i in range(200)],
    "arrays": lambda n: np.arange(n, n + 200.0),
    "floats": lambda n: n / 7,
    "nested dicts": lambda n: {f"{n + i}": {"score": n / 7, "more": [n, None]} for i in range(20)},
    "long strings": lambda n: f"{n} words " * 9000,
    "sets of text": lambda n: {f"{n + i}" for i in range(40)},
    "dataclasses": lambda n: Point(n, f"point {n}", (f"{n}", f"{n + 1}")),
    "pydantic models": lambda n: Answer(number=n, text=f"answer {n}", scores=[n / 7] * 9),
}


class ForgetfulBackend(NullBackend):
    """A store that keeps nothing, and takes each copy in memory for current."""

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        return [
            Record(record.head, record.payload, b"%107s" % record.head.key.encode())
            for record in records
        ]

    def is_current(self, stamp: Any) -> bool:
        return True


def measure_resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


async def fill(cache: CacheManager, make: Callable[[int], Any], bound: int) -> None:
    """Store and read values of three times the size of the tier."""
    tier = cache.loader.namespace.engine.tier
    assert tier is not None
    added = number = 0
    while added < 3 * bound:
        number += 1
        key = f"key number {number}"
        assert await cache.set(key, make(number), tags=["a tag"] if number % 2 else ())
        for _ in range(2):
            await cache.get(key)
        added += tier.nodes[f"default:{key}"].size
    assert 0.8 * bound < tier.total_size <= bound


async def main(kind: str, bound: int) -> None:
    """Measure one kind after a warm-up with a tier of a tenth."""
    make = KINDS[kind]
    async with CacheManager(ForgetfulBackend(), memory_max_bytes=bound // 10) as cache:
        await fill(cache, make, bound // 10)
    gc.collect()
    before = measure_resident_bytes()
    async with CacheManager(ForgetfulBackend(), memory_max_bytes=bound) as cache:
        await fill(cache, make, bound)
        gc.collect()
        grown = measure_resident_bytes() - before
    sys.stdout.write(f"{grown / bound:.3f}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
