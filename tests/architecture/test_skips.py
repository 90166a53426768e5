"""Skipped tests: in CI, a missing package is an error and not a skip."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)

MISSING_IN_TEST = """
import pytest
def test_package():
    pytest.importorskip("package_without_a_release")
def test_checker():
    pytest.skip("checker is not installed")
@pytest.mark.skipif(True, reason="needs tmpfs")
def test_system(): ...
"""
MISSING_IN_MODULE = "import pytest\npytest.importorskip('package_without_a_release')"


@pytest.mark.parametrize(
    ("ci", "outcomes"),
    [("true", {"failed": 2, "skipped": 1, "errors": 1}), ("", {"skipped": 4})],
)
def test_a_missing_package_is_an_error_in_ci_only(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    ci: str,
    outcomes: dict[str, int],
) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makepyfile(test_one=MISSING_IN_TEST, test_two=MISSING_IN_MODULE)
    options = ("-p", "tests.support.skips", "-p", "no:cacheprovider", "-p", "no:randomly")
    result = pytester.runpytest_subprocess(*options, "--continue-on-collection-errors", timeout=60)
    result.assert_outcomes(**outcomes)
