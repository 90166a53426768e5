"""`Binder` agrees with `inspect.Signature.bind` for every signature and call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocache_pe.keys.call_key import CallKey
from aiocache_pe.keys.signatures import Binder

NAMES = "abcdef"
KINDS = [
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
    Parameter.VAR_KEYWORD,
]
ONCE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Any]:
    """Draw a function with up to six parameters of kinds that can be combined."""
    kinds = sorted(draw(st.lists(st.sampled_from(KINDS), max_size=6)))
    parameters = list[Parameter]()
    has_default = False
    for name, kind in zip(NAMES, kinds, strict=False):
        if kind in ONCE:
            if any(each.kind is kind for each in parameters):
                continue
            parameters.append(Parameter(name, kind))
            continue
        # After a default, other positional parameters need a default, too.
        must = has_default and kind is not Parameter.KEYWORD_ONLY
        optional = must or draw(st.booleans())
        has_default = has_default or (optional and kind is not Parameter.KEYWORD_ONLY)
        default = draw(st.integers(10, 12)) if optional else Parameter.empty
        parameters.append(Parameter(name, kind, default=default))

    def function(*args: Any, **kwargs: Any) -> None: ...

    vars(function)["__signature__"] = Signature(parameters)
    return function


CALLS = st.tuples(
    st.lists(st.integers(0, 3), max_size=5).map(tuple),
    st.dictionaries(st.sampled_from([*NAMES, "other"]), st.integers(0, 3), max_size=5),
)
Call = tuple[tuple[int, ...], dict[str, int]]


def bind_with_inspect(function: Callable[..., Any], call: Call) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*call[0], **call[1])
    bound.apply_defaults()
    return dict(bound.arguments)


@given(functions(), CALLS)
def test_each_parameter_has_the_argument_that_inspect_binds(
    function: Callable[..., Any], call: Call
) -> None:
    binder = Binder(function)
    try:
        named = bind_with_inspect(function, call)
    except TypeError as error:
        with pytest.raises(
            TypeError, match=f"^{re.escape(f'{function.__qualname__}(): {error}')}$"
        ):
            binder.bind(*call)
        return
    assert list(binder.bind_all(*call).items()) == list(named.items())
    assert list(binder.bind(*call).items()) == list(named.items())


@given(functions(), CALLS, st.sets(st.sampled_from(NAMES)))
def test_the_ignored_parameters_are_missing_and_no_others(
    function: Callable[..., Any], call: Call, ignore: set[str]
) -> None:
    parameters = inspect.signature(function).parameters
    ignored = ignore & set(parameters)
    binder = Binder(function, ignored)
    try:
        named = bind_with_inspect(function, call)
    except TypeError:
        with pytest.raises(TypeError):
            binder.bind(*call)
        return
    rest = next((n for n, p in parameters.items() if p.kind is Parameter.VAR_KEYWORD), None)
    if rest in named:  # its keyword arguments can be ignored by name, too
        named[rest] = {n: v for n, v in named[rest].items() if n not in ignored}
    assert binder.bind(*call) == {n: v for n, v in named.items() if n not in ignored}
    assert binder.names == set(parameters) - ignored


@given(functions(), CALLS, CALLS, st.sets(st.sampled_from(NAMES)))
def test_calls_share_a_key_if_and_only_if_their_relevant_arguments_are_equal(
    function: Callable[..., Any], first: Call, second: Call, ignore: set[str]
) -> None:
    """Also if a key was memoized: dropping ignored arguments must not confuse two calls."""
    ignored = ignore & set(inspect.signature(function).parameters)
    binder = Binder(function, ignored)
    call_key = CallKey(function, prefix="f:", ignore=ignored)
    try:
        same = binder.bind(*first) == binder.bind(*second)
    except TypeError:
        return
    for _ in range(3):
        assert (call_key.make_key(*first) == call_key.make_key(*second)) is same
