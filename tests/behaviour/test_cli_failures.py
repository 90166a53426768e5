"""Stores that fail: the library continues without them, the program reports the failure."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from aiocache_pe.backends.file import regular_files
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.codecs.classes.registry import register
from tests.support import command_line as shell
from tests.support.cli_fixtures import Cli

READS = (
    *(["--stats"], ["--get", "k"], ["--delete", "k"], ["--cleanup"], ["--clear", "--yes"]),
    *(["keys"], ["inspect", "k"]),
)


@dataclass
class Answer:
    """A class that only this process knows."""

    text: str


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a cache on a disk that reads nothing."""
    directory = tmp_path / "data" / "cache"
    directory.mkdir(parents=True)
    (directory / ".locks").touch()
    (directory / "default").mkdir()
    fail_below(directory / "default", monkeypatch)
    return directory


def fail_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files and folders below a folder fail to open."""
    open_below = regular_files.open_below

    def fail(path: str, flags: int) -> int:
        if Path(path).is_relative_to(folder):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return open_below(path, flags)

    monkeypatch.setattr(regular_files, "open_below", fail)


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_reading_commands_create_no_cache(cli: Cli, tmp_path: Path, args: list[str]) -> None:
    result = cli(*args)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"Error: there is no cache in {tmp_path / 'data' / 'cache'}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_a_directory_that_is_no_cache_stays_unchanged(
    cli: Cli, tmp_path: Path, args: list[str]
) -> None:
    precious = tmp_path / ".trash-of-mine"
    precious.mkdir()
    assert cli("--directory", str(tmp_path), *args).exit_code == 3
    assert list(tmp_path.iterdir()) == [precious]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("args", [["--stats"], ["--get", "k"], ["keys"]])
def test_an_unreadable_store_is_not_reported_as_an_empty_cache(cli: Cli, args: list[str]) -> None:
    for more in ([], ["--json"]):
        result = cli(*args, *more)
        assert (result.exit_code, result.stdout) == (3, "")
        assert "Input/output error" in result.stderr


def test_a_file_instead_of_a_directory_is_an_error(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for args in (["--stats"], ["--set", "k", "1"]):
        assert cli("--directory", "file", *args).exit_code == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not restrict root")
def test_a_forbidden_directory_is_an_error(cli: Cli, tmp_path: Path) -> None:
    cli("set", "k", "1")
    directory = tmp_path / "data" / "cache"
    directory.chmod(0)
    try:
        result = cli("--stats")
    finally:
        directory.chmod(0o700)
    assert result.exit_code == 3
    assert "Permission denied" in result.stderr


def test_a_damaged_entry_is_reported_and_not_taken_for_absent(cli: Cli, tmp_path: Path) -> None:
    cli("set", "k", "1")
    [file] = (tmp_path / "data" / "cache" / "default").rglob("*-k")
    file.write_bytes(file.read_bytes()[:-1] + b"2")
    result = cli("get", "k")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "checksum" in result.stderr
    assert cli("get", "k").exit_code == 1


async def test_an_entry_that_only_the_application_can_decode_is_reported_as_present(
    tmp_path: Path,
) -> None:
    register(Answer)
    async with CacheManager(directory=tmp_path / "data" / "cache") as cache:
        await cache.set("k", Answer("yes"), tags=["t"])
    result = await asyncio.to_thread(shell.run_program, tmp_path, "get", "k")
    assert (result.code, result.out) == (3, "")
    assert "Answer" in result.err
    result = await asyncio.to_thread(shell.run_program, tmp_path, "inspect", "k")
    assert result.code == 0
    assert "unreadable" in result.out
    assert "tags        t\n" in result.out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AIOCACHE_PE_DISABLE", "1"),
        ("AIOCACHE_PE_DISABLE", "perhaps"),
        ("AIOCACHE_PE_BACKEND", "memory"),
        ("AIOCACHE_PE_BACKEND", "redis"),
        ("AIOCACHE_PE_BACKEND", "nonsense"),
    ],
)
def test_a_setting_that_finds_no_cache_is_reported(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")  # no server listens there
    assert cli("--stats").exit_code == 3


def test_a_read_succeeds_when_it_cannot_be_counted(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("set", "k", "1")
    fail_below(tmp_path / "data" / "cache" / "default+stats", monkeypatch)
    result = cli("get", "k")
    assert (result.exit_code, result.stdout) == (0, "1\n")
    assert result.stderr.startswith("Warning: not counted: ")


def test_any_exception_of_a_third_party_store_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.install_slow_store(tmp_path / "site", monkeypatch)
    result = shell.run_program(tmp_path, "--backend", "slow://0", "keys")
    assert (result.code, result.out) == (3, "")
    assert len(result.err.splitlines()) == 1
    assert "no list today" in result.err
