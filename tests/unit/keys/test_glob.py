"""Glob patterns over keys."""

from __future__ import annotations

import pytest

from aiocache_pe.keys.glob import compile_glob


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("user:*", ["user:", "user:7", "user:a/b\nc"], ["User:7", "xuser:7", ""]),
        ("?", ["a", "*", "\n", "\N{PILE OF POO}"], ["", "ab"]),
        ("[ab]c", ["ac", "bc"], ["cc", "c", "[ab]c"]),
        ("[!a]", ["b", "!"], ["a", ""]),
        ("[*]", ["*"], ["a", ""]),
        ("a.b", ["a.b"], ["axb"]),
        ("[", ["["], ["a"]),
        ("", [""], ["a"]),
        ("\ud800*", ["\ud800x"], ["x"]),
        ("plain", ["plain"], ["plainer", "Plain"]),
    ],
)
def test_a_pattern_matches_whole_keys_and_is_case_sensitive(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    matches = compile_glob(pattern)
    assert matches is not None
    assert [key for key in matching if not matches(key)] == []
    assert [key for key in other if matches(key)] == []


@pytest.mark.parametrize("pattern", [None, "*"])
def test_a_pattern_that_matches_every_key_needs_no_function(pattern: str | None) -> None:
    assert compile_glob(pattern) is None
