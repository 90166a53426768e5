"""The command import: values, times and hit counts of cache.json files, and invalid files."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.engine.stats import CacheEntry
from aiocache_pe.sync import CacheManager
from tests.support.cli_fixtures import Cli

IMPORT = ("import", "--format", "legacy-json", "cache.json")
CREATED = 1_700_000_000.5
FUTURE = 32_503_680_000  # the year 3000


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    return tmp_path / "cache.json"


def write_file(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def read_entry(key: str) -> CacheEntry:
    entry = CacheManager(directory="data/cache").entry(key)
    assert entry is not None
    return entry


def run_import(cli: Cli, code: int = 0) -> dict[str, Any]:
    result = cli(*IMPORT, "--json")
    assert result.exit_code == code, result.output
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("wrapped", [False, True])
def test_values_times_and_hit_counts_are_imported(cli: Cli, legacy: Path, wrapped: bool) -> None:
    entries = {
        "a key: with % signs": {
            "value": {"text": ["é", None, 1.5]},
            "created_at": CREATED,
            "expires_at": FUTURE,
            "hit_count": 7,
        },
        "no expiry": {"value": None, "created_at": CREATED, "expires_at": None, "hit_count": 0},
        "entries": {"value": "of that name"},
    }
    write_file(legacy, {"version": 1, "entries": entries} if wrapped else entries)
    assert run_import(cli) == {"imported": 3, "kept": 0, "expired": 0, "bad": []}
    imported = read_entry("a key: with % signs")
    assert imported.value == {"text": ["é", None, 1.5]}
    assert (imported.created_at, imported.expires_at, imported.hit_count) == (CREATED, FUTURE, 7)
    assert (read_entry("no expiry").expires_at, read_entry("no expiry").hit_count) == (None, 0)
    cache = CacheManager(directory="data/cache")
    assert (cache.get_ttl("no expiry"), cache.get("no expiry", 1)) == (math.inf, None)
    assert cache.get("entries") == "of that name"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023-11-14T22:13:20.5+00:00", CREATED),
        ("2023-11-14T22:13:20.5Z", CREATED),
        ("2023-11-15 00:13:20.500000+02:00", CREATED),
        ("2023-11-14T22:13:20", datetime(2023, 11, 14, 22, 13, 20).astimezone(UTC).timestamp()),
    ],
)
def test_times_may_be_iso_8601(cli: Cli, legacy: Path, text: str, seconds: float) -> None:
    write_file(
        legacy, {"k": {"value": 1, "created_at": text, "expires_at": "2999-12-31T00:00:00Z"}}
    )
    assert run_import(cli)["imported"] == 1
    assert read_entry("k").created_at == seconds
    assert read_entry("k").expires_at == datetime(2999, 12, 31, tzinfo=UTC).timestamp()


def test_expired_entries_are_skipped_and_counted(cli: Cli, legacy: Path) -> None:
    write_file(legacy, {"old": {"value": 1, "expires_at": CREATED}, "new": {"value": 2}})
    result = cli(*IMPORT)
    assert result.output == "imported 1 entry\nskipped 1 entry: expired\n"
    assert sorted(CacheManager(directory="data/cache").keys()) == ["new"]


INVALID = {
    "a number": (7, "must be an object; got 7"),
    "no value": ({"created_at": 1}, 'has no "value"'),
    "a word": ({"value": 1, "expires_at": "soon"}, 'expires_at must be seconds .*; got "soon"'),
    "not a number": ({"value": 1, "created_at": math.nan}, "created_at must be seconds"),
    "a large int": ({"value": 1, "expires_at": 10**400}, "expires_at must be seconds"),
    "true": ({"value": 1, "created_at": True}, "created_at must be seconds"),
    "no count": ({"value": 1, "hit_count": -1}, "hit_count must be a number of reads; got -1"),
    "k" * 70_000: ({"value": 1}, "key"),
}


def test_invalid_entries_are_reported_and_all_others_imported(cli: Cli, legacy: Path) -> None:
    write_file(
        legacy,
        {"good": {"value": 1}} | {k: v for k, (v, _) in INVALID.items()} | {"g": {"value": 2}},
    )
    result = cli(*IMPORT)
    assert result.exit_code == 1
    assert "all others are done" in result.stderr
    assert "more" in result.stderr
    report = run_import(cli, 1)
    reasons = {entry["key"]: entry["reason"] for entry in report["bad"]}
    assert reasons.keys() == INVALID.keys()
    assert [key for key in INVALID if not re.search(INVALID[key][1], reasons[key])] == []
    assert report["kept"] == 2
    cache = CacheManager(directory="data/cache")
    assert cache.get_many(["good", "g"]) == {"good": 1, "g": 2}


def test_a_second_import_changes_nothing_and_newer_entries_remain(cli: Cli, legacy: Path) -> None:
    write_file(legacy, {"k": {"value": "old", "created_at": CREATED, "hit_count": 3}})
    assert run_import(cli)["imported"] == 1
    assert run_import(cli) == {"imported": 0, "kept": 1, "expired": 0, "bad": []}
    assert read_entry("k").hit_count == 3
    CacheManager(directory="data/cache").set("k", "newer")
    result = cli(*IMPORT)
    assert "skipped 1 entry: the cache has an entry that is not older" in result.output
    assert read_entry("k").value == "newer"


def test_many_entries_are_imported_into_another_namespace(cli: Cli, legacy: Path) -> None:
    write_file(legacy, {f"key {n}": {"value": n} for n in range(300)})
    assert cli(*IMPORT, "--namespace", "search").output == "imported 300 entries\n"
    cache = CacheManager(directory="data/cache")
    assert (cache.get_stats().total_entries, cache.get("key 7")) == (0, None)
    search = cache.namespace("search")
    assert (search.get_stats().total_entries, search.get("key 299")) == (300, 299)
    assert search.get_stats().sets == 300


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read cache.json: No such file"),
        ("", "is not JSON"),
        ('{"a": {"value": 1}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "must be a JSON object from keys to"),
        ('{"a": 1, "b": {}}', "must be a JSON object from keys to"),
        ('{"entries": [1]}', "must be a JSON object from keys to"),
    ],
)
def test_a_file_of_another_format_is_refused_and_no_cache_is_created(
    cli: Cli, legacy: Path, content: str | None, message: str
) -> None:
    if content is not None:
        legacy.write_text(content)
    result = cli(*IMPORT)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (legacy.parent / "data").exists()


def test_an_empty_file_is_not_an_error(cli: Cli, legacy: Path) -> None:
    contents: list[dict[str, Any]] = [{}, {"entries": {}}]
    for content in contents:
        write_file(legacy, content)
        assert run_import(cli) == {"imported": 0, "kept": 0, "expired": 0, "bad": []}


def test_the_error_for_an_unknown_format_has_the_known_ones(cli: Cli) -> None:
    result = cli("import", "--format", "pickle", "cache.json")
    assert result.exit_code == 2
    assert "legacy-json" in result.stderr


def test_a_failing_store_is_reported(cli: Cli, legacy: Path) -> None:
    write_file(legacy, {"k": {"value": 1}})
    (legacy.parent / "data").write_text("in the way")
    result = cli(*IMPORT)
    assert result.exit_code == 3


def test_the_file_is_read_from_standard_input(cli: Cli) -> None:
    text = json.dumps({"k": {"value": "from a pipe", "created_at": CREATED}})
    result = cli(*IMPORT[:-1], "-", stdin=text)
    assert (result.exit_code, result.output) == (0, "imported 1 entry\n")
    assert read_entry("k").value == "from a pipe"
    bad = cli(*IMPORT[:-1], "-", stdin="nonsense")
    assert bad.exit_code == 2
    assert "standard input is not JSON" in bad.stderr
