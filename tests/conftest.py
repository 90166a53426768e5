"""Configuration of all tests: the profiles of hypothesis, shared fixtures, the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# HYPOTHESIS_PROFILE selects a profile. No profile has a deadline: the benchmarks measure speed,
# and a busy machine must not fail a correct program.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "stress",
    max_examples=20_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
pytest_plugins = (
    "tests.support.cache_fixtures",
    "tests.support.cli_fixtures",
    "tests.support.sdk_fixtures",
    "tests.support.servers.fixtures",
    "tests.support.skips",
)

SETTINGS = (
    "AIOCACHE_PE_",
    "ANTHROPIC_",
    "GEMINI_",
    "GOOGLE_",
    "LANGCHAIN_",
    "LANGSMITH_",
    "OPENAI_",
    "REDIS_URL",
)
"""Beginnings of the names of variables that the library and the clients of the tests read."""

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """Return the directory for a test's cache; it does not exist yet, as before a first run."""
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the calling shell from the environment."""
    for name in list(os.environ):
        if name.startswith(SETTINGS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
