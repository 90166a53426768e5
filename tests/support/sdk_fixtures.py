"""Fixtures for tests of SDKs: a model server on this machine, and a cache over files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from examples.llmserver.server import ModelServer, run_model_server

API_KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with run_model_server() as running:
        yield running


@pytest.fixture
async def files(cache_dir: Path) -> AsyncIterator[CacheManager]:
    async with CacheManager(directory=cache_dir) as cache:
        yield cache
