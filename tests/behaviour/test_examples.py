"""Each example runs by itself, and its second run is served from its first one's work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aiocache_pe import CacheManager
from examples.__main__ import EXAMPLES, ROOT, run_twice
from examples.docsearch.corpus import read_documents
from examples.docsearch.ranking import Index
from examples.embeddings import CachedEmbeddingModel, Vector
from examples.knowledge import CachedKnowledgeSearch
from examples.llmserver.server import ModelServer, run_model_server

pytestmark = pytest.mark.timeout(300)  # processes that import much, on a machine that may be busy
IN_TABLE = "llm_client"
QUICK = {"batch": ["200"], "knowledge": ["--only", "json", "how do I parse JSON"]}
"""Arguments for those that would take long."""
ASKS = {IN_TABLE: 6, "prompt_optimizer": 24, "batch": 1, "fastapi_app": 6}
"""How many requests an example sends when nothing is cached."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with run_model_server() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("OPENAI_MODEL", "tiny")
        yield running


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != IN_TABLE])
def test_the_second_run_asks_for_nothing(name: str, server: ModelServer, tmp_path: Path) -> None:
    cold, warm = run_twice(name, tmp_path, *QUICK.get(name, ()))
    assert cold.upstream > 0
    assert (warm.upstream, warm.hit_rate) == (0, 1.0)
    assert warm.hits == cold.upstream + cold.hits
    assert len(server.requests) == ASKS.get(name, 0)


def test_an_example_brings_its_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a port that is the same each time; where another has it, that is what it says."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{IN_TABLE}", "Why?"],
        cwd=ROOT,
        env=os.environ | {"AIOCACHE_PE_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 calls upstream" in done.stdout or "Address already in use" in done.stderr


def test_the_demo_compares_runs_in_a_table(server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "left").write_text("by an earlier run")
    done = subprocess.run(
        [sys.executable, "-m", "examples", "--directory", str(tmp_path), IN_TABLE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("│") for line in done.stdout.splitlines() if " 100% " in line]
    assert [[row[at].strip() for at in (1, 4, 5)] for row in rows] == [[IN_TABLE, "6", "0"]]
    assert len(server.requests) == ASKS[IN_TABLE]
    assert done.stdout.startswith("emptying")
    assert '"codec":"json"' in done.stdout


class CountingModel:
    """A model that notes what it embeds."""

    name = "counting"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, text: str) -> Vector:
        self.texts.append(text)
        return np.ones(2, dtype=np.float32)


async def test_a_file_is_embedded_again_only_if_its_content_changed(tmp_path: Path) -> None:
    model, path = CountingModel(), tmp_path / "text.txt"
    async with CacheManager("memory") as cache:
        embeddings = CachedEmbeddingModel(model, cache)
        for text in ("one", "one", "other", "one"):
            path.write_text(text)
            assert (await embeddings.embed_file(path)).shape == (2,)
        await embeddings.embed_file(path.rename(tmp_path / "elsewhere.txt"))
    assert model.texts == ["one", "other"]


async def test_answers_are_forgotten_when_their_source_changes() -> None:
    built: list[str] = []

    def build() -> Index:
        built.append("index")
        return Index(read_documents(["json"]))

    async with CacheManager("memory") as cache:
        knowledge = CachedKnowledgeSearch(build, "json", cache)
        first = await knowledge.search("parse JSON")
        assert await CachedKnowledgeSearch(build, "json", cache).search("parse JSON") == first
        assert len(built) == 1
        await knowledge.invalidate()
        assert await CachedKnowledgeSearch(build, "json", cache).search("parse JSON") == first
        assert len(built) == 2
