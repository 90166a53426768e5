"""Models of the OpenAI and Anthropic SDKs are cached by the annotation of a function."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def cache_models(directory: Path, order: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.processes.cache_sdk_models", directory, order],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    assert "damaged" not in done.stderr
    return json.loads(done.stdout)


def test_models_are_found_by_a_new_process_in_any_order_of_calls(cache_dir: Path) -> None:
    """The SDKs build a model, and make generic ones, when a response of it first arrives."""
    requests, errors, results = cache_models(cache_dir, "cpms")
    assert (requests, errors) == (4, 0)
    assert all(len(each) == 1 for each in results.values())
    assert cache_models(cache_dir, "smpc") == [0, 0, results]
    records = [path.read_bytes() for path in cache_dir.glob("default/*/*-*")]
    assert len(records) == 4
    assert all(b'"codec":"tagged"' in record.split(b"\n")[0] for record in records)
