"""Commands on a real directory, by flag and by command."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.decorators.cached import cached
from tests.support.cli_fixtures import Cli
from tests.support.command_line import make_environment

DIRECTORY = "data/cache"


async def fill(**values: Any) -> None:
    async with CacheManager(directory=DIRECTORY) as cache:
        await cache.set_many(values)


async def read(key: str) -> Any:
    async with CacheManager(directory=DIRECTORY) as cache:
        return await cache.get(key)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        ("hello", "hello"),
        ('"12"', "12"),
        ("12", 12),
        ("-5", -5),
        ("null", None),
        ("", ""),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
async def test_a_value_is_stored_as_json_or_as_text(cli: Cli, text: str, value: object) -> None:
    for name, spelling in {"flag": ["--set"], "command": ["set", "--"]}.items():
        result = await call_in_thread(cli, *spelling, name, text)
        assert (result.exit_code, result.output) == (0, "")
        stored = await read(name)
        assert stored == value
        assert type(stored) is type(value)


async def call_in_thread(cli: Cli, *args: str, **more: Any) -> Any:
    """Run the program in a thread, because it runs an event loop of its own."""
    return await asyncio.to_thread(cli, *args, **more)


def test_standard_input_is_stored_exactly(cli: Cli) -> None:
    assert cli("set", "text", "-", stdin="two\nlines\n").exit_code == 0
    assert cli("--set", "data", "-", stdin=' {"a": 1}\n').exit_code == 0
    assert cli("--get", "text").stdout == "two\nlines\n"
    assert cli("--get", "data").stdout == '{"a":1}\n'


def test_standard_input_must_be_text(cli: Cli) -> None:
    result = cli("set", "k", "-", stdin=b"caf\xff")
    assert result.exit_code == 2
    assert "standard input is not UTF-8 text" in result.stderr


def test_a_time_to_live_is_seconds_or_a_duration(cli: Cli) -> None:
    for ttl, seconds in {"90": 90, "1h30m": 5400, "0.5": 0.5}.items():
        for args in (["--set", "k", "v", "--ttl", ttl], ["set", "k", "v", "--ttl", ttl]):
            assert cli(*args).exit_code == 0
            if seconds > 1:
                ttl_left = json.loads(cli("inspect", "k", "--json").stdout)["ttl"]
                assert seconds - 30 < ttl_left <= seconds
    assert cli("set", "k", "v", "--ttl", "inf").exit_code == 0
    assert json.loads(cli("inspect", "k", "--json").stdout)["ttl"] is None


async def test_a_value_is_printed_for_use_in_scripts(cli: Cli) -> None:
    await fill(
        text="hello", data={"é": [1, None]}, none=None, pair=(1, 2), price=Decimal("1.5"), raw=b"\0"
    )
    outputs = {
        "text": "hello\n",
        "data": '{"é":[1,null]}\n',
        "none": "null\n",
        "pair": "tuple: (1, 2)\n",
        "price": "decimal.Decimal: Decimal('1.5')\n",
        "raw": "bytes: b'\\x00'\n",
    }
    for key, text in outputs.items():
        for args in (["--get", key], ["get", key]):
            result = await call_in_thread(cli, *args)
            assert (result.exit_code, result.stdout) == (0, text)


async def test_json_output_distinguishes_texts_from_other_values(cli: Cli) -> None:
    await fill(number=12, text="12", day=datetime(2026, 1, 2, tzinfo=UTC))
    answers = [
        json.loads((await call_in_thread(cli, "get", key, "--json")).stdout)
        for key in ("number", "text", "day")
    ]
    assert answers == [
        {"key": "number", "type": "int", "value": 12},
        {"key": "text", "type": "str", "value": "12"},
        {
            "key": "day",
            "type": "datetime.datetime",
            "repr": "datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)",
        },
    ]


def test_a_missing_entry_is_an_error(cli: Cli) -> None:
    assert cli("set", "other", "1").exit_code == 0
    for args in (
        ["--get", "k"],
        ["get", "k"],
        ["--delete", "k"],
        ["delete", "k"],
        ["inspect", "k"],
    ):
        for more in ([], ["--json"]):
            result = cli(*args, *more)
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr == "Error: no entry 'k'\n"


def test_delete_removes_an_entry(cli: Cli) -> None:
    for args in (["--delete", "k"], ["delete", "k"]):
        assert cli("set", "k", "1").exit_code == 0
        assert (cli(*args).exit_code, cli("get", "k").exit_code) == (0, 1)


def test_set_and_delete_print_json_on_request(cli: Cli) -> None:
    assert json.loads(cli("--json", "set", "k", "1").stdout) == {"key": "k", "stored": True}
    assert json.loads(cli("--delete", "k", "--json").stdout) == {"key": "k", "deleted": True}


async def test_keys_lists_the_matching_keys(cli: Cli) -> None:
    await fill(**{"user:1": 1, "user:2": 2, "page:1": 3, "line\nbreak": 4})
    assert sorted((await call_in_thread(cli, "keys", "user:*")).stdout.split()) == [
        "user:1",
        "user:2",
    ]
    lines = (await call_in_thread(cli, "keys", "--json")).stdout.splitlines()
    assert sorted(map(json.loads, lines)) == ["line\nbreak", "page:1", "user:1", "user:2"]
    nothing = await call_in_thread(cli, "keys", "absent*")
    assert (nothing.exit_code, nothing.output) == (0, "")


async def test_inspect_prints_the_metadata(cli: Cli) -> None:
    async with CacheManager(directory=DIRECTORY) as cache:
        await cache.set("k", {"a": 1}, ttl="1h", tags=["news", "ai"])
        await cache.get("k")
    facts = json.loads((await call_in_thread(cli, "inspect", "k", "--json")).stdout)
    assert facts["key"] == "k"
    assert facts["namespace"] == "default"
    assert facts["type"] == "dict"
    assert facts["tags"] == ["ai", "news"]
    assert facts["codec"] == "json"
    assert facts["hit_count"] == 1
    assert math.isclose(facts["expires_at"] - facts["created_at"], 3600)
    assert 0 < facts["ttl"] <= 3600
    assert facts["last_access"] >= facts["created_at"]
    assert facts["size_bytes"] == os.stat(facts["file"]).st_size  # noqa: PTH116 - a test
    printed = (await call_in_thread(cli, "inspect", "k")).stdout
    for text in ("type         dict\n", "hits         1\n", "tags         ai, news\n"):
        assert text in printed


async def test_inspect_prints_the_version_of_the_function_that_stored_an_entry(cli: Cli) -> None:
    async with CacheManager(directory=DIRECTORY) as cache:

        @cached(cache=cache)
        async def ask(question: str) -> str:
            return question

        @cached(cache=cache, version=7)
        async def ask_again(question: str) -> str:
            return question

        await ask("why?")
        await ask_again("why?")
        key = ask.cache_key("why?")
        other = ask_again.cache_key("why?")
    digest = key.partition("@")[2].partition(":")[0]
    printed = (await call_in_thread(cli, "inspect", key)).stdout
    assert f"version      {digest}\n" in printed
    facts = json.loads((await call_in_thread(cli, "inspect", other, "--json")).stdout)
    assert facts["version"] == "7"


def test_inspect_prints_an_expiry_beyond_the_year_9999(cli: Cli) -> None:
    assert cli("set", "k", "v", "--ttl", "1e300").exit_code == 0
    assert "expires      after the year 9999, in 1.16e+295d\n" in cli("inspect", "k").stdout


async def test_inspecting_commands_do_not_count_as_reads(cli: Cli) -> None:
    await fill(k=1)
    for args in (["keys"], ["inspect", "k"], ["inspect", "absent"], ["stats"]):
        await call_in_thread(cli, *args)
    stats = json.loads((await call_in_thread(cli, "stats", "--json")).stdout)
    assert (stats["hits"], stats["misses"], stats["errors"]) == (0, 0, 0)


def test_get_counts_as_a_read(cli: Cli) -> None:
    for args in (["set", "k", "1"], ["get", "k"], ["--get", "k"], ["get", "absent"]):
        cli(*args)
    stats = json.loads(cli("--stats", "--json").stdout)
    assert stats == {
        "namespace": "default",
        "hits": 2,
        "misses": 1,
        "hit_rate": 2 / 3,
        "sets": 1,
        "deletes": 0,
        "evictions": 0,
        "expirations": 0,
        "errors": 0,
        "seconds_saved": 0.0,
        "input_tokens_saved": 0,
        "output_tokens_saved": 0,
        "money_saved": 0.0,
        "total_entries": 1,
        "total_size_bytes": stats["total_size_bytes"],
        "stale_hits": 0,
        "load_failures": 0,
        "unstorable": 0,
    }
    lines = cli("--stats").stdout.splitlines()
    assert "hit rate     66.7%" in lines
    assert "entries      1" in lines
    assert f"size         {stats['total_size_bytes']} B" in lines


async def test_cleanup_removes_invalidated_entries(cli: Cli) -> None:
    for args in (["--cleanup"], ["cleanup"]):
        async with CacheManager(directory=DIRECTORY) as cache:
            await cache.set("valid", 1)
            await cache.set("invalidated", 1, tags=["t"])
            await cache.delete_by_tag("t")
        result = await call_in_thread(cli, *args)
        assert (result.exit_code, result.stdout) == (0, "removed 1 entry\n")
    assert json.loads((await call_in_thread(cli, "cleanup", "--json")).stdout) == {"removed": 0}


def test_clear_removes_one_namespace(cli: Cli) -> None:
    for args in (["--clear", "--yes"], ["clear", "--yes"], ["--yes", "clear"]):
        for namespace in ("a", "b"):
            assert cli("--namespace", namespace, "set", "k", "1").exit_code == 0
        result = cli("--namespace", "a", *args)
        assert (result.exit_code, result.stdout) == (0, "removed 1 entry\n")
        assert cli("get", "k", "--namespace", "a").exit_code == 1
        assert cli("get", "k", "--namespace", "b").exit_code == 0


def test_clear_without_a_terminal_removes_nothing(cli: Cli) -> None:
    cli("set", "k", "1")
    for args in (["--clear"], ["clear"]):
        result = cli(*args, stdin="y\n")
        assert result.exit_code == 2
        assert "add --yes to confirm" in result.stderr
    assert cli("get", "k").exit_code == 0


async def fill_namespaces(*names: str) -> None:
    async with CacheManager(directory=DIRECTORY) as cache:
        for name in names:
            await cache.namespace(name).set("k", name)


async def test_namespaces_lists_those_with_entries(cli: Cli) -> None:
    await fill_namespaces("default", "Search:\x1b[31m", "x" * 200)
    async with CacheManager(directory=DIRECTORY) as cache:
        assert await cache.namespaces() == sorted(["default", "Search:\x1b[31m", "x" * 200])
        await cache.delete("k")
        assert await cache.namespaces() == sorted(["Search:\x1b[31m", "x" * 200])
    listed = json.loads((await call_in_thread(cli, "namespaces", "--json")).stdout)
    assert [each["namespace"] for each in listed] == sorted(["Search:\x1b[31m", "x" * 200])
    assert [each["entries"] for each in listed] == [1, 1]
    text = (await call_in_thread(cli, "namespaces")).stdout
    assert "Search:\\u001b[31m" in text
    assert "1 entry, " in text


@pytest.mark.parametrize("command", ["stats", "keys", "clear"])
async def test_an_empty_namespace_gives_a_hint_at_others_with_entries(
    cli: Cli, command: str
) -> None:
    await fill_namespaces("search")
    yes = ["--yes"] if command == "clear" else []
    result = await call_in_thread(cli, command, *yes)
    assert result.exit_code == 0
    assert result.stderr == (
        "Hint: namespace 'default' is empty, and other ones have entries: 'search'; "
        "use --namespace or --all-namespaces\n"
    )
    assert (await call_in_thread(cli, command, *yes, "--namespace", "search")).stderr == ""


async def test_a_command_can_concern_all_namespaces(cli: Cli) -> None:
    await fill_namespaces("a", "b")
    spans = "--all-namespaces"
    stats = (await call_in_thread(cli, spans, "stats", "--json")).stdout.splitlines()
    assert [json.loads(line)["namespace"] for line in stats] == ["a", "b"]
    assert (await call_in_thread(cli, "--stats", spans)).stdout.count("hit rate") == 2
    assert (await call_in_thread(cli, "keys", spans)).stdout == "a\tk\nb\tk\n"
    lines = (await call_in_thread(cli, "keys", spans, "--json")).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"namespace": "a", "key": "k"},
        {"namespace": "b", "key": "k"},
    ]
    assert (await call_in_thread(cli, "cleanup", spans)).stdout == "removed 0 entries\n"
    assert (await call_in_thread(cli, "clear", spans, "--yes")).stdout == "removed 2 entries\n"


async def test_all_namespaces_is_refused_where_it_has_no_meaning(cli: Cli) -> None:
    await fill_namespaces("a")
    result = await call_in_thread(cli, "get", "k", "--all-namespaces")
    assert (result.exit_code, "valid only with stats, keys," in result.stderr) == (2, True)
    result = await call_in_thread(cli, "stats", "--namespace", "a", "--all-namespaces")
    assert (result.exit_code, "must not be given together" in result.stderr) == (2, True)


def test_the_file_of_an_old_cache_manager_is_reported_with_the_import_command(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / DIRECTORY).mkdir(parents=True)
    old = tmp_path / DIRECTORY / "cache.json"
    old.write_text('{"a": {"value": 1}}')
    result = cli("stats")
    command = f"import --format legacy-json {old}"
    assert (result.exit_code, command in result.stderr) == (3, True)
    assert cli("import", "--format", "legacy-json", str(old)).stdout == "imported 1 entry\n"
    assert "import --format legacy-json" in cli("doctor").stdout
    old.unlink()
    assert "legacy" not in cli("doctor").stdout


def test_the_module_of_the_blocking_api_is_the_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "aiocache_pe.sync", "--set", "a", "1"],
        cwd=tmp_path,
        env=make_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert list((tmp_path / DIRECTORY).glob("default/*/*-a"))
