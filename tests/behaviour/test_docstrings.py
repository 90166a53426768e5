"""The examples in the library's docstrings run and show what they say.

They run one by one, each in an empty directory, with two names of ours: ``run`` runs a
coroutine in the example's own loop, ``cache`` is a manager that is open in it.
"""

from __future__ import annotations

import asyncio
import doctest
import importlib
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from tests.support.package_source import modules

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.REPORT_NDIFF
NOT_IMPORTED = {"aiocache_pe.__main__"}  # importing it runs it


def examples() -> list[doctest.DocTest]:
    """All docstrings with examples, however deep in a class they stand."""
    loaded = (importlib.import_module(name) for name in modules() if name not in NOT_IMPORTED)
    found = (test for module in loaded for test in doctest.DocTestFinder().find(module))
    return [test for test in found if test.examples]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as loop_runner:
        yield loop_runner


@pytest.fixture
def cache(runner: asyncio.Runner, cache_dir: Path) -> Iterator[CacheManager]:
    manager = CacheManager(directory=cache_dir)
    yield manager
    runner.run(manager.close())


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_the_example_in(
    example: doctest.DocTest,
    runner: asyncio.Runner,
    cache: CacheManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(coroutine: Coroutine[Any, Any, Any]) -> object:
        return runner.run(coroutine)

    monkeypatch.chdir(tmp_path)
    example.globs = {**example.globs, "run": run, "cache": cache}
    said: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert not said, "".join(said)
