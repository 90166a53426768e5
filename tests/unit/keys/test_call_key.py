"""Keys of calls: one for each meaning, none for two."""

from __future__ import annotations

import inspect
import re
from array import array
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from aiocache_pe.decorators.settings import Settings
from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.call_key import CallKey, make_cache_key
from tests.support.calls import DIFFERENT, Client


def plain(a: Any, b: Any = 2, *, c: Any = None) -> None: ...
def variadic(a: Any, *rest: Any, **options: Any) -> None: ...
def positional(a: Any, b: Any = 2, /, c: Any = 3) -> None: ...
def nothing() -> None: ...
def self_less(self: Any) -> None: ...


class Service:
    def method(self, a: Any) -> None: ...
    def of_class(cls, a: Any) -> None: ...  # noqa: N805  # pyright: ignore[reportSelfClsParameterName]


class Tenant:
    def __init__(self, name: str) -> None:
        self.name = name

    def __cache_key__(self) -> str:
        return self.name

    def method(self, a: Any) -> None: ...


def maker(function: Callable[..., Any], prefix: str | None = None) -> Callable[..., str]:
    """A function from a call's arguments to its key."""
    start = Settings(key_prefix=prefix).start(function)
    call_key = CallKey(function, start=f"default:{start}")
    return lambda *args, **kwargs: call_key.key(args, kwargs)


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
    (nothing, [((), {})]),
]


@pytest.mark.parametrize(("function", "calls"), SPELLINGS)
def test_the_same_call_has_the_same_key_however_it_is_spelled(
    function: Callable[..., Any], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    key = maker(function)
    for _ in range(3):  # made, made and remembered, found
        assert len({key(*args, **kwargs) for args, kwargs in calls}) == 1


def test_different_calls_have_different_keys() -> None:
    key = maker(variadic)
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
def test_different_arguments_have_different_keys_also_when_remembered(
    function: Callable[..., Any],
) -> None:
    key = maker(function)
    first = {name: key(value) for name, value in DIFFERENT.items()}
    assert [pair for pair in combinations(first, 2) if first[pair[0]] == first[pair[1]]] == []
    for _ in range(2):
        assert {name: key(value) for name, value in DIFFERENT.items()} == first
        assert {name: key(value) for name, value in reversed(DIFFERENT.items())} == first


def test_what_marshal_writes_alike_is_kept_apart() -> None:
    key = maker(plain)
    assert key(b"a") != key(bytearray(b"a"))
    for _ in range(3):
        assert len({key(array("b", b"a")), key(array("B", b"a")), key(b"a"), key("a")}) == 4
        with pytest.raises(UnstableIdentityError):
            key(memoryview(b"a"))


def test_other_functions_and_prefixes_have_keys_of_their_own() -> None:
    keys = {
        maker(plain)(1),
        maker(positional)(1),
        maker(plain, "llm")(1),
        maker(positional, "llm")(1),
        maker(plain, "search")(1),
        maker(plain, "")(1),
    }
    assert len(keys) == 6
    assert maker(plain)(1).startswith(f"default:{__name__}.plain:")
    assert maker(plain, "llm")(1).startswith("default:llm:plain:")


def test_self_and_cls_leave_the_key() -> None:
    method, of_class = maker(Service.method), maker(Service.of_class)
    assert method(Service(), 1) == method(Service(), a=1)
    assert method(Service(), 1) != method(Service(), 2)
    assert of_class(Service, 1) == of_class(Tenant, 1)


def test_self_stays_in_the_key_when_its_class_says_what_it_is() -> None:
    key = maker(Tenant.method)
    assert key(Tenant("a"), 1) == key(Tenant("a"), a=1)
    assert key(Tenant("a"), 1) != key(Tenant("b"), 1)


def test_a_function_outside_a_class_may_call_its_argument_self() -> None:
    assert maker(self_less)(1) != maker(self_less)(2)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"d": 1}), ((), {"b": 1})],
)
def test_a_wrong_call_fails_as_the_function_would(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError) as expected:
        inspect.signature(plain).bind(*args, **kwargs)
    with pytest.raises(TypeError, match=re.escape(str(expected.value))):
        maker(plain)(*args, **kwargs)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda key: key(object()), "a is a builtins.object"),
        (lambda key: key(1, c=[object()]), r"c\[0\] is a builtins.object"),
        (lambda key: key(1, b={"client": Service()}), r"b\['client'\] is a .*\.Service"),
    ],
)
def test_a_refused_argument_is_named(call: Callable[[Callable[..., str]], str], named: str) -> None:
    with pytest.raises(UnstableIdentityError, match=named):
        call(maker(plain))


def test_a_default_that_only_marks_that_nothing_was_given_has_a_key() -> None:
    class Omitted: ...

    omitted, empty = Omitted(), object()
    omitted.__module__ = "sdk"  # as that of OpenAI writes on all that it exports

    def search(query: str, limit: Any = omitted, *, page: Any = empty) -> None: ...

    key = maker(search)
    keys = [key("a"), key("a", None), key("a", 10), key("a", page=1), key("b")]
    assert len(set(keys)) == len(keys)
    assert key(query="a", limit=omitted, page=empty) == key("a")
    assert key("a").endswith(":a:58688d6826a74926488ad309d184a855")  # so it is in every process
    for other in (Omitted(), object(), Service()):
        with pytest.raises(UnstableIdentityError, match=r"limit is a .*\.(Omitted|object|Service)"):
            key("a", other)


def test_a_default_with_a_state_of_its_own_is_refused_as_any_other() -> None:
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
            maker(fetch)("a")


def test_objects_at_one_address_never_share_a_key() -> None:
    key = maker(plain)
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


def test_a_key_begins_with_what_a_reader_knows_it_by() -> None:
    key = make_cache_key("What is\n the   capital of France, and since when?", 1)
    assert re.fullmatch(r"What is the capital of France, and since:[0-9a-f]{32}", key)
    assert re.fullmatch(r"[0-9a-f]{32}", make_cache_key(1, [2]))
    assert re.fullmatch(r"second:[0-9a-f]{32}", make_cache_key("", "second"))
    assert re.match(r"default:.*\.plain:Why\?:", maker(plain)("Why?"))


def test_surrogates_make_keys() -> None:
    assert make_cache_key("\ud800") != make_cache_key("\ud801")


def test_arguments_and_keywords_are_told_apart() -> None:
    assert make_cache_key(1) != make_cache_key(a=1)
    assert make_cache_key({"a": 1}) != make_cache_key(a=1)
    assert make_cache_key(a=1, b=2) == make_cache_key(b=2, a=1)


def test_a_million_calls_do_not_fill_the_memory() -> None:
    call_key = CallKey(plain, start="default:tests.unit.keys.test_call_key.plain:")
    long = "x" * 16_000
    for number in range(2_000):
        for _ in range(2):
            call_key.key((long, number), {})
    assert call_key._memo
    assert sum(map(len, call_key._memo)) < 10 * 1024 * 1024
    assert call_key.key((long, 1), {}) == maker(plain)(long, 1)


def test_a_call_that_is_made_once_takes_the_memory_of_a_number() -> None:
    call_key = CallKey(plain, start="default:plain:")
    keys = [call_key.key(("x" * 1000, number), {}) for number in range(10_000)]
    assert not call_key._memo
    assert len(call_key._seen) <= 8192
    again = [call_key.key(("x" * 1000, number), {}) for number in range(9_000, 10_000)]
    assert again == keys[9_000:]
    assert len(call_key._memo) == 1000


def test_a_default_is_written_as_the_same_argument_and_as_no_other() -> None:
    def call(a: Any, b: Any = 0.5, c: Any = True, d: Any = "x", e: Any = None) -> None: ...

    key = CallKey(call, start="").key
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
