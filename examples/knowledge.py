"""A search in a body of knowledge: answers are kept until what they came from changes.

    python -m examples.knowledge [--only json --only csv] [QUESTIONS]

It searches the standard library's documentation (`examples.docsearch`). Run it twice: the
second time the index, which takes seconds, is not built, for nobody asks it.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable
from functools import cached_property

import click

from aiocache_pe import CacheManager, cached
from examples.docsearch.corpus import documents
from examples.docsearch.queries import QUERIES
from examples.docsearch.ranking import Found, Index
from examples.told import telling


class CachedKnowledgeSearch:
    """A search whose index is built when a question comes that nobody asked before.

    Args:
        build: makes the index.
        source: what it is made of, and of which version; another one has other answers.
        cache: where answers are kept.
    """

    def __init__(self, build: Callable[[], Index], source: str, cache: CacheManager) -> None:
        self._build = build
        self._cache = cache
        self._tag = f"knowledge:{source}"
        self.search = cached(cache=cache, ttl="7d", version=source, tags=[self._tag])(self._search)
        """The best places for a question: ``await knowledge.search(question, limit=5)``."""

    @cached_property
    def _index(self) -> Index:
        return self._build()

    async def _search(self, question: str, limit: int = 5) -> list[Found]:
        return await asyncio.to_thread(lambda: self._index.search(question, limit))

    async def changed(self) -> None:
        """Forget all answers, by one small write: what they came from is another now."""
        await self._cache.delete_by_tag(self._tag)


async def ask(questions: tuple[str, ...], only: tuple[str, ...]) -> None:
    """Ask questions about all modules, or only about some."""
    version = platform.python_version()
    print(f"asking {len(questions)} questions about Python {version}'s standard library")
    async with CacheManager(namespace="knowledge") as cache, telling(cache):
        knowledge = CachedKnowledgeSearch(
            lambda: Index(documents(only)), ".".join((version, *only)), cache
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
    """Ask some questions."""
    asyncio.run(ask(questions or QUERIES[:8], only))


if __name__ == "__main__":
    main()
