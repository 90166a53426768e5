"""Pytest plugin that makes a missing package an error in CI, where all packages are installed."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

MISSING = ("could not import", "is not installed")
"""Parts of the reasons of skips that an installation ends."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped because a package is missing."""
    return _refuse_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that is skipped because a package is missing."""
    return _refuse_in_ci((yield))


def _refuse_in_ci(report: Report) -> Report:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CI") == "true" and any(part in reason for part in MISSING):
        report.outcome = "failed"
        report.longrepr = f"CI must run each test; install the package. {reason}"
    return report
