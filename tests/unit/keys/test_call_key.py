"""Keys of calls: equal calls have one key, different calls have different keys."""

from __future__ import annotations

import inspect
import re
from array import array
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocache_pe.decorators.settings import Settings
from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.call_key import CallKey, make_cache_key
from aiocache_pe.keys.short_keys import make_label, make_printable
from tests.support.calls import DIFFERENT, Client


def plain(a: Any, b: Any = 2, *, c: Any = None) -> None: ...
def variadic(a: Any, *rest: Any, **options: Any) -> None: ...
def positional(a: Any, b: Any = 2, /, c: Any = 3) -> None: ...
def without_parameters() -> None: ...
def outside_class(self: Any) -> None: ...


class Service:
    def method(self, a: Any) -> None: ...


def make_key_function(
    function: Callable[..., Any], prefix: str | None = None
) -> Callable[..., str]:
    """Return a function from a call's arguments to its key."""
    start = Settings(key_prefix=prefix).make_key_start(function)
    call_key = CallKey(function, prefix=f"default:{start}")
    return lambda *args, **kwargs: call_key.make_key(args, kwargs)


SPELLINGS: list[tuple[Callable[..., Any], list[tuple[tuple[Any, ...], dict[str, Any]]]]] = [
    (
        plain,
        [
            ((1,), {}),
            ((), {"a": 1}),
            ((1, 2), {}),
            ((1,), {"b": 2}),
            ((), {"b": 2, "a": 1}),
            ((1,), {"c": None, "b": 2}),
        ],
    ),
    (positional, [((1,), {}), ((1, 2), {}), ((1, 2, 3), {}), ((1,), {"c": 3})]),
    (variadic, [((1,), {"x": 1, "y": 2}), ((1,), {"y": 2, "x": 1})]),
    (variadic, [((1,), {}), ((), {"a": 1})]),
    (without_parameters, [((), {})]),
]


@pytest.mark.parametrize(("function", "calls"), SPELLINGS)
def test_equal_calls_have_the_same_key_in_every_spelling(
    function: Callable[..., Any], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    key = make_key_function(function)
    for _ in range(3):  # computed, computed and memoized, found
        assert len({key(*args, **kwargs) for args, kwargs in calls}) == 1


def test_different_calls_have_different_keys() -> None:
    key = make_key_function(variadic)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((1,), {}),
        ((1, 2), {}),
        ((1, (2,)), {}),
        ((1, 2, 3), {}),
        (((1, 2),), {}),
        ((1,), {"b": 2}),
        ((1,), {"b": "2"}),
        ((1, "b", 2), {}),
        ((1, {"b": 2}), {}),
        ((1,), {"options": {"b": 2}}),
        ((1,), {"rest": (2,)}),
    ]
    assert len({key(*args, **kwargs) for args, kwargs in calls}) == len(calls)


@pytest.mark.parametrize("function", [plain, variadic, positional])
def test_different_arguments_have_different_keys_also_when_memoized(
    function: Callable[..., Any],
) -> None:
    key = make_key_function(function)
    first = {name: key(value) for name, value in DIFFERENT.items()}
    assert [pair for pair in combinations(first, 2) if first[pair[0]] == first[pair[1]]] == []
    for _ in range(2):
        assert {name: key(value) for name, value in DIFFERENT.items()} == first
        assert {name: key(value) for name, value in reversed(DIFFERENT.items())} == first


def test_values_with_equal_marshal_bytes_have_different_keys() -> None:
    key = make_key_function(plain)
    assert key(b"a") != key(bytearray(b"a"))
    for _ in range(3):
        assert len({key(array("b", b"a")), key(array("B", b"a")), key(b"a"), key("a")}) == 4
        with pytest.raises(UnstableIdentityError):
            key(memoryview(b"a"))


def test_other_functions_and_prefixes_have_different_keys() -> None:
    keys = {
        make_key_function(plain)(1),
        make_key_function(positional)(1),
        make_key_function(plain, "llm")(1),
        make_key_function(positional, "llm")(1),
        make_key_function(plain, "search")(1),
        make_key_function(plain, "")(1),
    }
    assert len(keys) == 6
    assert make_key_function(plain)(1).startswith(f"default:{__name__}.plain:")
    assert make_key_function(plain, "llm")(1).startswith("default:llm:plain:")


def test_a_parameter_self_outside_a_class_is_an_argument() -> None:
    assert make_key_function(outside_class)(1) != make_key_function(outside_class)(2)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"d": 1}), ((), {"b": 1})],
)
def test_wrong_arguments_raise_the_type_error_of_inspect(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError) as expected:
        inspect.signature(plain).bind(*args, **kwargs)
    with pytest.raises(TypeError, match=re.escape(str(expected.value))):
        make_key_function(plain)(*args, **kwargs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda key: key(object()), "a is a builtins.object"),
        (lambda key: key(1, c=[object()]), r"c\[0\] is a builtins.object"),
        (lambda key: key(1, b={"client": Service()}), r"b\['client'\] is a .*\.Service"),
    ],
)
def test_an_error_names_the_refused_argument(
    call: Callable[[Callable[..., str]], str], message: str
) -> None:
    with pytest.raises(UnstableIdentityError, match=message):
        call(make_key_function(plain))


def test_a_default_without_a_state_is_accepted_as_a_marker() -> None:
    class Omitted: ...

    omitted, empty = Omitted(), object()
    omitted.__module__ = "sdk"  # as the OpenAI SDK sets it on all that it exports

    def search(query: str, limit: Any = omitted, *, page: Any = empty) -> None: ...

    key = make_key_function(search)
    keys = [key("a"), key("a", None), key("a", 10), key("a", page=1), key("b")]
    assert len(set(keys)) == len(keys)
    assert key(query="a", limit=omitted, page=empty) == key("a")
    assert key("a").endswith(":a:58688d6826a74926488ad309d184a855")  # the same in every process
    for other in (Omitted(), object(), Service()):
        with pytest.raises(UnstableIdentityError, match=r"limit is a .*\.(Omitted|object|Service)"):
            key("a", other)


def test_a_default_with_a_state_is_refused_like_any_other_argument() -> None:
    class Session:
        def __init__(self, url: str) -> None:
            self.url = url

    class Slotted:
        __slots__ = ("url",)

        def __init__(self, url: str) -> None:
            self.url = url

    for session in (Session("a"), Slotted("a"), [object()]):

        def fetch(query: str, session: Any = session) -> None: ...

        with pytest.raises(UnstableIdentityError, match="session"):
            make_key_function(fetch)("a")


def test_objects_at_one_address_never_share_a_key() -> None:
    key = make_key_function(plain)
    assert len({key(Client(f"https://{n}")) for n in range(100)}) == 100
    for _ in range(100):
        with pytest.raises(UnstableIdentityError):
            key(Service())


@pytest.mark.parametrize(
    "prompt", ["word " * 20_000, "\N{PILE OF POO}" * 100_000, "\n \t" * 40_000]
)
def test_a_long_prompt_has_a_short_key(prompt: str) -> None:
    key = make_cache_key(prompt, model="gpt")
    assert len(key) <= 40 + 1 + 32
    assert key == make_cache_key(prompt, model="gpt")
    assert key != make_cache_key(prompt + ".", model="gpt")


def test_a_key_begins_with_a_readable_label() -> None:
    key = make_cache_key("Name\n the   capital of France, and the year since then.", 1)
    assert re.fullmatch(r"Name the capital of France, and the year:[0-9a-f]{32}", key)
    assert re.fullmatch(r"[0-9a-f]{32}", make_cache_key(1, [2]))
    assert re.fullmatch(r"second:[0-9a-f]{32}", make_cache_key("", "second"))
    assert re.match(r"default:.*\.plain:Why\?:", make_key_function(plain)("Why?"))


@given(st.text())
def test_a_key_is_printable_text(text: str) -> None:
    for key in (make_cache_key(text), make_key_function(plain)(text)):
        assert key.isprintable()
        assert key.encode()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("\x1b[31mred\x1b[0m\x07", "[31mred[0m"),
        ("\u202eabc\u2066\u200f", "abc"),
        ("\ud800a\udfff", "a"),
        ("a\xad\u200bb\ue000", "ab"),
        ("\N{FACE WITH MONOCLE}", ""),
        ("caf\xe9 \N{GRINNING FACE} \u4f60\u597d", "caf\xe9 \N{GRINNING FACE} \u4f60\u597d"),
    ],
)
def test_a_label_has_printable_characters_only(text: str, label: str) -> None:
    assert make_label(text) == label
    assert (make_cache_key(text) == make_cache_key(label)) == (text == label)


def test_a_printable_character_is_printable_in_all_versions_of_unicode() -> None:
    every = "".join(map(chr, range(0x110000)))
    kept = make_printable(every)
    assert kept.isprintable()
    assert len(kept) == 95_853


def test_surrogates_make_different_keys() -> None:
    assert make_cache_key("\ud800") != make_cache_key("\ud801")


def test_positional_and_keyword_arguments_have_different_keys() -> None:
    assert make_cache_key(1) != make_cache_key(a=1)
    assert make_cache_key({"a": 1}) != make_cache_key(a=1)
    assert make_cache_key(a=1, b=2) == make_cache_key(b=2, a=1)


def test_the_memory_of_memoized_keys_is_bounded() -> None:
    call_key = CallKey(plain, prefix="default:tests.unit.keys.test_call_key.plain:")
    long = "x" * 16_000
    for number in range(2_000):
        for _ in range(2):
            call_key.make_key((long, number), {})
    assert call_key._memo
    assert sum(map(len, call_key._memo)) < 10 * 1024 * 1024
    assert call_key.make_key((long, 1), {}) == make_key_function(plain)(long, 1)


def test_a_call_that_is_made_once_is_not_memoized() -> None:
    call_key = CallKey(plain, prefix="default:plain:")
    keys = [call_key.make_key(("x" * 1000, number), {}) for number in range(10_000)]
    assert not call_key._memo
    assert len(call_key._seen) <= 8192
    repeated = [call_key.make_key(("x" * 1000, number), {}) for number in range(9_000, 10_000)]
    assert repeated == keys[9_000:]
    assert len(call_key._memo) == 1000


def test_a_default_has_the_key_of_the_same_argument_and_of_no_other() -> None:
    def call(a: Any, b: Any = 0.5, c: Any = True, d: Any = "x", e: Any = None) -> None: ...

    key = CallKey(call, prefix="").make_key
    same = {key((1,), {}), key((1, float("0.5"), True), {}), key((1,), {"d": str(b"x", "ascii")})}
    assert len(same) == 1
    others: list[dict[str, Any]] = [
        {"b": 0},
        {"c": 1},
        {"c": 1.0},
        {"d": b"x"},
        {"e": ""},
        {"e": "x", "d": None},
    ]
    assert len(same | {key((1,), other) for other in others}) == 1 + len(others)
