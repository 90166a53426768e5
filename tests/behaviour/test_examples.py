"""Examples: each runs by itself, and its second run is served from the entries of the first."""

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
ARGUMENTS = {"batch": ["200"], "knowledge": ["--only", "json", "how do I parse JSON"]}
"""Arguments for examples that would take long."""
REQUESTS = {
    IN_TABLE: 6,
    "prompt_optimizer": 24,
    "batch": 1,
    "evaluation": 15,
    "fastapi_app": 6 + 2 + 1,  # the second run computes the answer about a changed document
    "prefork_worker": 4,
}
"""The number of requests that an example sends when nothing is cached."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with run_model_server() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("OPENAI_MODEL", "tiny")
        yield running


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != IN_TABLE])
def test_the_second_run_sends_no_request(name: str, server: ModelServer, tmp_path: Path) -> None:
    cold, warm = run_twice(name, tmp_path, *ARGUMENTS.get(name, ()))
    assert cold.upstream > 0
    assert (warm.upstream, warm.hit_rate) == (0, 1.0)
    assert warm.hits == cold.upstream + cold.hits
    assert len(server.requests) == REQUESTS.get(name, 0)


def test_an_example_starts_its_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an example on its fixed port; it reports a port that another process uses."""
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
    assert len(server.requests) == REQUESTS[IN_TABLE]
    assert done.stdout.startswith("emptying")
    assert '"codec":"' in done.stdout  # the head of an entry


class CountingModel:
    """A model that records the texts that it embeds."""

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


async def test_answers_are_removed_when_their_source_changes() -> None:
    builds: list[str] = []

    def build() -> Index:
        builds.append("index")
        return Index(read_documents(["json"]))

    async with CacheManager("memory") as cache:
        knowledge = CachedKnowledgeSearch(build, "json", cache)
        first = await knowledge.search("parse JSON")
        assert await CachedKnowledgeSearch(build, "json", cache).search("parse JSON") == first
        assert len(builds) == 1
        await knowledge.invalidate()
        assert await CachedKnowledgeSearch(build, "json", cache).search("parse JSON") == first
        assert len(builds) == 2
