"""One process of the demo: asks every question once, and times each answer.

    AIOCACHE_PE_DIRECTORY=data/demo-cache python -m examples.docsearch.worker

It does the same whether the cache is empty or full, and writes what it saw to its standard
output, as JSON.
"""

from __future__ import annotations

import asyncio
import functools
import platform
import sys
import time

import msgspec

from aiocache_pe import cached
from examples.docsearch.corpus import documents
from examples.docsearch.queries import QUERIES
from examples.docsearch.ranking import Found, Index


class Report(msgspec.Struct):
    """What one process saw.

    Attributes:
        index_seconds: reading the sources and building the index; 0.0 when nothing asked for it.
        milliseconds: the time of each answer, without that.
        answers: the answers themselves, one list for each query.
    """

    index_seconds: float
    milliseconds: list[float]
    answers: list[list[Found]]


_built_in: list[float] = []


@functools.cache
def index(only: tuple[str, ...]) -> Index:
    """The index, built when the first miss asks for it; hits never do."""
    start = time.perf_counter()
    built = Index(documents(only))
    _built_in.append(time.perf_counter() - start)
    return built


@cached(ttl="7d", key_prefix=f"docsearch-{platform.python_version()}", backend="file")
async def search(query: str, limit: int = 5, only: tuple[str, ...] = ()) -> list[Found]:
    """The best places in the standard library's documentation.

    Another Python has another documentation, so its version is part of every key.

    Args:
        query: words.
        limit: how many answers at most.
        only: top-level modules to search; all when empty.
    """
    return await asyncio.to_thread(lambda: index(only).search(query, limit))


async def ask_all(only: tuple[str, ...]) -> Report:
    """Ask every question, one after the other."""
    report = Report(0.0, [], [])
    for query in QUERIES:
        start = time.perf_counter()
        report.answers.append(await search(query, only=only))
        taken = time.perf_counter() - start - sum(_built_in)
        report.milliseconds.append(taken * 1000)
        while _built_in:
            report.index_seconds += _built_in.pop()
    return report


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(ask_all(tuple(sys.argv[1:])))))
