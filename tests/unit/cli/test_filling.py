"""Filling a cache from a file of calls, by flag and by name."""

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
async def find(what, limit=10):
    calls.append((what, limit))
    if what == "nothing":
        raise LookupError("no such thing")
    return [what] * limit

def plain(what):
    return what
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's, beside the calls."""
    monkeypatch.syspath_prepend("")  # as it was, after the test
    (tmp_path / "cli_shop.py").write_text(SHOP)
    yield "cli_shop"
    sys.modules.pop("cli_shop", None)


def write(*lines: object) -> str:
    path = Path("calls.jsonl")
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
    return str(path)


@pytest.mark.parametrize("spelling", [["warm"], ["--warm"]])
def test_calls_and_entries_are_stored_once(cli: Cli, shop: str, spelling: list[str]) -> None:
    file = write(
        "# what is asked for most",
        {"call": f"{shop}:find", "args": ["shoes"], "kwargs": {"limit": 2}},
        "",
        {"call": f"{shop}:find", "args": ["hats"]},
        {"key": "motd", "value": {"text": "hello"}, "ttl": "1h"},
    )
    done = cli(*spelling, file)
    assert (done.exit_code, done.output) == (0, "computed 3, present already 0\n")
    again = cli(*spelling, file)
    assert (again.exit_code, again.output) == (0, "computed 0, present already 3\n")
    assert cli("get", "motd").output == '{"text":"hello"}\n'
    assert sorted(sys.modules[shop].calls) == [("hats", 10), ("shoes", 2)]


def test_only_a_line_break_ends_a_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    odd = "a\u2028b\u2029c\x85d"
    lines = [json.dumps({"key": key, "value": odd}, ensure_ascii=False) for key in "xy"]
    file.write_bytes("\r\n".join(["\ufeff# from an editor", *lines]).encode())
    done = cli("warm", str(file))
    assert (done.exit_code, done.output) == (0, "computed 2, present already 0\n")
    assert json.loads(cli("get", "x", "--json").output)["value"] == odd


def test_refresh_computes_what_is_there(cli: Cli, shop: str) -> None:
    file = write({"call": f"{shop}:find", "args": ["shoes"]})
    for _ in range(2):
        assert cli("warm", file, "--refresh", "--concurrency", "1").exit_code == 0
    assert len(sys.modules[shop].calls) == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_a_call_that_fails_is_named_and_stops_no_other(cli: Cli, shop: str, as_json: bool) -> None:
    file = write(
        {"call": f"{shop}:find", "args": ["nothing"]}, {"call": f"{shop}:find", "args": ["shoes"]}
    )
    done = cli("warm", file, *["--json"] * as_json)
    assert done.exit_code == 1
    assert "1 failed, all others are done: " in done.stderr
    assert "LookupError: no such thing" in done.stderr
    if as_json:
        told = json.loads(done.stdout)
        assert (told["computed"], told["present"], told["failed"]) == (1, 0, 1)
        assert told["failures"][0]["error"] == "LookupError: no such thing"


@pytest.mark.parametrize(
    ("line", "told"),
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
def test_a_line_that_means_nothing_is_named_and_nothing_is_stored(
    cli: Cli, shop: str, line: str, told: str
) -> None:
    done = cli("warm", write(line))
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("spelling", [["warm"], ["--warm"]])
def test_the_standard_input_is_a_file_too(cli: Cli, spelling: list[str]) -> None:
    done = cli(*spelling, "-", stdin='{"key": "k", "value": 1}\n')
    assert (done.exit_code, done.output) == (0, "computed 1, present already 0\n")
    bad = cli(*spelling, "-", stdin="\n{}")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "the standard input, line 2: accepted are" in bad.stderr
    unreadable = cli(*spelling, "-", stdin=b"\xff")
    assert unreadable.exit_code == 2
    assert "the standard input is not UTF-8 text" in unreadable.stderr
