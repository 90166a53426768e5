"""Keys, tags and namespaces: checks with advice, and store keys that never collide."""

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
    is_internal_key,
    make_internal_prefix,
    make_namespace_prefix,
    quote,
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
    ("check", "value", "error", "message"),
    [
        (check_key, 7, TypeError, "key must be a str; got int: 7; make_cache_key()"),
        (check_key, b"k", TypeError, "got bytes"),
        (check_key, None, TypeError, "got NoneType"),
        (
            check_key,
            "x" * (MAX_KEY_LENGTH + 1),
            InvalidKeyError,
            "key must have at most 65536 characters; got 65537",
        ),
        (check_keys, "ab", TypeError, "keys must be an iterable of str; got str"),
        (check_keys, b"ab", TypeError, "keys must be an iterable of str; got bytes"),
        (check_keys, 7, TypeError, "keys must be an iterable of str; got int"),
        (check_keys, ["a", 7], TypeError, "key must be a str; got int"),
        (
            check_mapping,
            [("a", 1)],
            TypeError,
            "mapping must be a mapping from keys to values; got list",
        ),
        (check_mapping, {1: 1}, TypeError, "key must be a str; got int"),
        (check_tags, "news", TypeError, "tags must be an iterable of str; got str"),
        (check_tags, None, TypeError, "got NoneType"),
        (check_tags, [1], TypeError, "tag must be a str; got int"),
        (check_tags, [""], InvalidKeyError, "tag must have at least 1 character"),
        (make_namespace_prefix, 1, TypeError, "namespace must be a str; got int"),
        (
            make_namespace_prefix,
            "",
            InvalidKeyError,
            "namespace must have 1 to 200 characters; got 0",
        ),
        (
            make_namespace_prefix,
            "x" * 201,
            InvalidKeyError,
            "namespace must have 1 to 200 characters; got 201",
        ),
    ],
)
def test_an_invalid_argument_is_refused_with_the_accepted_values(
    check: Callable[[object], object], value: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check(value)


def test_an_error_message_truncates_a_long_value() -> None:
    with pytest.raises(TypeError) as caught:
        check_key([0] * 100_000)
    assert len(str(caught.value)) < 300


def test_keys_are_returned_in_order_without_duplicates() -> None:
    assert check_keys(iter(["b", "a", "b"])) == ["b", "a"]


def test_tags_are_sorted_and_without_duplicates() -> None:
    assert check_tags(iter(["b", "a", "b"])) == ("a", "b")
    assert check_tags(()) == ()


def test_a_mapping_from_keys_is_accepted() -> None:
    check_mapping({"a": 1, "": 2})


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_unquote_returns_the_quoted_text(text: str, upper: bool) -> None:
    quoted = quote(text, upper=upper)
    assert unquote(quoted) == text
    assert quoted.isascii()
    assert not set(quoted) & set(':/\\\0\n+*?"<>|~')
    assert quoted[:1] not in (".", "-")


def test_quoted_texts_differ_also_on_case_insensitive_file_systems() -> None:
    assert quote("User").casefold() != quote("user").casefold()
    assert quote("User", upper=True) == "User"


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "%ff", "a%"])
def test_text_that_is_no_result_of_quote_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"text must be a result of quote\(\)"):
        unquote(text)


@pytest.mark.parametrize("one", [text for text in TEXTS if text])
@pytest.mark.parametrize("other", ["default", "+tags", "a+tags", "a:"])
def test_namespaces_never_share_a_prefix(one: str, other: str) -> None:
    first, second = make_namespace_prefix(one), make_namespace_prefix(other)
    assert first.index(":") == len(first) - 1
    assert not first.startswith(second)
    assert not second.startswith(first)


@pytest.mark.parametrize("name", ["a", "a+tags", "+", "a:b+c"])
def test_internal_keys_never_collide_with_a_namespace(name: str) -> None:
    assert not is_internal_key(make_namespace_prefix(name) + "a+b:c")
    assert is_internal_key(make_internal_prefix(make_namespace_prefix(name), "tags") + "news")


def test_long_tags_are_shortened_and_remain_different() -> None:
    tags = ["x" * 200, "x" * 201, "x" * 201 + "y", "y" + "x" * 300, "\ud800" * 300]
    short = check_tags(tags)
    assert len(short) == len(tags)
    assert "x" * 200 in short
    assert max(map(len, short)) <= 200
    assert check_tags(short) == short  # the tags of a `CacheEntry` can be passed again
