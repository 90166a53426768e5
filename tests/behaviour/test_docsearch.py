"""The documentation search example, run on a few modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.docsearch.corpus import find_stdlib_modules, read_documents
from examples.docsearch.queries import QUERIES
from examples.docsearch.ranking import Index, split_words

ROOT = Path(__file__).parents[2]
MODULES = ("csv", "json", "subprocess", "functools", "heapq")


@pytest.fixture(scope="module")
def index() -> Index:
    return Index(read_documents(MODULES))


def run_demo(directory: Path) -> str:
    only = [f"--only={name}" for name in MODULES]
    done = subprocess.run(
        [sys.executable, "-m", "examples.docsearch", f"--directory={directory}", *only],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_second_process_uses_the_entries_of_the_first(cache_dir: Path) -> None:
    output = run_demo(cache_dir)
    assert "both gave the same answers: yes" in output
    assert f"50% over both processes ({len(QUERIES)} hits, {len(QUERIES)} misses)" in output
    assert "100% in the second" in output
    assert "not done" in output  # the second process built no index
    again = run_demo(cache_dir)
    assert again.startswith("emptying")
    assert "100% in the second" in again


def test_the_corpus_is_the_documentation_of_hundreds_of_modules() -> None:
    assert len(list(find_stdlib_modules())) > 300


def test_the_corpus_has_modules_classes_and_functions() -> None:
    found = {document.name: document for document in read_documents(["csv", "json"])}
    assert found["json"].kind == "module"
    assert found["csv.Dialect"].text.startswith("Describe a CSV dialect.")
    assert found["json.decoder.JSONDecoder"].kind == "class"
    assert found["json.dumps"].kind == "function"
    assert found["json.dumps"].line > 1


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("least recently used cache decorator", "functools.lru_cache"),
        ("run a command and capture its output", "subprocess.run"),
        ("merge several sorted inputs into one", "heapq.merge"),
    ],
)
def test_the_best_answer_matches_the_query(index: Index, query: str, name: str) -> None:
    best, *rest = index.search(query)
    assert best.name == name
    assert best.snippet
    assert all(best.score >= other.score for other in rest)


def test_unknown_words_find_nothing(index: Index) -> None:
    assert index.search("xyzzy plugh") == []


def test_identifiers_are_split_into_words() -> None:
    assert split_words("getDefaultTimeouts of HTTPServer_class") == [
        "get", "default", "timeout", "http", "server", "class",
    ]  # fmt: skip
