"""Canonical texts: equal if and only if two values are equal and of the same types."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiocache_pe.keys.call_key import CallKey, make_cache_key
from aiocache_pe.keys.canonical import canonicalize
from tests.support.argument_strategies import VALUES, is_same, rebuild


@given(VALUES, VALUES)
def test_texts_are_equal_if_and_only_if_values_are_the_same(a: Any, b: Any) -> None:
    assert (canonicalize(a) == canonicalize(b)) is is_same(a, b)


@given(VALUES)
def test_a_value_rebuilt_in_another_order_has_the_same_text(value: Any) -> None:
    assert canonicalize(rebuild(value)) == canonicalize(value)


def plain(a: Any, b: Any = 1, *, c: Any = None) -> None: ...


SHARED = CallKey(plain, prefix="default:plain:")


@given(VALUES, VALUES, VALUES)
def test_a_memoized_key_is_the_key_that_would_be_computed(a: Any, b: Any, c: Any) -> None:
    fresh = CallKey(plain, prefix="default:plain:")
    key = fresh.make_key((a, b), {"c": c})
    assert SHARED.make_key((a, b), {"c": c}) == key
    assert SHARED.make_key((), {"c": c, "b": b, "a": a}) == key
    assert SHARED.make_key((a,), {"c": c, "b": b}) == key
    for _ in range(2):
        assert fresh.make_key((a, b), {"c": c}) == key


@given(st.text(), VALUES)
def test_a_key_is_short_and_printable_text(text: str, value: Any) -> None:
    key = make_cache_key(text, value)
    assert len(key) <= 73
    assert len(key.splitlines()) == 1
