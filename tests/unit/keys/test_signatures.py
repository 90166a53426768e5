"""Binding of arguments to parameters, and ignored parameters."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.signatures import Binder, complete_call, unbind


def plain(a: Any, b: Any = 2, *, c: Any = None) -> None: ...
def variadic(a: Any, *rest: Any, c: Any = 3, **options: Any) -> None: ...
def positional(a: Any, b: Any = 2, /, c: Any = 3) -> None: ...
def with_a_name_in_kwargs(a: Any, /, **options: Any) -> None: ...
def without_parameters() -> None: ...
def with_optional_self(self: Any = None, a: Any = 1) -> None: ...


class Service:
    def method(self, a: Any, session: Any = None, *rest: Any, **options: Any) -> None: ...
    def unnamed(*args: Any) -> None: ...


Call = tuple[tuple[Any, ...], dict[str, Any]]
CALLS: list[tuple[Callable[..., Any], Call, dict[str, Any]]] = [
    (plain, ((1,), {}), {"a": 1, "b": 2, "c": None}),
    (plain, ((), {"c": 3, "a": 1}), {"a": 1, "b": 2, "c": 3}),
    (plain, ((1, 5), {"c": 3}), {"a": 1, "b": 5, "c": 3}),
    (variadic, ((1, 2, 3), {"x": 4}), {"a": 1, "rest": (2, 3), "c": 3, "options": {"x": 4}}),
    (variadic, ((), {"a": 1}), {"a": 1, "rest": (), "c": 3, "options": {}}),
    (positional, ((1,), {"c": 5}), {"a": 1, "b": 2, "c": 5}),
    (with_a_name_in_kwargs, ((1,), {"a": 2}), {"a": 1, "options": {"a": 2}}),
    (without_parameters, ((), {}), {}),
    (with_optional_self, ((), {}), {"self": None, "a": 1}),
]


@pytest.mark.parametrize(("function", "call", "named"), CALLS)
def test_each_parameter_has_its_argument_in_the_order_of_the_signature(
    function: Callable[..., Any], call: Call, named: dict[str, Any]
) -> None:
    bound = Binder(function).bind(*call)
    assert list(bound.items()) == list(named.items())
    assert Binder(function).drop_ignored(*call) == call


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (plain, ((), {})),
        (plain, ((1, 2, 3), {})),
        (plain, ((1,), {"a": 1})),
        (plain, ((1,), {"d": 1})),
        (plain, ((), {"b": 1})),
        (positional, ((), {"a": 1})),
        (without_parameters, ((1,), {})),
        (without_parameters, ((), {"a": 1})),
    ],
)
def test_wrong_arguments_raise_the_error_of_inspect_with_the_functions_name(
    function: Callable[..., Any], call: Call
) -> None:
    with pytest.raises(TypeError) as expected:
        inspect.signature(function).bind(*call[0], **call[1])
    message = re.escape(f"{function.__qualname__}(): {expected.value}")
    with pytest.raises(TypeError, match=f"^{message}$"):
        Binder(function).bind(*call)


IGNORED: list[tuple[Callable[..., Any], list[str], Call, dict[str, Any], Call]] = [
    (plain, ["b"], ((1, 2), {}), {"a": 1, "c": None}, ((1,), {})),
    (plain, ["a", "b", "c"], ((1,), {"c": 2}), {}, ((), {})),
    (plain, ["c"], ((1,), {"c": object()}), {"a": 1, "b": 2}, ((1,), {})),
    (
        variadic,
        ["rest"],
        ((1, 2), {"x": 3}),
        {"a": 1, "c": 3, "options": {"x": 3}},
        ((1, 2), {"x": 3}),
    ),
    (
        variadic,
        ["x", "never"],
        ((1, 2), {"x": 3, "y": 4}),
        {"a": 1, "rest": (2,), "c": 3, "options": {"y": 4}},
        ((1, 2), {"y": 4}),
    ),
    (variadic, ["options"], ((1,), {"x": 3}), {"a": 1, "rest": (), "c": 3}, ((1,), {"x": 3})),
]


@pytest.mark.parametrize(("function", "ignore", "call", "named", "remaining"), IGNORED)
def test_ignored_parameters_are_left_out(
    function: Callable[..., Any],
    ignore: list[str],
    call: Call,
    named: dict[str, Any],
    remaining: Call,
) -> None:
    binder = Binder(function, ignore)
    assert binder.bind(*call) == named
    assert binder.drop_ignored(*call) == remaining
    assert not binder.names & set(ignore)
    assert binder.bind_all(*call).keys() == inspect.signature(function).parameters.keys()


@pytest.mark.parametrize("service", [Service(), Service])
def test_self_is_a_parameter_like_any_other(service: Any) -> None:
    binder = Binder(Service.method)
    named: dict[str, Any] = {"self": service, "a": 1, "session": None, "rest": (), "options": {}}
    assert binder.bind((service, 1), {}) == named
    assert binder.bind((), {"self": service, "a": 1}) == named
    assert binder.drop_ignored((service, 1), {"x": 2}) == ((service, 1), {"x": 2})


def test_self_can_be_ignored_by_name() -> None:
    binder = Binder(Service.method, ["self", "session", "x"])
    call = (Service(), 1, "session", 5), {"x": 1, "y": 2}
    assert binder.bind(*call) == {"a": 1, "rest": (5,), "options": {"y": 2}}
    assert binder.drop_ignored(*call) == ((1, 5), {"y": 2})


def test_the_receiver_is_the_first_parameter_of_a_function_in_a_class() -> None:
    assert Binder(Service.method).receiver == "self"
    assert Binder(Service.method, ["self"]).receiver is None
    assert Binder(with_optional_self).receiver is None
    assert Binder(Service.unnamed).receiver is None


def test_bound_arguments_are_those_of_methods_and_partial_objects() -> None:
    service = Service()
    bound = functools.partial(functools.partial(service.method, 1, session=2), 3, session=4)
    assert unbind(bound) == (Service.method, (service, 1, 3), {"session": 4})
    assert unbind(plain) == (plain, (), {})


def test_arguments_of_a_call_follow_the_bound_ones() -> None:
    assert complete_call((1, 2), (3,)) == (1, 2, 3)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Python 3.14 added placeholders")
def test_arguments_of_a_call_fill_placeholders() -> None:
    placeholder = functools.Placeholder  # type: ignore[attr-defined]
    assert complete_call((1, placeholder, 3), (2, 4)) == (1, 2, 3, 4)


def test_an_unknown_parameter_to_ignore_is_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"ignore must name parameters of plain; got 'd'; accepted: 'a', 'b', 'c'",
    ):
        Binder(plain, ["d"])
    with pytest.raises(ConfigurationError, match="got 'a'; accepted: none"):
        Binder(without_parameters, ["a"])


def test_a_callable_without_a_signature_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="the signature of min cannot be read; wrap it in a function"
    ):
        Binder(min)


def test_a_wrapped_function_defines_the_parameters() -> None:
    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert Binder(wrapper).bind((1,), {}) == {"a": 1, "b": 2, "c": None}


def test_the_arguments_of_a_call_are_not_modified() -> None:
    kwargs = {"x": 1, "session": 2}
    Binder(Service.method, ["session", "x"]).bind((Service(), 1), kwargs)
    Binder(Service.method, ["session", "x"]).drop_ignored((Service(), 1), kwargs)
    assert kwargs == {"x": 1, "session": 2}
