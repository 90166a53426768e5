"""Examples in the docstrings of the library: each runs and prints the output that it shows.

Each example runs in an empty directory of its own with two predefined names: ``run`` runs a
coroutine in the event loop of the example, ``cache`` is a manager that is open in this loop. In
the blocking examples, ``cache`` is the blocking manager of that one.
"""

from __future__ import annotations

import asyncio
import doctest
import importlib
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, sync
from tests.support.package_source import list_modules

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.REPORT_NDIFF
BLOCKING = ("aiocache_pe.sync.", "aiocache_pe.cache.sync_manager.")
NOT_IMPORTED = {"aiocache_pe.__main__"}  # an import would run it


def list_examples() -> list[doctest.DocTest]:
    """Return all docstrings with examples, including those of nested classes."""
    loaded = (importlib.import_module(name) for name in list_modules() if name not in NOT_IMPORTED)
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


@pytest.mark.parametrize("example", list_examples(), ids=lambda example: example.name)
def test_the_example_runs_and_prints_the_output_shown(
    example: doctest.DocTest,
    runner: asyncio.Runner,
    cache: CacheManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(coroutine: Coroutine[Any, Any, Any]) -> object:
        return runner.run(coroutine)

    monkeypatch.chdir(tmp_path)
    is_blocking = example.name.startswith(BLOCKING)
    named = sync.CacheManager.of(cache) if is_blocking else cache
    example.globs = {**example.globs, "run": run, "cache": named}
    report: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=report.append)
    assert not report, "".join(report)
