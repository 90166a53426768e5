"""`import --format legacy-json`: what an old script's cache.json held is in the cache after."""

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
MADE = 1_700_000_000.5
FAR = 32_503_680_000  # the year 3000


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    return tmp_path / "cache.json"


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def entry(key: str) -> CacheEntry:
    found = CacheManager(directory="data/cache").entry(key)
    assert found is not None
    return found


def imported(cli: Cli, code: int = 0) -> dict[str, Any]:
    result = cli(*IMPORT, "--json")
    assert result.exit_code == code, result.output
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("wrapped", [False, True])
def test_values_times_and_counts_are_kept(cli: Cli, legacy: Path, wrapped: bool) -> None:
    entries = {
        "a key: with % signs": {
            "value": {"text": ["é", None, 1.5]},
            "created_at": MADE,
            "expires_at": FAR,
            "hit_count": 7,
        },
        "for ever": {"value": None, "created_at": MADE, "expires_at": None, "hit_count": 0},
        "entries": {"value": "of that name"},
    }
    write(legacy, {"version": 1, "entries": entries} if wrapped else entries)
    assert imported(cli) == {"imported": 3, "kept": 0, "expired": 0, "bad": []}
    taken = entry("a key: with % signs")
    assert taken.value == {"text": ["é", None, 1.5]}
    assert (taken.created_at, taken.expires_at, taken.hit_count) == (MADE, FAR, 7)
    assert (entry("for ever").expires_at, entry("for ever").hit_count) == (None, 0)
    cache = CacheManager(directory="data/cache")
    assert (cache.get_ttl("for ever"), cache.get("for ever", 1)) == (math.inf, None)
    assert cache.get("entries") == "of that name"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-11-14T22:13:20.5+00:00", MADE),
        ("2023-11-14T22:13:20.5Z", MADE),
        ("2023-11-15 00:13:20.500000+02:00", MADE),
        ("2023-11-14T22:13:20", datetime(2023, 11, 14, 22, 13, 20).astimezone(UTC).timestamp()),
    ],
)
def test_times_may_be_iso_8601(cli: Cli, legacy: Path, text: str, moment: float) -> None:
    write(legacy, {"k": {"value": 1, "created_at": text, "expires_at": "2999-12-31T00:00:00Z"}})
    assert imported(cli)["imported"] == 1
    assert entry("k").created_at == moment
    assert entry("k").expires_at == datetime(2999, 12, 31, tzinfo=UTC).timestamp()


def test_what_expired_is_left_out_and_counted(cli: Cli, legacy: Path) -> None:
    write(legacy, {"old": {"value": 1, "expires_at": MADE}, "new": {"value": 2}})
    result = cli(*IMPORT)
    assert result.output == "imported 1 entry\n1 entry left out that expired\n"
    assert sorted(CacheManager(directory="data/cache").keys()) == ["new"]


BAD = {
    "no object": (7, "is no object"),
    "no value": ({"created_at": 1}, 'no "value"'),
    "no time": ({"value": 1, "expires_at": "soon"}, 'expires_at is seconds .* not "soon"'),
    "no moment": ({"value": 1, "created_at": math.nan}, "created_at is seconds"),
    "endless": ({"value": 1, "expires_at": 10**400}, "expires_at is seconds"),
    "true": ({"value": 1, "created_at": True}, "created_at is seconds"),
    "no count": ({"value": 1, "hit_count": -1}, "hit_count is a number of reads, not -1"),
    "k" * 70_000: ({"value": 1}, "key"),
}


def test_what_means_nothing_is_reported_and_the_rest_is_not_lost(cli: Cli, legacy: Path) -> None:
    write(
        legacy, {"good": {"value": 1}} | {k: v for k, (v, _) in BAD.items()} | {"g": {"value": 2}}
    )
    result = cli(*IMPORT)
    assert result.exit_code == 1
    assert "all others are done" in result.stderr
    assert "more" in result.stderr
    told = imported(cli, 1)
    reasons = {one["key"]: one["reason"] for one in told["bad"]}
    assert reasons.keys() == BAD.keys()
    assert [key for key in BAD if not re.search(BAD[key][1], reasons[key])] == []
    assert told["kept"] == 2
    cache = CacheManager(directory="data/cache")
    assert cache.get_many(["good", "g"]) == {"good": 1, "g": 2}


def test_importing_again_changes_nothing_and_newer_entries_stay(cli: Cli, legacy: Path) -> None:
    write(legacy, {"k": {"value": "old", "created_at": MADE, "hit_count": 3}})
    assert imported(cli)["imported"] == 1
    assert imported(cli) == {"imported": 0, "kept": 1, "expired": 0, "bad": []}
    assert entry("k").hit_count == 3
    CacheManager(directory="data/cache").set("k", "newer")
    result = cli(*IMPORT)
    assert "1 entry kept" in result.output
    assert entry("k").value == "newer"


def test_many_go_into_the_namespace_that_is_named(cli: Cli, legacy: Path) -> None:
    write(legacy, {f"key {n}": {"value": n} for n in range(300)})
    assert cli(*IMPORT, "--namespace", "search").output == "imported 300 entries\n"
    cache = CacheManager(directory="data/cache")
    assert (cache.get_stats().total_entries, cache.get("key 7")) == (0, None)
    search = cache.namespace("search")
    assert (search.get_stats().total_entries, search.get("key 299")) == (300, 299)
    assert search.get_stats().sets == 300


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read cache.json: No such file"),
        ("", "is not JSON"),
        ('{"a": {"value": 1}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "accepted is a JSON object from keys to"),
        ('{"a": 1, "b": {}}', "accepted is a JSON object from keys to"),
        ('{"entries": [1]}', "accepted is a JSON object from keys to"),
    ],
)
def test_a_file_of_another_kind_is_refused_and_no_cache_is_made(
    cli: Cli, legacy: Path, content: str | None, says: str
) -> None:
    if content is not None:
        legacy.write_text(content)
    result = cli(*IMPORT)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (legacy.parent / "data").exists()


def test_an_empty_cache_is_no_error(cli: Cli, legacy: Path) -> None:
    contents: list[dict[str, Any]] = [{}, {"entries": {}}]
    for nothing in contents:
        write(legacy, nothing)
        assert imported(cli) == {"imported": 0, "kept": 0, "expired": 0, "bad": []}


def test_another_format_is_refused_by_what_there_is(cli: Cli) -> None:
    result = cli("import", "--format", "pickle", "cache.json")
    assert result.exit_code == 2
    assert "legacy-json" in result.stderr


def test_a_store_that_fails_is_told(cli: Cli, legacy: Path) -> None:
    write(legacy, {"k": {"value": 1}})
    (legacy.parent / "data").write_text("in the way")
    result = cli(*IMPORT)
    assert result.exit_code == 3


def test_the_standard_input_is_a_file_too(cli: Cli) -> None:
    given = json.dumps({"k": {"value": "from a pipe", "created_at": MADE}})
    done = cli(*IMPORT[:-1], "-", stdin=given)
    assert (done.exit_code, done.output) == (0, "imported 1 entry\n")
    assert entry("k").value == "from a pipe"
    bad = cli(*IMPORT[:-1], "-", stdin="nonsense")
    assert bad.exit_code == 2
    assert "the standard input is not JSON" in bad.stderr
