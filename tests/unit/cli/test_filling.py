"""The command warm and its flag: call files, standard input, and calls that fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_fixtures import Cli

SHOP = """
from aiocache_pe import CacheManager, cached
cache = CacheManager(directory="data/cache")
calls = []

@cached(cache=cache, key_prefix="shop")
async def find(item, limit=10):
    calls.append((item, limit))
    if item == "nothing":
        raise LookupError("no such thing")
    return [item] * limit

def plain(item):
    return item
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Create a user's module in the current directory, and return its name."""
    monkeypatch.syspath_prepend("")  # the command adds it to the path; this restores the path
    (tmp_path / "cli_shop.py").write_text(SHOP)
    yield "cli_shop"
    sys.modules.pop("cli_shop", None)


def write_calls(*lines: object) -> str:
    path = Path("calls.jsonl")
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return str(path)


@pytest.mark.parametrize("spelling", [["warm"], ["--warm"]])
def test_calls_and_entries_are_stored_once(cli: Cli, shop: str, spelling: list[str]) -> None:
    file = write_calls(
        "# the most frequent calls",
        {"call": f"{shop}:find", "args": ["shoes"], "kwargs": {"limit": 2}},
        "",
        {"call": f"{shop}:find", "args": ["hats"]},
        {"key": "motd", "value": {"text": "hello"}, "ttl": "1h"},
    )
    first = cli(*spelling, file)
    assert (first.exit_code, first.output) == (0, "computed 3, already present 0\n")
    second = cli(*spelling, file)
    assert (second.exit_code, second.output) == (0, "computed 0, already present 3\n")
    assert cli("get", "motd").output == '{"text":"hello"}\n'
    assert sorted(sys.modules[shop].calls) == [("hats", 10), ("shoes", 2)]


def test_only_a_line_break_ends_a_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    value = "a\u2028b\u2029c\x85d"
    lines = [json.dumps({"key": key, "value": value}, ensure_ascii=False) for key in "xy"]
    file.write_bytes("\r\n".join(["\ufeff# from an editor", *lines]).encode())
    result = cli("warm", str(file))
    assert (result.exit_code, result.output) == (0, "computed 2, already present 0\n")
    assert json.loads(cli("get", "x", "--json").output)["value"] == value


def test_refresh_recomputes_existing_entries(cli: Cli, shop: str) -> None:
    file = write_calls({"call": f"{shop}:find", "args": ["shoes"]})
    for _ in range(2):
        assert cli("warm", file, "--refresh", "--concurrency", "1").exit_code == 0
    assert len(sys.modules[shop].calls) == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failed_call_is_named_and_does_not_stop_the_others(
    cli: Cli, shop: str, as_json: bool
) -> None:
    file = write_calls(
        {"call": f"{shop}:find", "args": ["nothing"]}, {"call": f"{shop}:find", "args": ["shoes"]}
    )
    result = cli("warm", file, *["--json"] * as_json)
    assert result.exit_code == 1
    assert "1 failed, all others are done: " in result.stderr
    assert "LookupError: no such thing" in result.stderr
    if as_json:
        report = json.loads(result.stdout)
        assert (report["computed"], report["present"], report["failed"]) == (1, 0, 1)
        assert report["failures"][0]["error"] == "LookupError: no such thing"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1"),
        ('{"call": "nonsense"}', "module:function"),
        ('{"call": "no_such_module_here:find"}', "no_such_module_here"),
        ('{"call": "cli_shop:plain", "args": ["x"]}', "plain"),
        ('{"key": 7, "value": 1}', "key must be a str"),
        ('{"key": "k", "value": 1, "ttl": "soon"}', "soon"),
        ("[]", '{"key": ..., "value": ..., "ttl": ...}'),
    ],
)
def test_an_invalid_line_is_reported_and_nothing_is_stored(
    cli: Cli, shop: str, line: str, message: str
) -> None:
    result = cli("warm", write_calls(line))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("spelling", [["warm"], ["--warm"]])
def test_calls_are_read_from_standard_input(cli: Cli, spelling: list[str]) -> None:
    result = cli(*spelling, "-", stdin='{"key": "k", "value": 1}\n')
    assert (result.exit_code, result.output) == (0, "computed 1, already present 0\n")
    bad = cli(*spelling, "-", stdin="\n{}")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "standard input, line 2: a line must be" in bad.stderr
    unreadable = cli(*spelling, "-", stdin=b"\xff")
    assert unreadable.exit_code == 2
    assert "standard input is not UTF-8 text" in unreadable.stderr


@pytest.mark.parametrize("spelling", [["warm"], ["--warm"]])
def test_the_environment_names_the_call_file(
    spelling: list[str], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cli(*spelling)
    assert (result.exit_code, "or AIOCACHE_PE_WARM must name a call" in result.stderr) == (2, True)
    path = tmp_path / "calls.jsonl"
    path.write_text('{"key": "motd", "value": "hello"}')
    monkeypatch.setenv("AIOCACHE_PE_WARM", str(path))
    assert cli(*spelling).stdout == "computed 1, already present 0\n"
    assert cli("get", "motd").stdout == "hello\n"
