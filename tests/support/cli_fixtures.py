"""Fixtures that run the command line in this process, in a directory of the test."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aiocache_pe.cli.main import program

Cli = Callable[..., Result]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Enable Ctrl-C, which a shell disables for its background jobs and their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cli(interruptible: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that runs the program; an exception other than `SystemExit` fails."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str, stdin: str | bytes = "") -> Result:
        result = CliRunner().invoke(program, list(args), input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        if result.exit_code:
            assert len(result.stderr.splitlines()) == 1, result.stderr
        return result

    return call
