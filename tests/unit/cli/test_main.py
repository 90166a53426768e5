"""The program: its flags and options, and errors for invalid command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli_fixtures import Cli


@pytest.mark.parametrize(
    ("args", "texts"),
    [
        (["--stats", "--clear"], ["--stats", "--clear"]),
        (["--get", "a", "--set", "b", "1"], ["--get", "--set"]),
        (["--get", "a", "--get", "b"], ["--get and --get"]),
        (["--stats", "keys"], ["--stats", "keys"]),
        (["--warm", "calls", "--stats"], ["--warm", "--stats"]),
        (["--ttl", "5", "--get", "k"], ["--ttl", "--set"]),
        (["--ttl", "5"], ["--ttl", "--set"]),
        (["--ttl", "5", "set", "k", "v"], ["--ttl", "set"]),
        (["--set", "k", "v", "--ttl", "soon"], ["--ttl", "'soon'", "1h30m"]),
        (["set", "k", "v", "--ttl", "-1"], ["--ttl", "-1"]),
        (["set", "k", "v", "--ttl", "nan"], ["--ttl", "nan"]),
        (["--set", "k"], ["--set"]),
        (["--get"], ["--get"]),
        (["get"], ["KEY"]),
        (["nonsense"], ["nonsense"]),
        (["--nonsense"], ["--nonsense"]),
        (["--warm"], ["FILE", "AIOCACHE_PE_WARM"]),
        (["warm", "absent.jsonl"], ["absent.jsonl", "No such file"]),
        (["warm", "calls", "--concurrency", "0"], ["--concurrency", "0"]),
        (["--backend", "memory", "--stats"], ["memory", "another process"]),
        (["--backend", "fiel", "--stats"], ["'fiel'", "file:///path"]),
        (["--namespace", "n" * 201, "--stats"], ["namespace", "200"]),
        (["set", "k" * 65_537, "1"], ["65536"]),
    ],
)
def test_an_invalid_command_line_is_refused_in_one_line(
    cli: Cli, tmp_path: Path, args: list[str], texts: list[str]
) -> None:
    result = cli(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert [text for text in texts if text not in result.stderr] == []
    assert ":pw@" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_an_action_the_help_is_shown(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.exit_code == 0
    for args in ([], ["--json"], ["-h"]):
        result = cli(*args)
        assert (result.exit_code, result.stdout) == (0, shown.stdout)


def test_the_help_has_all_flags_commands_and_exit_codes(cli: Cli) -> None:
    text = cli("--help").stdout
    for word in (
        *["--stats", "--clear", "--cleanup", "--warm [FILE]", "--get KEY", "--set KEY VALUE"],
        *["--ttl TTL", "--delete KEY", "--backend {file,redis}", "--redis-url URL"],
        *["stats", "clear", "cleanup", "get", "set", "delete", "keys", "inspect"],
        *["  0    success\n", "  1  ", "  2  ", "  3  ", "  130  ", "  141  "],
    ):
        assert word in text


def test_common_options_may_stand_before_or_after_the_command(cli: Cli, tmp_path: Path) -> None:
    directory = str(tmp_path / "here")
    assert cli("--directory", directory, "set", "k", "1", "--namespace", "n").exit_code == 0
    assert cli("get", "k", "--directory", directory, "--namespace", "n").stdout == "1\n"
    assert cli("--directory", directory, "--namespace", "n", "--get", "k").stdout == "1\n"
    assert cli("--json", "get", "k", "--directory", directory, "--namespace", "n").stdout[0] == "{"
    after = cli("--directory", "/nowhere", "get", "k", "--directory", directory, "--namespace", "n")
    assert after.stdout == "1\n"


def test_a_file_url_names_a_directory(cli: Cli, tmp_path: Path) -> None:
    url = (tmp_path / "by url").as_uri()
    assert cli("--backend", url, "--set", "k", "1").exit_code == 0
    assert cli("--directory", "by url", "--get", "k").stdout == "1\n"


def test_the_environment_has_the_defaults_of_options(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DIRECTORY", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("AIOCACHE_PE_NAMESPACE", "mine")
    assert cli("set", "k", "1").exit_code == 0
    assert (tmp_path / "elsewhere" / "mine").is_dir()
    assert cli("get", "k", "--namespace", "default").exit_code == 1
