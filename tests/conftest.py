"""What all tests share: how hard hypothesis tries, and a directory to cache in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Chosen by HYPOTHESIS_PROFILE. No profile has a deadline: what is slow is for the
# benchmarks to say, and a busy machine must not fail a correct program.
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
)

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """A directory for one test's cache; it is not made yet, as on a user's first run."""
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("AIOCACHE_PE_") or name == "REDIS_URL":
            monkeypatch.delenv(name)
