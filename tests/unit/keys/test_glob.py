"""Patterns over keys."""

from __future__ import annotations

import pytest

from aiocache_pe.keys.glob import compile_glob


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
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
def test_a_pattern_matches_whole_keys_and_their_case(
    pattern: str, yes: list[str], no: list[str]
) -> None:
    matches = compile_glob(pattern)
    assert matches is not None
    assert [key for key in yes if not matches(key)] == []
    assert [key for key in no if matches(key)] == []


@pytest.mark.parametrize("pattern", [None, "*"])
def test_nothing_need_be_asked_when_everything_matches(pattern: str | None) -> None:
    assert compile_glob(pattern) is None
