"""Knowledge search with cached answers that are invalidated when their source changes.

    python -m examples.knowledge [--only json --only csv] [QUESTIONS]

The example searches the standard library's documentation (`examples.docsearch`). Run it twice:
the second run needs no index, which takes seconds to build.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable
from functools import cached_property

import click

from aiocache_pe import CacheManager, cached
from examples.docsearch.corpus import read_documents
from examples.docsearch.queries import QUERIES
from examples.docsearch.ranking import Found, Index
from examples.run_report import report_run


class CachedKnowledgeSearch:
    """Search with an index that is built for the first question without a cached answer.

    Args:
        build: function that builds the index.
        source: name and version of the source; another source has other answers.
        cache: the cache of the answers.
    """

    def __init__(self, build: Callable[[], Index], source: str, cache: CacheManager) -> None:
        self._build = build
        self._cache = cache
        self._tag = f"knowledge:{source}"
        # The version of the source is the only part of this object that affects the answers.
        self.search = cached(
            cache=cache, ttl="7d", version=source, ignore=["self"], tags=[self._tag]
        )(self._search)
        """Cached search for the best passages: ``await knowledge.search(question, limit=5)``."""

    @cached_property
    def _index(self) -> Index:
        return self._build()

    async def _search(self, question: str, limit: int = 5) -> list[Found]:
        return await asyncio.to_thread(lambda: self._index.search(question, limit))

    async def invalidate(self) -> None:
        """Invalidate all answers with one small write, after a change of the source."""
        await self._cache.delete_by_tag(self._tag)


async def ask(questions: tuple[str, ...], only: tuple[str, ...]) -> None:
    """Search for the questions in all modules, or in some, and print the best passages."""
    version = platform.python_version()
    print(f"asking {len(questions)} questions about Python {version}'s standard library")
    async with CacheManager(namespace="knowledge") as cache, report_run(cache):
        knowledge = CachedKnowledgeSearch(
            lambda: Index(read_documents(only)), ".".join((version, *only)), cache
        )
        for question in questions:
            began = time.perf_counter()
            found = await knowledge.search(question)
            taken = (time.perf_counter() - began) * 1000
            best = found[0].name if found else "nothing"
            print(f"  {question:54} {best:46} {taken:8.2f} ms")


@click.command()
@click.argument("questions", nargs=-1)
@click.option("--only", multiple=True, help="Search these modules only (default: all).")
def main(questions: tuple[str, ...], only: tuple[str, ...]) -> None:
    """Search the standard library's documentation for QUESTIONS."""
    asyncio.run(ask(questions or QUERIES[:8], only))


if __name__ == "__main__":
    main()
