"""What the command line accepts, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli_fixtures import Cli


@pytest.mark.parametrize(
    ("args", "told"),
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
        (["--warm"], ["--warm"]),
        (["warm", "absent.jsonl"], ["absent.jsonl", "No such file"]),
        (["warm", "calls", "--concurrency", "0"], ["--concurrency", "0"]),
        (["--backend", "memory", "--stats"], ["memory", "another process"]),
        (["--backend", "fiel", "--stats"], ["'fiel'", "file:///path"]),
        (["--namespace", "n" * 201, "--stats"], ["namespace", "200"]),
        (["set", "k" * 65_537, "1"], ["65536"]),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(
    cli: Cli, tmp_path: Path, args: list[str], told: list[str]
) -> None:
    result = cli(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert [text for text in told if text not in result.stderr] == []
    assert ":pw@" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_action_is_a_question_for_help(cli: Cli) -> None:
    asked = cli("--help")
    assert asked.exit_code == 0
    for args in ([], ["--json"], ["-h"]):
        result = cli(*args)
        assert (result.exit_code, result.stdout) == (0, asked.stdout)


def test_help_tells_the_exit_codes_and_names_everything(cli: Cli) -> None:
    text = cli("--help").stdout
    for word in (
        *["--stats", "--clear", "--cleanup", "--warm FILE", "--get KEY", "--set KEY VALUE"],
        *["--ttl TTL", "--delete KEY", "--backend {file,redis}", "--redis-url URL"],
        *["stats", "clear", "cleanup", "get", "set", "delete", "keys", "inspect"],
        *["  0    done\n", "  1  ", "  2  ", "  3  ", "  130  ", "  141  "],
    ):
        assert word in text


def test_common_options_stand_before_the_command_or_after_it(cli: Cli, tmp_path: Path) -> None:
    where = str(tmp_path / "here")
    assert cli("--directory", where, "set", "k", "1", "--namespace", "n").exit_code == 0
    assert cli("get", "k", "--directory", where, "--namespace", "n").stdout == "1\n"
    assert cli("--directory", where, "--namespace", "n", "--get", "k").stdout == "1\n"
    assert cli("--json", "get", "k", "--directory", where, "--namespace", "n").stdout[0] == "{"
    after = cli("--directory", "/nowhere", "get", "k", "--directory", where, "--namespace", "n")
    assert after.stdout == "1\n"


def test_a_file_url_names_a_directory(cli: Cli, tmp_path: Path) -> None:
    url = (tmp_path / "by url").as_uri()
    assert cli("--backend", url, "--set", "k", "1").exit_code == 0
    assert cli("--directory", "by url", "--get", "k").stdout == "1\n"


def test_the_environment_says_what_the_command_line_does_not(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DIRECTORY", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("AIOCACHE_PE_NAMESPACE", "mine")
    assert cli("set", "k", "1").exit_code == 0
    assert (tmp_path / "elsewhere" / "mine").is_dir()
    assert cli("get", "k", "--namespace", "default").exit_code == 1
