"""Two values have the same identity if and only if they are the same all the way down."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiocache_pe.keys.call_key import CallKey, make_cache_key
from aiocache_pe.keys.canonical import canonical

# Few and alike, so that two values drawn by chance are often nearly the same.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, math.nan, math.inf, 1j, complex(1, -0.0)])
    | st.sampled_from(["", "0", "1", "a", "None", "s1:a", "]", "\ud800"])
    | st.sampled_from([b"", b"a", b"1"])
    | st.floats()
    | st.text(max_size=3)
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal and of the same type, all the way down; written without any encoding."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        return _matched(list(a), list(b), same)
    if isinstance(a, dict):
        return _matched(
            list(a.items()), list(b.items()), lambda x, y: same(x[0], y[0]) and same(x[1], y[1])
        )
    return bool(a == b)


def _matched(ours: list[Any], theirs: list[Any], alike: Callable[[Any, Any], bool]) -> bool:
    """Whether each of ours has one of theirs for itself."""
    if len(ours) != len(theirs):
        return False
    for item in ours:
        at = next((n for n, other in enumerate(theirs) if alike(item, other)), None)
        if at is None:
            return False
        theirs = theirs[:at] + theirs[at + 1 :]
    return True


@given(VALUES, VALUES)
def test_identities_are_equal_if_and_only_if_values_are_the_same(a: Any, b: Any) -> None:
    assert (canonical(a) == canonical(b)) is same(a, b)


@given(VALUES)
def test_a_value_rebuilt_in_another_order_has_the_same_identity(value: Any) -> None:
    assert canonical(rebuilt(value)) == canonical(value)


def rebuilt(value: Any) -> Any:
    if isinstance(value, dict):
        return {rebuilt(key): rebuilt(value[key]) for key in reversed(value)}
    if isinstance(value, list | tuple | set | frozenset):
        items = [rebuilt(item) for item in value]
        return type(value)(items if isinstance(value, list | tuple) else reversed(items))
    return value


def plain(a: Any, b: Any = 1, *, c: Any = None) -> None: ...


SHARED = CallKey(plain, start="default:plain:")


@given(VALUES, VALUES, VALUES)
def test_what_was_remembered_is_what_would_be_made(a: Any, b: Any, c: Any) -> None:
    fresh = CallKey(plain, start="default:plain:")
    key = fresh.key((a, b), {"c": c})
    assert SHARED.key((a, b), {"c": c}) == key
    assert SHARED.key((), {"c": c, "b": b, "a": a}) == key
    assert SHARED.key((a,), {"c": c, "b": b}) == key
    for _ in range(2):
        assert fresh.key((a, b), {"c": c}) == key


@given(st.text(), VALUES)
def test_a_key_is_short_and_printable_text(text: str, value: Any) -> None:
    key = make_cache_key(text, value)
    assert len(key) <= 73
    assert len(key.splitlines()) == 1
