"""Keys and namespaces: checked with a word of advice, and never able to meet."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from aiocache_pe.exceptions import InvalidKeyError
from aiocache_pe.keys.store_keys import (
    MAX_KEY_LENGTH,
    check_key,
    check_keys,
    check_mapping,
    check_tags,
    is_side,
    namespace_prefix,
    quote,
    side_area,
    unquote,
)

TEXTS = (
    "",
    "plain",
    "User",
    "a:b/c\\d",
    "..",
    ".hidden",
    "-flag",
    "100%",
    "%41",
    "\0",
    "line\nbreak",
    "\N{PILE OF POO}",
    "\ud800",
    "e\N{COMBINING ACUTE ACCENT}",
)


@pytest.mark.parametrize("key", [*TEXTS, "x" * MAX_KEY_LENGTH])
def test_any_text_is_a_key(key: str) -> None:
    assert check_key(key) is key


@pytest.mark.parametrize(
    ("check", "wrong", "error", "says"),
    [
        (check_key, 7, TypeError, "a key is a str, not int: 7; make_cache_key()"),
        (check_key, b"k", TypeError, "not bytes"),
        (check_key, None, TypeError, "not NoneType"),
        (check_key, "x" * (MAX_KEY_LENGTH + 1), InvalidKeyError, "65537 characters, at most 65536"),
        (check_keys, "ab", TypeError, "an iterable of str, not str"),
        (check_keys, b"ab", TypeError, "an iterable of str, not bytes"),
        (check_keys, 7, TypeError, "an iterable of str, not int"),
        (check_keys, ["a", 7], TypeError, "a key is a str, not int"),
        (check_mapping, [("a", 1)], TypeError, "a mapping from keys to values is wanted, not list"),
        (check_mapping, {1: 1}, TypeError, "a key is a str, not int"),
        (check_tags, "news", TypeError, "tags are an iterable of str, not str"),
        (check_tags, None, TypeError, "not NoneType"),
        (check_tags, [1], TypeError, "a tag is a str, not int"),
        (check_tags, [""], InvalidKeyError, "tag of 0 characters, at least 1"),
        (namespace_prefix, 1, TypeError, "a namespace is a str, not int"),
        (namespace_prefix, "", InvalidKeyError, "namespace of 0 characters, 1 to 200"),
        (namespace_prefix, "x" * 201, InvalidKeyError, "namespace of 201 characters"),
    ],
)
def test_what_is_no_key_is_refused_with_what_is_accepted(
    check: Callable[[object], object], wrong: object, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        check(wrong)


def test_an_error_does_not_quote_a_whole_document() -> None:
    with pytest.raises(TypeError) as caught:
        check_key([0] * 100_000)
    assert len(str(caught.value)) < 300


def test_many_keys_are_taken_once_each_in_their_order() -> None:
    assert check_keys(iter(["b", "a", "b"])) == ["b", "a"]


def test_tags_are_taken_once_each_and_sorted() -> None:
    assert check_tags(iter(["b", "a", "b"])) == ("a", "b")
    assert check_tags(()) == ()


def test_a_mapping_from_keys_passes() -> None:
    check_mapping({"a": 1, "": 2})


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_quoted_text_comes_back(text: str, upper: bool) -> None:
    quoted = quote(text, upper=upper)
    assert unquote(quoted) == text
    assert quoted.isascii()
    assert not set(quoted) & set(':/\\\0\n+*?"<>|~')
    assert quoted[:1] not in (".", "-")


def test_quoted_texts_differ_also_where_case_does_not_count() -> None:
    assert quote("User").casefold() != quote("user").casefold()
    assert quote("User", upper=True) == "User"


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "%ff", "a%"])
def test_what_quote_did_not_make_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not made by quote"):
        unquote(text)


@pytest.mark.parametrize("one", [text for text in TEXTS if text])
@pytest.mark.parametrize("other", ["default", "+tags", "a+tags", "a:"])
def test_namespaces_never_share_a_prefix(one: str, other: str) -> None:
    mine, its = namespace_prefix(one), namespace_prefix(other)
    assert mine.index(":") == len(mine) - 1
    assert not mine.startswith(its)
    assert not its.startswith(mine)


@pytest.mark.parametrize("name", ["a", "a+tags", "+", "a:b+c"])
def test_what_the_library_keeps_can_be_no_users_namespace(name: str) -> None:
    assert not is_side(namespace_prefix(name) + "a+b:c")
    assert is_side(side_area(namespace_prefix(name), "tags") + "news")


def test_long_tags_are_shortened_and_stay_different() -> None:
    tags = ["x" * 200, "x" * 201, "x" * 201 + "y", "y" + "x" * 300, "\ud800" * 300]
    short = check_tags(tags)
    assert len(short) == len(tags)
    assert "x" * 200 in short
    assert max(map(len, short)) <= 200
    assert check_tags(short) == short  # of what `CacheEntry.tags` tells, it makes the same
