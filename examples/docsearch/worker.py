"""Worker process of the demo: runs every search once and measures each of them.

    AIOCACHE_PE_DIRECTORY=data/demo-cache python -m examples.docsearch.worker

The worker does not depend on the state of the cache. It writes its report to standard output, as
JSON.
"""

from __future__ import annotations

import asyncio
import functools
import platform
import sys
import time

import msgspec

from aiocache_pe import cached
from examples.docsearch.corpus import read_documents
from examples.docsearch.queries import QUERIES
from examples.docsearch.ranking import Found, Index


class Report(msgspec.Struct):
    """Report of one process.

    Attributes:
        index_seconds: time for reading the sources and building the index; 0.0 without an index.
        milliseconds: time of each search, without the time of the index.
        answers: the results, one list for each query.
    """

    index_seconds: float
    milliseconds: list[float]
    answers: list[list[Found]]


_build_seconds: list[float] = []


@functools.cache
def build_index(only: tuple[str, ...]) -> Index:
    """Build the index at the first miss, once; hits do not need it."""
    start = time.perf_counter()
    built = Index(read_documents(only))
    _build_seconds.append(time.perf_counter() - start)
    return built


@cached(ttl="7d", key_prefix=f"docsearch-{platform.python_version()}", backend="file")
async def search(query: str, limit: int = 5, only: tuple[str, ...] = ()) -> list[Found]:
    """Return the best places in the standard library's documentation.

    The documentation depends on the version of Python, so the version is part of every key.

    Args:
        query: words to search for.
        limit: maximum number of results.
        only: top-level modules to search; all when empty.
    """
    return await asyncio.to_thread(lambda: build_index(only).search(query, limit))


async def ask_all(only: tuple[str, ...]) -> Report:
    """Run every search, one after the other."""
    report = Report(0.0, [], [])
    for query in QUERIES:
        start = time.perf_counter()
        report.answers.append(await search(query, only=only))
        taken = time.perf_counter() - start - sum(_build_seconds)
        report.milliseconds.append(taken * 1000)
        while _build_seconds:
            report.index_seconds += _build_seconds.pop()
    return report


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(ask_all(tuple(sys.argv[1:])))))
